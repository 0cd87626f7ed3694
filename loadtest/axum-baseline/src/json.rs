//! JSON and query strings into typed values, and what is wrong with those that are refused.
//!
//! Knows serde's messages; no member in particular.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::{Path, Segment};

use crate::error::AppError;
use crate::problem::{Flaw, escaped};

/// Decodes a body. The decoder that knows where it is runs only for bodies that the plain one has refused.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, AppError> {
    serde_json::from_slice(body).map_err(|_| explain::<T>(body))
}

/// Decodes the query component as sent, `""` when there is none.
pub(crate) fn decode_query<T: DeserializeOwned>(query: &str) -> Result<T, AppError> {
    let pairs = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
    serde_path_to_error::deserialize(pairs)
        .map_err(|error| AppError::Invalid(vec![flaw(error.path(), &error.inner().to_string())]))
}

/// Grammar first: the typed decoder stops at the first wrong member, before a later mistake.
#[cold]
fn explain<'de, T: Deserialize<'de>>(body: &'de [u8]) -> AppError {
    let not_json =
        |error: &dyn std::fmt::Display| AppError::InvalidJson(format!("the body is not JSON: {error}"));
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) => return not_json(&error),
    };
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return not_json(&error);
    }
    let mut decoder = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut decoder) {
        Ok(_) => AppError::InvalidJson("the body holds text that cannot be represented".into()),
        Err(error) => AppError::Invalid(vec![flaw(error.path(), &error.inner().to_string())]),
    }
}

/// The flaw that a message of serde's is about.
fn flaw(path: &Path, message: &str) -> Flaw {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let (member, detail) = plain(message);
    let mut pointer = String::new();
    let mut last = None;
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.extend(["/", &index.to_string()]),
            Segment::Map { key: name } | Segment::Enum { variant: name } => {
                pointer.extend(["/", &escaped(name)]);
                last = Some(name.as_str());
            }
            Segment::Unknown => {}
        }
    }
    // Where the decoder was still reading an unknown name, the path ends in it already.
    if let Some(name) = member.filter(|name| last != Some(*name)) {
        pointer.extend(["/", &escaped(name)]);
    }
    Flaw { pointer, detail }
}

/// The member that a message names, if any, and plain words.
fn plain(message: &str) -> (Option<&str>, Cow<'static, str>) {
    for (begin, detail) in [
        ("missing field `", "is required"),
        ("duplicate field `", "appears twice"),
        ("unknown field `", "is not a known member"),
    ] {
        if let Some(rest) = message.strip_prefix(begin) {
            return (rest.split('`').next(), detail.into());
        }
    }
    (None, message.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only whether it decodes matters")]
        amount: i64,
    }

    fn pointers(refused: Result<Body, AppError>) -> Vec<String> {
        match refused {
            Err(AppError::Invalid(flaws)) => flaws.into_iter().map(|flaw| flaw.pointer).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flaws_point_to_their_member() {
        for (body, pointer) in [
            ("{}", "/amount"),
            (r#"{"amount":"1"}"#, "/amount"),
            (r#"{"amount":1.0}"#, "/amount"),
            (r#"{"amount":1,"amount":1}"#, "/amount"),
            (r#"{"amount":1,"no/pe":1}"#, "/no~1pe"),
            ("7", ""),
        ] {
            assert_eq!(pointers(decode(body.as_bytes())), [pointer], "{body}");
        }
        for (query, pointer) in [("", "/amount"), ("amount=x", "/amount"), ("amount=1&nope=1", "/nope")] {
            assert_eq!(pointers(decode_query(query)), [pointer], "{query}");
        }
        assert!(decode_query::<Body>("amount=7").is_ok());
    }

    #[test]
    fn what_is_not_json_is_told_apart() {
        for body in [&b"{"[..], b"", b"{\"amount\":1} x", b"\"\xff\""] {
            assert!(matches!(decode::<Body>(body), Err(AppError::InvalidJson(_))), "{body:?}");
        }
    }
}
