//! Problem documents (RFC 9457): the body of every error reply.
//!
//! An error becomes a bodiless response that carries its [`Problem`]; [`complete`] writes the document once the
//! request id stands in the response's fields.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::error::AppError;
use crate::layers::X_REQUEST_ID;

/// One flaw of one member of a request: an entry of `errors`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Flaw {
    /// RFC 6901; query parameters use the same form.
    pub(crate) pointer: String,
    /// What is wrong, in words that read after the member's name.
    pub(crate) detail: Cow<'static, str>,
}

impl Flaw {
    /// A flaw of the top-level member or parameter `name`.
    pub(crate) fn member(name: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { pointer: format!("/{}", escaped(name)), detail: detail.into() }
    }
}

/// A name as it stands in a pointer (RFC 6901 §3).
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// An error as clients see it, without the id of its request.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    /// The reply's status.
    pub(crate) status: StatusCode,
    /// Stable name in `snake_case`.
    pub(crate) code: &'static str,
    /// The same for every occurrence of the code.
    pub(crate) title: &'static str,
    /// This occurrence, for people.
    pub(crate) detail: Cow<'static, str>,
    /// Flaws of single members.
    pub(crate) errors: Vec<Flaw>,
    /// The request that was first told so, if it was another one.
    pub(crate) first_told: Option<Box<str>>,
    /// What became of each transfer of a refused batch.
    pub(crate) results: Option<Box<RawValue>>,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    instance: String,
    code: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [Flaw],
    #[serde(skip_serializing_if = "Option::is_none")]
    results: Option<&'a RawValue>,
}

impl Problem {
    /// The document of a request with this id, to stand inside another one.
    pub(crate) fn to_raw(&self, request_id: &str) -> Result<Box<RawValue>, AppError> {
        serde_json::from_slice(&self.document(request_id))
            .map_err(|error| AppError::Internal(format!("a problem: {error}")))
    }

    fn document(&self, request_id: &str) -> Vec<u8> {
        let request_id = self.first_told.as_deref().unwrap_or(request_id);
        let is_uuid = request_id.parse::<ringledger::models::TransferId>().is_ok();
        let namespace = if is_uuid { "urn:uuid" } else { "urn:request" };
        let document = Document {
            r#type: format!("urn:ringledger:problem:{}", self.code),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: format!("{namespace}:{request_id}"),
            code: self.code,
            errors: &self.errors,
            results: self.results.as_deref(),
        };
        // Strings and a number: encoding these cannot fail.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

/// Gives an error reply its document: what the handlers refused, and what layers and router refuse without a body.
pub(crate) fn complete(mut response: Response<Body>) -> Response<Body> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| bare(status));
    let Some(problem) = problem else { return response };
    let request_id = response.headers().get(X_REQUEST_ID).and_then(|id| id.to_str().ok());
    let document = problem.document(request_id.unwrap_or_default());
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.map(|_| document.into())
}

/// The problem of a status that comes without one: axum's router says 405, the timeout layer 503.
fn bare(status: StatusCode) -> Option<Problem> {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Some(AppError::MethodNotAllowed.problem()),
        StatusCode::SERVICE_UNAVAILABLE => Some(AppError::DeadlinePassed.problem()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_name_the_request_that_was_first_told() {
        let text = |problem: &Problem, id| String::from_utf8(problem.document(id)).unwrap();
        let mut problem = AppError::NotFound.problem();
        let expected = concat!(
            r#"{"type":"urn:ringledger:problem:not_found","title":"Not found","status":404,"#,
            r#""detail":"There is no such resource.","instance":"urn:request:mine","code":"not_found"}"#
        );
        assert_eq!(text(&problem, "mine"), expected);
        problem.first_told = Some("0190f5c2-7e1a-7bcd-8f01-23456789abcd".into());
        problem.errors.push(Flaw::member("a/b", "is required"));
        let told = text(&problem, "mine");
        assert!(told.contains(r#""instance":"urn:uuid:0190f5c2-7e1a-7bcd-8f01-23456789abcd""#), "{told}");
        assert!(told.ends_with(r#""errors":[{"pointer":"/a~1b","detail":"is required"}]}"#), "{told}");
    }

    #[test]
    fn only_errors_are_touched() {
        let good = complete(Response::new(Body::from("text")));
        assert!(good.headers().is_empty());
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        assert_eq!(complete(refused).headers()[CONTENT_TYPE], "application/problem+json");
    }
}
