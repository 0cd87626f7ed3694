//! What a request's head must be before anything looks at its meaning: our bounds, which answer with a problem
//! where hyper's own would cut the connection, and the rules of HTTP that hyper leaves to us.

use http::header::EXPECT;
use http::{HeaderMap, Method, Version};

use crate::api::AppError;
use crate::config::Limits;
use crate::web::host;

/// Checks bounds, `Host` and `Expect`.
pub(super) fn check(head: &http::request::Parts, limits: &Limits) -> Result<(), AppError> {
    let target_bytes = target_bytes(&head.uri);
    if target_bytes > limits.target_bytes {
        return Err(AppError::UriTooLong(limits.target_bytes));
    }
    let request_line = head.method.as_str().len() + target_bytes + " HTTP/1.1\r\n ".len();
    if head.headers.len() > limits.fields || request_line + field_bytes(&head.headers) > limits.head_bytes {
        return Err(AppError::HeadersTooLarge);
    }
    host::check(head.version, &head.headers).map_err(|_| AppError::Malformed("exactly one valid Host"))?;
    if head.method == Method::CONNECT {
        return Err(AppError::Malformed("CONNECT is for proxies"));
    }
    let expects_other = |value: &http::HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    // RFC 9110 §10.1.1: a server ignores the expectations of HTTP/1.0.
    if head.version > Version::HTTP_10 && head.headers.get_all(EXPECT).iter().any(expects_other) {
        return Err(AppError::ExpectationFailed);
    }
    Ok(())
}

fn target_bytes(uri: &http::Uri) -> usize {
    let origin = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len() + "://".len());
    origin + authority + uri.scheme_str().map_or(0, str::len)
}

/// Each field with its colon, space and line end.
fn field_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}
