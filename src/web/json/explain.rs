//! Tells what is wrong with a body that was refused, in words for users of the API.
//!
//! Runs on the error path only, on the body as it was sent. Knows serde's and `serde_json`'s
//! messages, and turns them into member pointers and plain text without Rust's names.

use std::borrow::Cow;
use std::str;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};
use simd_json::ErrorType;

use super::strict::Strict;
use super::{BodyError, InvalidJson, MAX_DEPTH};
use crate::web::invalid::{Invalid, Pointer};

#[cfg(test)]
mod tests;

/// Why `original` is not a `T`, given how the decoder refused it.
#[cold]
pub(super) fn explain<'de, T: Deserialize<'de>>(
    original: &'de [u8],
    refusal: &simd_json::Error,
) -> BodyError {
    if *refusal.error() == ErrorType::DepthLimitExceeded {
        return not_json(format!("the body nests deeper than {MAX_DEPTH} levels"));
    }
    // Grammar first: the decoder below stops at the first wrong member, before a later mistake.
    match check_grammar(original) {
        Err(detail) => not_json(detail),
        Ok(text) => explain_members::<T>(text),
    }
}

fn not_json(detail: String) -> BodyError {
    BodyError::InvalidJson(InvalidJson { detail })
}

fn check_grammar(original: &[u8]) -> Result<&str, String> {
    if original.is_empty() {
        return Err("the body is empty".to_owned());
    }
    let text = str::from_utf8(original)
        .map_err(|error| format!("the body is not UTF-8 after {} bytes", error.valid_up_to()))?;
    // Does not recurse: skipped values are tracked on the heap.
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(IgnoredAny) => Ok(text),
        Err(error) => Err(format!("the body is not JSON: {error}")),
    }
}

fn explain_members<'de, T: Deserialize<'de>>(text: &'de str) -> BodyError {
    let mut decoder = serde_json::Deserializer::from_str(text);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(Strict(&mut decoder)) else {
        return not_json("the body holds a number or text that cannot be represented".into());
    };
    let cause = error.inner();
    let message = without_position(cause);
    match cause.classify() {
        Category::Data => BodyError::Invalid(invalid(error.path(), &message)),
        Category::Syntax if is_escape_flaw(&message) => not_json(format!("the body is not JSON: {cause}")),
        // RFC 8259's grammar allows it, and yet `serde_json` calls it syntax.
        Category::Syntax => {
            let pointer = pointer_to(error.path());
            BodyError::Invalid(Invalid::at(pointer, plain_syntax(&message)))
        }
        Category::Eof | Category::Io => not_json(format!("the body is not JSON: {cause}")),
    }
}

/// Escapes are grammatical one by one; that they make up no text shows in decoding.
fn is_escape_flaw(message: &str) -> bool {
    message.ends_with("hex escape") || message == "invalid unicode code point"
}

fn plain_syntax(message: &str) -> &'static str {
    match message {
        "number out of range" => "is out of range",
        "trailing characters" => "has too many elements",
        // Said of enums alone.
        "expected value" => "must be a string",
        _ => "has the wrong form",
    }
}

/// The message of `error` without the ` at line 1 column 2` that `serde_json` appends.
fn without_position(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    if let Some(message) = text.strip_suffix(&position) {
        text.truncate(message.len());
    }
    text
}

fn invalid(path: &Path, message: &str) -> Invalid {
    let (member, detail) = plain_message(message);
    let mut pointer = pointer_to(path);
    // The path already ends in an unknown member where the decoder was still reading its name.
    let is_in_path = message.starts_with(UNKNOWN_FIELD)
        && matches!(path.iter().next_back(), Some(Segment::Map { key }) if Some(key.as_str()) == member);
    if let Some(name) = member
        && !is_in_path
    {
        pointer = pointer.member(name);
    }
    Invalid::at(pointer, detail)
}

fn pointer_to(path: &Path) -> Pointer {
    path.iter().fold(Pointer::root(), |pointer, segment| match segment {
        Segment::Seq { index } => pointer.index(*index),
        Segment::Map { key: name } | Segment::Enum { variant: name } => pointer.member(name),
        Segment::Unknown => pointer,
    })
}

const MISSING_FIELD: &str = "missing field `";
const DUPLICATE_FIELD: &str = "duplicate field `";
const UNKNOWN_FIELD: &str = "unknown field `";
const UNKNOWN_VARIANT: &str = "unknown variant `";
const INVALID_TYPE: &str = "invalid type: ";
const INVALID_VALUE: &str = "invalid value: ";
const INVALID_LENGTH: &str = "invalid length ";

