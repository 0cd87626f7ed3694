//! Validators and conditional requests (RFC 9110 §8.8.3 and §13.1.2).
//!
//! Knows a version number or a content only, not what it is.

use std::fmt;
use std::io::Write as _;

use http::header::IF_NONE_MATCH;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

/// Digits of the largest version, with quotes.
const MAX_BYTES: usize = 22;

/// The strong entity tag of one version of a resource, such as `"17"`. Lives on the stack, so
/// that a conditional request allocates nothing for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ETag {
    text: [u8; MAX_BYTES],
    len: usize,
}

impl ETag {
    /// The tag of `version`.
    pub fn of_version(version: u64) -> Self {
        let mut text = [0; MAX_BYTES];
        let mut rest = &mut text[..];
        // Twenty digits and two quotes fit.
        let _ = write!(rest, "\"{version}\"");
        let len = MAX_BYTES - rest.len();
        Self { text, len }
    }

    /// The tag of a whole content, by its SHA-256.
    pub fn of_content(content: &[u8]) -> Self {
        let mut head = [0; 8];
        head.copy_from_slice(&Sha256::digest(content)[..8]);
        Self::of_version(u64::from_be_bytes(head))
    }

    /// The tag with its quotes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }

    /// The tag as the value of an `ETag` field.
    pub(crate) fn to_header(self) -> HeaderValue {
        HeaderValue::from_bytes(self.as_bytes()).expect("quotes and digits are visible ASCII")
    }

    /// Whether `If-None-Match` names this tag or `*`: then a `GET` is answered 304.
    ///
    /// Tags are compared weakly, as §13.1.2 demands. From a malformed member on, the rest of a
    /// field is ignored.
    pub fn is_in_if_none_match(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(IF_NONE_MATCH).iter();
        values.any(|value| self.is_in_list(value.as_bytes()))
    }

    fn is_in_list(&self, list: &[u8]) -> bool {
        if list.trim_ascii() == b"*" {
            return true;
        }
        let mut rest = list;
        while let Some((tag, after)) = split_tag(rest) {
            if tag == self.as_bytes() {
                return true;
            }
            rest = after;
        }
        false
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ETag({})", self.as_bytes().escape_ascii())
    }
}

/// The first entity tag of `list` with quotes and without `W/`, and what follows it. Commas and
/// backslashes inside the quotes are ordinary characters.
fn split_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|byte| !b", \t".contains(byte))?;
    let tag = &list[start..];
    let opaque = tag.strip_prefix(b"W/").unwrap_or(tag);
    let inner = opaque.strip_prefix(b"\"")?;
    let end = inner.iter().position(|byte| *byte == b'"')? + 2;
    let (tag, after) = opaque.split_at(end);
    let is_separated = matches!(after.trim_ascii_start(), [] | [b',', ..]);
    is_separated.then_some((tag, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_are_the_quoted_version() {
        for version in [0, 17, u64::MAX] {
            let tag = ETag::of_version(version);
            assert_eq!(tag.to_header(), format!("\"{version}\""));
        }
    }

    #[test]
    fn if_none_match_is_a_list_compared_weakly() {
        let cases: &[(&[&'static str], bool)] = &[
            (&[], false),
            (&["*"], true),
            (&[" * "], true),
            (&["\"17\""], true),
            (&["W/\"17\""], true),
            (&["\"1\", \"17\""], true),
            (&["\"1\",W/\"17\" , \"3\""], true),
            (&[",, \"17\""], true),
            (&["\"1\"", "\"17\""], true),
            (&["\"a,b\\\",\"17\""], true),
            (&["\"18\""], false),
            (&["\"117\""], false),
            (&["\"1\", \"7\""], false),
            (&["\"a,\"17\"b\""], false),
            (&["17"], false),
            (&["\"17"], false),
            (&["w/\"17\""], false),
            (&["\"17\"x"], false),
            (&["x, \"17\""], false),
            (&["\"1\" \"17\""], false),
            (&["*, \"1\""], false),
            (&[""], false),
        ];
        let tag = ETag::of_version(17);
        for (values, expected) in cases {
            let fields = values.iter().map(|value| (IF_NONE_MATCH, HeaderValue::from_static(value)));
            let headers = fields.collect();
            assert_eq!(tag.is_in_if_none_match(&headers), *expected, "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn any_list_is_read_to_its_end(list in "[W/\"*,17 \\\\]{0,30}") {
            let _ = ETag::of_version(17).is_in_list(list.as_bytes());
        }
    }
}
