//! Puts requests in wire form before a run, so that sending one is a copy. Knows nothing of connections.

use std::ops::Range;

use crate::plan::Template;

/// Length of a unique key in bytes. Templates reserve this much; the client fills it with decimal digits.
pub const UNIQUE_BYTES: usize = 32;

/// What stands for a unique key in the text of a request until it is put in wire form.
pub const UNIQUE: &str = "{unique}";

/// What a request cannot be made of.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// A line break or another control character would end the line it stands in.
    #[error("{0:?} has a character that a request line or header cannot carry")]
    Text(String),
    /// A request carries one key at most.
    #[error("`{UNIQUE}` stands in a request more than once")]
    KeyTwice,
}

/// A GET of `path` with `headers` besides `Host`.
pub fn get(path: &str, host: &str, headers: &[(&str, &str)]) -> Template {
    wire("GET", path, host, headers, &[])
}

/// A POST of `body` with `headers` besides `Host` and `Content-Length`; the header `key_header`, if any, carries a
/// key that no other request of the client has.
pub fn post(
    path: &str,
    host: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    key_header: Option<&str>,
) -> Template {
    let mut all = headers.to_vec();
    all.extend(key_header.map(|name| (name, UNIQUE)));
    wire("POST", path, host, &all, body)
}

/// Any request. The first `{unique}` in a header value or in the body becomes the slot of the key; see [`checked`]
/// for text that comes from outside.
pub fn wire(method: &str, path: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Template {
    let (body, key_in_body) = with_slot(body);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n").into_bytes();
    for (name, value) in headers {
        head.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH") {
        head.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    head.extend_from_slice(b"\r\n");
    let (mut bytes, key_in_head) = with_slot(&head);
    let unique = key_in_head.or(key_in_body.map(|slot| slot.start + bytes.len()..slot.end + bytes.len()));
    bytes.extend_from_slice(&body);
    Template { bytes, unique }
}

/// As [`wire`], for text that a person gave.
///
/// # Errors
/// Control characters in the head, or more than one place for a key.
pub fn checked(
    method: &str,
    path: &str,
    host: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Template, RequestError> {
    let values = headers.iter().map(|(_, value)| *value);
    for text in values.chain([host]) {
        refuse_if(text, text.chars().any(|c| c.is_control() && c != '\t'))?;
    }
    for text in headers.iter().map(|(name, _)| *name).chain([method, path]) {
        refuse_if(text, text.is_empty() || text.chars().any(|c| c.is_control() || c == ' '))?;
    }
    let in_headers: usize = headers.iter().map(|(_, value)| value.matches(UNIQUE).count()).sum();
    if in_headers + memchr::memmem::find_iter(body, UNIQUE).count() > 1 {
        return Err(RequestError::KeyTwice);
    }
    Ok(wire(method, path, host, headers, body))
}

fn refuse_if(text: &str, bad: bool) -> Result<(), RequestError> {
    if bad { Err(RequestError::Text(text.to_owned())) } else { Ok(()) }
}

/// The text with the place of its key widened to the length of keys.
fn with_slot(text: &[u8]) -> (Vec<u8>, Option<Range<usize>>) {
    let Some(start) = memchr::memmem::find(text, UNIQUE.as_bytes()) else {
        return (text.to_vec(), None);
    };
    let bytes = [&text[..start], &[b'0'; UNIQUE_BYTES], &text[start + UNIQUE.len()..]].concat();
    (bytes, Some(start..start + UNIQUE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_get_has_no_body_and_no_length() {
        let template = get("/a?b=c", "host:1", &[("Accept", "*/*")]);
        assert_eq!(template.bytes, b"GET /a?b=c HTTP/1.1\r\nHost: host:1\r\nAccept: */*\r\n\r\n");
        assert_eq!(template.unique, None);
    }

    #[test]
    fn the_key_of_a_header_has_its_slot() {
        let template = post("/t", "h", &[], b"{}", Some("Idempotency-Key"));
        let slot = template.unique.clone().unwrap();
        assert_eq!(slot.len(), UNIQUE_BYTES);
        assert!(template.bytes[..slot.start].ends_with(b"Idempotency-Key: "));
        assert!(template.bytes[slot.end..].starts_with(b"\r\n"));
        assert!(template.bytes.ends_with(b"\r\n\r\n{}"));
    }

    #[test]
    fn the_length_counts_the_key_of_a_body() {
        let template = post("/t", "h", &[], b"[\"{unique}\"]", None);
        let text = String::from_utf8(template.bytes.clone()).unwrap();
        assert!(text.contains(&format!("Content-Length: {}\r\n", UNIQUE_BYTES + 4)), "{text}");
        let slot = template.unique.unwrap();
        assert_eq!(&template.bytes[slot.start - 2..slot.start], b"[\"");
        assert_eq!(&template.bytes[slot.end..], b"\"]");
    }

    #[test]
    fn text_that_would_break_the_head_is_refused() {
        assert!(checked("GET", "/a b", "h", &[], b"").is_err());
        assert!(checked("GET", "/", "h", &[("A", "b\r\nC: d")], b"").is_err());
        assert_eq!(
            checked("PUT", "/", "h", &[("A", UNIQUE)], b"{unique}").err(),
            Some(RequestError::KeyTwice)
        );
    }
}
