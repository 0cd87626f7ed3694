//! What is wrong with the parts of a request that was understood: pointer by pointer.
//!
//! Shared by body, query and handler validation. Knows no status code; the caller answers 422.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use serde::Serialize;

/// An RFC 6901 JSON pointer. Query parameters use the same form, `/limit` for `?limit=`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Pointer(String);

impl Pointer {
    /// The whole document, `""`.
    pub fn root() -> Self {
        Self::default()
    }

    /// This pointer extended by a member name, escaped as RFC 6901 §3 demands.
    #[must_use]
    pub fn member(mut self, name: &str) -> Self {
        self.0.push('/');
        for character in name.chars() {
            match character {
                '~' => self.0.push_str("~0"),
                '/' => self.0.push_str("~1"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// This pointer extended by an array index, from 0.
    #[must_use]
    pub fn index(mut self, index: usize) -> Self {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "/{index}");
        self
    }

    /// The pointer as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One flaw of one member: an entry of the problem document's `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// The member, or the place where a missing one should be.
    pub pointer: Pointer,
    /// What is wrong, in words for users of the API; reads after the member's name.
    pub detail: Cow<'static, str>,
}

impl FieldError {
    /// A flaw at `pointer`.
    pub fn new(pointer: Pointer, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer, detail: detail.into() }
    }
}

/// A request that was read but breaks the rules of its members. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", summary(errors))]
pub struct Invalid {
    /// The flaws, in the order they were found.
    pub errors: Vec<FieldError>,
}

impl Invalid {
    /// One flaw at `pointer`.
    pub fn at(pointer: Pointer, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { errors: vec![FieldError::new(pointer, detail)] }
    }

    /// One flaw of the top-level member or query parameter `name`.
    pub fn member(name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::at(Pointer::root().member(name), detail)
    }
}

/// Gathers the flaws of members while they are checked, so that a caller hears of all at once.
#[derive(Debug, Default)]
pub struct Flaws {
    /// The object whose members they are.
    object: Pointer,
    errors: Vec<FieldError>,
}

impl Flaws {
    /// Of the object at `object`, none yet; by default of the whole document.
    pub const fn of(object: Pointer) -> Self {
        Self { object, errors: Vec::new() }
    }

    /// Notes a flaw of the member `name`.
    pub fn note(&mut self, name: &str, detail: impl Into<Cow<'static, str>>) {
        self.errors.push(FieldError::new(self.object.clone().member(name), detail));
    }

    /// The value of an optional member; notes why it has none that is valid.
    pub fn optional<T, E: fmt::Display>(&mut self, name: &str, checked: Option<Result<T, E>>) -> Option<T> {
        let value = checked?;
        value.map_err(|error| self.note(name, error.to_string())).ok()
    }

    /// Ends the checks: an error if anything was noted.
    pub fn none(self) -> Result<(), Invalid> {
        if self.errors.is_empty() { Ok(()) } else { Err(Invalid { errors: self.errors }) }
    }
}

/// `/amount must be an integer; /currency is required`, for logs and as a problem's `detail`.
fn summary(errors: &[FieldError]) -> String {
    let mut text = String::new();
    for FieldError { pointer, detail } in errors {
        let separator = if text.is_empty() { "" } else { "; " };
        let subject = match pointer.as_str() {
            "" => "the document",
            member => member,
        };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{subject} {detail}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_escape_as_rfc_6901_demands() {
        let pointer = Pointer::root().member("a/b").index(0).member("m~n").member("");
        assert_eq!(pointer.as_str(), "/a~1b/0/m~0n/");
    }

    #[test]
    fn summary_names_every_member() {
        let mut invalid = Invalid::member("amount", "must be an integer");
        invalid.errors.push(FieldError::new(Pointer::root(), "must be an object"));
        assert_eq!(invalid.to_string(), "/amount must be an integer; the document must be an object");
    }

    #[test]
    fn field_errors_encode_as_pointer_and_detail() {
        let error = FieldError::new(Pointer::root().member("foo"), "is required");
        assert_eq!(serde_json::to_string(&error).unwrap(), r#"{"pointer":"/foo","detail":"is required"}"#);
    }
}
