//! Typed extractors: who calls, under which key, with what body.

use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use ringledger::models::{Actor, IdempotencyKey, Role};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower_http::request_id::RequestId;

use crate::error::AppError;
use crate::json;
use crate::problem::Flaw;
use crate::state::App;

/// The scheme and the space that ends it (RFC 6750 §2.1).
const SCHEME: &[u8] = b"Bearer ";

/// A caller with a valid token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AuthUser(pub(crate) Actor);

impl FromRequestParts<App> for AuthUser {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        let token = bearer_token(&parts.headers)?;
        app.verify(token).map(Self).map_err(|_| AppError::Unauthenticated { presented: true })
    }
}

impl AuthUser {
    /// Whether the caller is an operator.
    pub(crate) fn is_operator(self) -> bool {
        self.0.role == Role::Operator
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&[u8], AppError> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let value = sent.next().ok_or(AppError::Unauthenticated { presented: false })?;
    match value.as_bytes().split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && sent.next().is_none() => {
            Ok(token.trim_ascii_start())
        }
        _ => Err(AppError::Unauthenticated { presented: true }),
    }
}

/// The `Idempotency-Key`, bare or as a quoted string.
#[derive(Debug)]
pub(crate) struct Key(pub(crate) IdempotencyKey);

impl<S: Sync> FromRequestParts<S> for Key {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        key(&parts.headers).map(Self)
    }
}

fn key(headers: &HeaderMap) -> Result<IdempotencyKey, AppError> {
    let invalid = |detail: &'static str| {
        AppError::Invalid(vec![Flaw { pointer: String::new(), detail: detail.into() }])
    };
    let mut sent = headers.get_all("idempotency-key").iter();
    let value = sent.next().ok_or(AppError::IdempotencyKeyMissing)?;
    if sent.next().is_some() {
        return Err(invalid("Idempotency-Key must be sent once"));
    }
    let refused = || invalid("Idempotency-Key must be 1 to 255 visible ASCII characters");
    let text = value.to_str().map_err(|_| refused())?;
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let text = inner.map_or_else(|| text.to_owned(), unescaped);
    if text.is_empty() {
        return Err(AppError::IdempotencyKeyMissing);
    }
    text.parse().map_err(|_| refused())
}

/// The content of a quoted string (RFC 9651 §3.3.3).
fn unescaped(inner: &str) -> String {
    let mut escaped = false;
    let kept = inner.chars().filter(|&character| {
        escaped = character == '\\' && !escaped;
        !escaped
    });
    kept.collect()
}

/// The request's id, as the layer has set it.
#[derive(Debug)]
pub(crate) struct Id(pub(crate) Box<str>);

impl<S: Sync> FromRequestParts<S> for Id {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        let id = parts.extensions.get::<RequestId>().and_then(|id| id.header_value().to_str().ok());
        Ok(Self(id.unwrap_or_default().into()))
    }
}

/// An id in the path. No resource has a malformed one, so that is 404.
#[derive(Debug)]
pub(crate) struct PathId<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathId<T> {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, AppError> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(id)| Self(id)).map_err(|_| AppError::NotFound)
    }
}

/// Parameters of the query; unknown ones are refused by their type.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, AppError> {
        json::decode_query(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// A JSON body, in and out; axum's own, but for the words of its refusals.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = AppError;

    async fn from_request(request: Request<Body>, state: &S) -> Result<Self, AppError> {
        if !is_plain_json(request.headers()) {
            return Err(AppError::UnsupportedMediaType);
        }
        let body = Bytes::from_request(request, state).await.map_err(|refusal| body_refused(&refusal))?;
        json::decode(&body).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn body_refused(refusal: &BytesRejection) -> AppError {
    match refusal.status() {
        StatusCode::PAYLOAD_TOO_LARGE => AppError::PayloadTooLarge,
        _ => AppError::BodyBroken,
    }
}

/// `application/json` or a type with the suffix `+json`, without a content coding, which nobody here undoes.
fn is_plain_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || essence.strip_prefix("application/").is_some_and(|subtype| subtype.ends_with("+json"));
    is_json && headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding == "identity")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn quoted_and_bare_keys_are_the_same() {
        let read = |value: &'static str| {
            let headers =
                HeaderMap::from_iter([("idempotency-key".parse().unwrap(), HeaderValue::from_static(value))]);
            key(&headers)
        };
        for (sent, expected) in [("abc", "abc"), ("\"abc\"", "abc"), (r#""a\"b\\c""#, r#"a"b\c"#)] {
            assert_eq!(read(sent).unwrap().as_str(), expected, "{sent}");
        }
        assert!(matches!(read("\"\""), Err(AppError::IdempotencyKeyMissing)));
        assert!(matches!(read("a b"), Err(AppError::Invalid(_))));
    }

    #[test]
    fn one_bearer_token_whatever_the_case_of_the_scheme() {
        let mut headers = HeaderMap::new();
        assert!(matches!(bearer_token(&headers), Err(AppError::Unauthenticated { presented: false })));
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer  abc"));
        assert_eq!(bearer_token(&headers).unwrap(), b"abc");
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer def"));
        assert!(matches!(bearer_token(&headers), Err(AppError::Unauthenticated { presented: true })));
    }
}
