//! Percent-encoding (RFC 3986 §2.1), strict on the way in.
//!
//! Knows octets and text only; which part of a URI it works on is the caller's business.

use std::borrow::Cow;

use http::HeaderValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// What may not stand raw in a URI reference. `%` stays, so that text that is already encoded is
/// not encoded twice.
const NOT_IN_URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Decodes `%XX`; `None` when an escape is incomplete or the octets are not UTF-8.
pub(super) fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    if !is_well_escaped(text) {
        return None;
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// Like [`decode`], with `+` for a space, as HTML forms write query strings.
pub(super) fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return decode(text);
    }
    decode(&text.replace('+', " ")).map(|decoded| Cow::Owned(decoded.into_owned()))
}

/// A header value that holds `uri`, with everything escaped that a URI may not hold.
pub(super) fn uri_header(prefix: &str, uri: &str, suffix: &str) -> HeaderValue {
    let mut text = String::with_capacity(prefix.len() + uri.len() + suffix.len());
    text.push_str(prefix);
    text.extend(utf8_percent_encode(uri, NOT_IN_URI));
    text.push_str(suffix);
    // `prefix` and `suffix` are literals of this module's siblings, the rest is escaped above.
    HeaderValue::try_from(text).expect("escaped text is visible ASCII")
}

/// Whether every `%` starts a whole escape.
pub(super) fn is_well_escaped(text: &str) -> bool {
    let mut after_percent = text.as_bytes().split(|byte| *byte == b'%').skip(1);
    after_percent
        .all(|rest| matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_whole_escapes_of_utf8_only() {
        let cases = [
            ("", Some("")),
            ("plain", Some("plain")),
            ("a%2Fb", Some("a/b")),
            ("%C3%a9", Some("é")),
            ("100%25", Some("100%")),
            ("a+b", Some("a+b")),
            ("%", None),
            ("%4", None),
            ("%4g", None),
            ("%%41", None),
            ("%ff", None),
            ("%C3", None),
        ];
        for (text, decoded) in cases {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
        }
    }

    #[test]
    fn forms_write_a_space_as_plus() {
        assert_eq!(decode_form("a+b%2B+").as_deref(), Some("a b+ "));
        assert_eq!(decode_form("+%zz"), None);
    }

    #[test]
    fn uri_headers_hold_any_text() {
        let value = uri_header("<", "/a b\"<>\r\n\0é%20", ">");
        assert_eq!(value, "</a%20b%22%3C%3E%0D%0A%00%C3%A9%20>");
    }
}
