//! Problem documents (RFC 9457), the body of every error reply.
//!
//! Owns their members and their order. Knows no particular problem: statuses and codes come from
//! the caller's own table.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

use super::invalid::{FieldError, Invalid};
use super::json::{self, EncodeError};
use super::reply::Reply;

/// What a problem's `type` starts with; its code follows.
pub const TYPE_PREFIX: &str = "urn:ringledger:problem:";

/// An error as clients see it.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Status of the reply, repeated as a member.
    pub status: StatusCode,
    /// Stable name in `snake_case`, for programs.
    pub code: &'static str,
    /// Short and the same for every occurrence of this code.
    pub title: &'static str,
    /// This occurrence, for people. Never SQL, file paths or panics.
    pub detail: Cow<'static, str>,
    /// Flaws of single members.
    pub errors: Vec<FieldError>,
    /// Fields of the reply, such as `Allow` or `Retry-After`.
    pub headers: HeaderMap,
    /// Extension members (RFC 9457 §3.2), after all others.
    pub extensions: Vec<(&'static str, Box<RawValue>)>,
}

impl Problem {
    /// A problem without member flaws, fields and extensions.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        title: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            code,
            title,
            detail: detail.into(),
            errors: Vec::new(),
            headers: HeaderMap::new(),
            extensions: Vec::new(),
        }
    }

    /// Adds the flaws of `invalid`.
    #[must_use]
    pub fn with_errors(mut self, invalid: Invalid) -> Self {
        self.errors.extend(invalid.errors);
        self
    }

    /// Sets a field of the reply.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds an extension member. `name` must be none of the document's own.
    pub fn with_extension(mut self, name: &'static str, value: &impl Serialize) -> Result<Self, EncodeError> {
        self.extensions.push((name, to_raw_value(value)?));
        Ok(self)
    }

    /// The document alone, to stand inside another one. For `serde_json` only.
    pub fn document<'a>(&'a self, request_id: &'a str) -> Document<'a> {
        Document { problem: self, request_id }
    }

    /// The reply to the request `request_id`, never to be cached.
    pub fn into_reply(self, request_id: &str) -> Reply {
        // Strings, a number and text that is JSON already: encoding these cannot fail.
        let body = json::to_bytes(&self.document(request_id)).unwrap_or_default();
        let media_type = const { HeaderValue::from_static("application/problem+json") };
        let mut reply = Reply::bytes(self.status, media_type, body).no_store();
        reply.content.headers.extend(self.headers);
        reply
    }
}

/// The members of a problem as they are written.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    problem: &'a Problem,
    request_id: &'a str,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let problem = self.problem;
        let mut members = serializer.serialize_map(None)?;
        members.serialize_entry("type", &Joined(TYPE_PREFIX, problem.code))?;
        members.serialize_entry("title", problem.title)?;
        members.serialize_entry("status", &problem.status.as_u16())?;
        members.serialize_entry("detail", &problem.detail)?;
        members.serialize_entry("instance", &instance(self.request_id))?;
        members.serialize_entry("code", problem.code)?;
        if !problem.errors.is_empty() {
            members.serialize_entry("errors", &problem.errors)?;
        }
        for (name, value) in &problem.extensions {
            members.serialize_entry(name, value)?;
        }
        members.end()
    }
}

/// Two pieces of text as one string.
struct Joined<'a>(&'a str, &'a str);

impl Serialize for Joined<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}{}", self.0, self.1))
    }
}

/// URN of the occurrence. A caller's own request id need not be a UUID.
fn instance(request_id: &str) -> Joined<'_> {
    let namespace = if is_uuid(request_id) { "urn:uuid:" } else { "urn:request:" };
    Joined(namespace, request_id)
}

/// Whether `text` has the form `8-4-4-4-12` of RFC 9562 §4, in either case.
fn is_uuid(text: &str) -> bool {
    const HYPHENS: [usize; 4] = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| {
            if HYPHENS.contains(&index) { byte == b'-' } else { byte.is_ascii_hexdigit() }
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};

    const UUID: &str = "0190f5c2-7e1a-7bcd-8f01-23456789abcd";

    fn overloaded() -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "Overloaded", "try again")
    }

    #[test]
    fn replies_with_all_members_in_order() {
        let reply = overloaded().with_header(RETRY_AFTER, HeaderValue::from_static("1")).into_reply(UUID);
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reply.content.headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(reply.content.headers[CACHE_CONTROL], "no-store");
        assert_eq!(reply.content.headers[RETRY_AFTER], "1");
        let expected = concat!(
            r#"{"type":"urn:ringledger:problem:overloaded","title":"Overloaded","status":503,"#,
            r#""detail":"try again","instance":"urn:uuid:0190f5c2-7e1a-7bcd-8f01-23456789abcd","#,
            r#""code":"overloaded"}"#
        );
        assert_eq!(reply.content.body, expected);
    }

    #[test]
    fn flaws_and_extensions_follow_the_standard_members() {
        let problem = overloaded()
            .with_errors(Invalid::member("a/b", "is required"))
            .with_extension("results", &[1, 2])
            .unwrap();
        let text = serde_json::to_string(&problem.document("mine")).unwrap();
        let tail = r#""instance":"urn:request:mine","code":"overloaded","errors":[{"pointer":"/a~1b","detail":"is required"}],"results":[1,2]}"#;
        assert!(text.ends_with(tail), "{text}");
    }

    #[test]
    fn only_the_hyphenated_form_is_a_uuid() {
        assert!(is_uuid(UUID) && is_uuid(&UUID.to_uppercase()));
        let others = [
            "",
            "0190f5c27e1a7bcd8f0123456789abcd",
            "{0190f5c2-7e1a-7bcd-8f01-23456789ab}",
            "0190f5c2-7e1a-7bcd-8f01-23456789abcg",
            "0190f5c2-7e1a-7bcd-8f01023456789abcd",
            "0190f5c2-7e1a-7bcd-8f01-23456789abcd0",
        ];
        for text in others {
            assert!(!is_uuid(text), "{text}");
        }
    }
}
