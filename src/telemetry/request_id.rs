//! Ids of requests and traces: taken from the caller where they are well formed, else made here.

use std::time::Instant;

use super::ids::request_uuid;

/// The longest id that a caller may choose, in bytes. It is written to every log line of the request.
const MAX_BYTES: usize = 128;

/// Bytes of an id that is made here: a UUID with hyphens.
pub const MADE_BYTES: usize = 36;

/// Whether a caller's id is taken: it must match `[A-Za-z0-9._-]{1,128}`.
pub fn is_well_formed(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(allowed)
}

/// The caller's id if it is well-formed, else a new UUIDv7, written to `buffer`. `now` is the time, as far as it
/// matters here.
pub fn take_or_make<'a>(
    offered: Option<&'a [u8]>,
    now: Instant,
    buffer: &'a mut [u8; MADE_BYTES],
) -> &'a str {
    let taken = offered.filter(|id| is_well_formed(id)).and_then(|id| std::str::from_utf8(id).ok());
    taken.unwrap_or_else(|| request_uuid(now).as_hyphenated().encode_lower(buffer))
}

/// The trace id of a valid `traceparent` (W3C Trace Context §3.2.2): 32 lower-case hexadecimal digits, not
/// all zero.
pub fn trace_id(traceparent: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(traceparent).ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    };
    let nonzero = |part: &str| part.bytes().any(|digit| digit != b'0');
    let known_form = hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
    let valid = known_form && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    (valid && nonzero(trace) && nonzero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_bounded_in_length_and_alphabet() {
        for good in ["a", "A-1_.z", &"x".repeat(128)] {
            assert!(is_well_formed(good.as_bytes()), "{good}");
        }
        for bad in ["", "a b", "a\n", "ä", "a:b", &"x".repeat(129)] {
            assert!(!is_well_formed(bad.as_bytes()), "{bad:?}");
        }
    }

    #[test]
    fn made_ids_are_new_and_well_formed() {
        let (mut one, mut two) = ([0; MADE_BYTES], [0; MADE_BYTES]);
        let now = Instant::now();
        assert_ne!(take_or_make(None, now, &mut one), take_or_make(Some(b"a b"), now, &mut two));
        assert_eq!(uuid::Uuid::try_parse_ascii(&one).unwrap().get_version_num(), 7);
        assert!(is_well_formed(&one));
        assert_eq!(take_or_make(Some(b"of-the-caller"), now, &mut two), "of-the-caller");
    }

    #[test]
    fn trace_ids_come_from_valid_parents_only() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let valid = format!("00-{trace}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(valid.as_bytes()), Some(trace));
        let zero = "0".repeat(32);
        for bad in [
            String::new(),
            format!("ff-{trace}-00f067aa0ba902b7-01"),
            format!("00-{zero}-00f067aa0ba902b7-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{trace}-00f067aa0ba902b7-01-x"),
            format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
        ] {
            assert_eq!(trace_id(bad.as_bytes()), None, "{bad}");
        }
    }
}