/// Turns a message of `serde::de::Error` into the member it names, if any, and plain text.
///
/// The text that a client sent stands between serde's own words, so the last occurrence of a
/// separator is the one that serde wrote. A message of another shape is a rule's own words.
pub(crate) fn plain_message(message: &str) -> (Option<&str>, Cow<'static, str>) {
    if let Some(rest) = message.strip_prefix(MISSING_FIELD) {
        return (rest.strip_suffix('`'), "is required".into());
    }
    if let Some(rest) = message.strip_prefix(DUPLICATE_FIELD) {
        return (rest.strip_suffix('`'), "appears twice".into());
    }
    if let Some(rest) = message.strip_prefix(UNKNOWN_FIELD) {
        let end = rest.rfind("`, expected ").or_else(|| rest.rfind("`, there are no fields"));
        return (end.map(|end| &rest[..end]), "is not a known member".into());
    }
    (None, plain_value(message))
}

/// Plain text of a message about a value.
fn plain_value(message: &str) -> Cow<'static, str> {
    let expected = |rest: &'_ str| match rest.rsplit_once(", expected ") {
        Some((found, expected)) => (found.to_owned(), expected.to_owned()),
        None => (String::new(), rest.to_owned()),
    };
    if let Some(rest) = message.strip_prefix(INVALID_TYPE) {
        let (found, expected) = expected(rest);
        return plain_type(&found, &expected);
    }
    if let Some(rest) = message.strip_prefix(INVALID_VALUE) {
        let (_, expected) = expected(rest);
        return plain_range(&expected);
    }
    if let Some(rest) = message.strip_prefix(INVALID_LENGTH) {
        let (_, expected) = expected(rest);
        return format!("must be {}", plain_kind(&expected)).into();
    }
    if let Some(rest) = message.strip_prefix(UNKNOWN_VARIANT) {
        let (_, expected) = expected(rest);
        return format!("must be {}", expected.replace('`', "")).into();
    }
    if message.starts_with("data did not match any variant of untagged enum") {
        return "has none of the allowed forms".into();
    }
    Cow::Owned(message.to_owned())
}

/// A value of the wrong type. Integers beyond 64 bits arrive as floating point.
fn plain_type(found: &str, expected: &str) -> Cow<'static, str> {
    let number = found
        .strip_prefix("floating point `")
        .and_then(|rest| rest.strip_suffix('`'))
        .and_then(|number| number.parse::<f64>().ok());
    match number {
        Some(number) if number.abs() >= 2_f64.powi(63) && integer_range(expected).is_some() => {
            plain_range(expected)
        }
        _ => format!("must be {}", plain_kind(expected)).into(),
    }
}

/// A value of the right type that the type cannot hold.
fn plain_range(expected: &str) -> Cow<'static, str> {
    if let Some((min, max)) = integer_range(expected) {
        return format!("must be an integer from {min} to {max}").into();
    }
    match expected.strip_prefix("a nonzero ") {
        Some(_) => "must be an integer other than 0".into(),
        None => format!("must be {}", plain_kind(expected)).into(),
    }
}

fn integer_range(rust_type: &str) -> Option<(i64, u64)> {
    let (min, max) = match rust_type {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" | "usize" => (0, u64::MAX),
        "i8" => (i8::MIN.into(), i8::MAX.unsigned_abs().into()),
        "i16" => (i16::MIN.into(), i16::MAX.unsigned_abs().into()),
        "i32" => (i32::MIN.into(), i32::MAX.unsigned_abs().into()),
        "i64" | "isize" => (i64::MIN, i64::MAX.unsigned_abs()),
        _ => return None,
    };
    Some((min, max))
}

/// What a serde visitor says it expects, without Rust's names. Words of our own pass through.
fn plain_kind(expected: &str) -> &str {
    let starts_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| expected.starts_with(prefix));
    if integer_range(expected).is_some() || starts_with(&["a nonzero "]) {
        return "an integer";
    }
    match expected {
        "f32" | "f64" => "a number",
        "i128" | "u128" => "an integer",
        "a borrowed string" | "variant identifier" | "field identifier" => "a string",
        "a map" => "an object",
        "a sequence" => "an array",
        "unit" => "null",
        "fewer elements in array" => "an array of fewer elements",
        _ if starts_with(&["struct ", "internally tagged enum ", "adjacently tagged enum "]) => "an object",
        _ if starts_with(&["tuple ", "a tuple ", "an array of length "]) => "an array of the right length",
        _ if starts_with(&["unit struct "]) => "null",
        _ if starts_with(&["enum "]) => "a string",
        other => other,
    }
}
