//! HTTP as the tests speak it: callers with tokens, requests, answers. Knows no resource but transfers.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Body, Method, redirect};
use serde_json::{Value, json};
use uuid::Uuid;

use super::Server;

/// How long an answer may take. Far more than any needs, for machines that are busy building.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Somebody who calls the API.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// A request that is being put together.
pub(crate) struct Request(reqwest::RequestBuilder);

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Api {
    /// A caller of `server` without a token, on connections of its own.
    pub(crate) fn anonymous(server: &Server) -> Self {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .timeout(ANSWER_TIMEOUT)
            .build()
            .unwrap();
        Self { http, base: server.url(""), token: None }
    }

    /// The same connections with `token`.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The token, of a caller who has one.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().unwrap()
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> Request {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => Request(request.header(AUTHORIZATION, format!("Bearer {token}"))),
            None => Request(request),
        }
    }

    pub(crate) fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// A `POST` of `body` as JSON.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Request {
        self.post_text(path, body.to_string())
    }

    /// A `POST` of bytes that claim to be JSON.
    pub(crate) fn post_text(&self, path: &str, body: impl Into<Body>) -> Request {
        self.request(Method::POST, path).header("content-type", "application/json").body(body)
    }

    /// A `POST` of a transfer under a key of its own.
    pub(crate) fn transfer(&self, body: &Value) -> Request {
        self.transfer_as(&Uuid::now_v7().to_string(), body)
    }

    /// A `POST` of a transfer under `key`.
    pub(crate) fn transfer_as(&self, key: &str, body: &Value) -> Request {
        self.post("/api/v1/transfers", body).key(key)
    }
}

/// A transfer of euros.
pub(crate) fn euros(debit: &str, credit: &str, amount: i64) -> Value {
    json!({"debit_account": debit, "credit_account": credit, "amount": amount, "currency": "EUR"})
}

impl Request {
    /// Adds a field.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        self.header_bytes(name, value.as_bytes())
    }

    /// Adds a field whose value need not be text.
    pub(crate) fn header_bytes(self, name: &str, value: &[u8]) -> Self {
        Self(self.0.header(name, HeaderValue::from_bytes(value).unwrap()))
    }

    /// Sets the `Idempotency-Key`.
    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn body(self, body: impl Into<Body>) -> Self {
        Self(self.0.body(body))
    }

    pub(crate) async fn send(self) -> Answer {
        let response = self.0.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A field's only value.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| value.to_str().unwrap());
        assert!(values.next().is_none(), "{name} is there more than once: {:?}", self.headers);
        value
    }

    /// Checks the status.
    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{:?} {}", self.headers, String::from_utf8_lossy(&self.body));
        self
    }

    /// The body of an answer that must have `status` and be JSON.
    #[track_caller]
    pub(crate) fn json(&self, status: u16) -> Value {
        self.is(status);
        assert_eq!(self.header("content-type"), Some("application/json"), "{}", self.text());
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The document of an answer that must be the problem `code`, with all that RFC 9457 and the contract
    /// say of one.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, code: &str) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status, status, "want {code}, got {text}");
        assert_eq!(self.headers.get(CONTENT_TYPE).unwrap(), "application/problem+json", "{text}");
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["code"], code, "{text}");
        assert_eq!(problem["status"], status, "{text}");
        assert_eq!(problem["type"], format!("urn:ringledger:problem:{code}"), "{text}");
        for member in ["title", "detail", "instance"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {text}");
        }
        problem
    }

    /// Checks that the answer is 422 `code` and names `pointer` and nothing else.
    #[track_caller]
    pub(crate) fn invalid(&self, code: &str, pointer: &str) {
        let problem = self.problem(422, code);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors in {problem}"));
        let pointers: Vec<_> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(pointers, [pointer], "{problem}");
        assert!(errors[0]["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        assert_members(&errors[0], &["pointer", "detail"]);
    }

    /// Checks that no cache may keep the answer.
    #[track_caller]
    pub(crate) fn is_not_stored(&self) -> &Self {
        assert_eq!(self.header("cache-control"), Some("no-store"), "{self:?}");
        self
    }
}

/// Checks that an object has these members and no others.
#[track_caller]
pub(crate) fn assert_members(object: &Value, members: &[&str]) {
    let mut found: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    let mut wanted = members.to_vec();
    found.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(found, wanted, "{object}");
}

/// Checks that a member is an id: a `UUIDv7` in lower-case hyphenated form.
#[track_caller]
pub(crate) fn assert_uuid_v7(text: &str) {
    let uuid = Uuid::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!((uuid.get_version_num(), uuid.to_string().as_str()), (7, text));
}

/// Checks that a member is a time of RFC 3339 in UTC, and returns it.
#[track_caller]
pub(crate) fn time_of(value: &Value) -> jiff::Timestamp {
    let text = value.as_str().unwrap();
    assert!(text.ends_with('Z') && text.contains('T'), "{text}");
    text.parse().unwrap()
}

/// `body` with `member` set to `value`.
pub(crate) fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}
