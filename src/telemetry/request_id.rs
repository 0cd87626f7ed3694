//! Ids of requests and traces: taken from the caller where they are well formed, else made here.

use super::ids::uuid_v7;

/// The longest id that a caller may choose, in bytes. It is written to every log line of the request.
const MAX_BYTES: usize = 128;

/// The caller's id if it matches `[A-Za-z0-9._-]{1,128}`, else a new UUIDv7.
pub fn adopt_or_make(offered: Option<&[u8]>) -> Box<str> {
    let adopted = offered.filter(|id| is_well_formed(id)).and_then(|id| std::str::from_utf8(id).ok());
    match adopted {
        Some(id) => id.into(),
        None => uuid_v7().as_hyphenated().encode_lower(&mut [0; 36]).to_owned().into_boxed_str(),
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    (1..=MAX_BYTES).contains(&id.len()) && id.iter().all(allowed)
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
    fn well_formed_ids_are_kept_and_others_replaced() {
        for good in ["a", "A-1_.z", &"x".repeat(128)] {
            assert_eq!(&*adopt_or_make(Some(good.as_bytes())), good);
        }
        for bad in ["", "a b", "a\n", "ä", "a:b", &"x".repeat(129)] {
            let made = adopt_or_make(Some(bad.as_bytes()));
            assert_eq!(uuid::Uuid::parse_str(&made).unwrap().get_version_num(), 7, "{bad:?}");
        }
        assert_ne!(adopt_or_make(None), adopt_or_make(None));
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
