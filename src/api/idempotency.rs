//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), bare or as a quoted string.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName};

use super::AppError;
use crate::models::IdempotencyKey;
use crate::web::invalid::{Invalid, Pointer};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The request's key.
pub(super) fn key(headers: &HeaderMap) -> Result<IdempotencyKey, AppError> {
    let mut sent = headers.get_all(IDEMPOTENCY_KEY).iter();
    let value = sent.next().ok_or(AppError::IdempotencyKeyMissing)?;
    let invalid = |detail: &'static str| AppError::Invalid(Invalid::at(Pointer::root(), detail));
    if sent.next().is_some() {
        return Err(invalid("Idempotency-Key must be sent once"));
    }
    let text = value.to_str().unwrap_or("\u{80}");
    let text = unquoted(text);
    if text.is_empty() {
        return Err(AppError::IdempotencyKeyMissing);
    }
    text.parse().map_err(|_| invalid("Idempotency-Key must be 1 to 255 visible ASCII characters"))
}

/// The content of a quoted string (RFC 9651 §3.3.3); other text as it is.
fn unquoted(text: &str) -> Cow<'_, str> {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    match inner {
        Some(inner) if inner.contains('\\') => {
            let mut escaped = false;
            let kept = inner.chars().filter(|&c| {
                escaped = c == '\\' && !escaped;
                !escaped
            });
            Cow::Owned(kept.collect())
        }
        Some(inner) => Cow::Borrowed(inner),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(value: &[u8]) -> Result<IdempotencyKey, AppError> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(value).unwrap());
        key(&headers)
    }

    #[test]
    fn quoted_and_bare_are_the_same_key() {
        for (sent, expected) in
            [("abc", "abc"), ("\"abc\"", "abc"), (r#""a\"b\\c""#, r#"a"b\c"#), ("\"", "\""), ("a\"b", "a\"b")]
        {
            assert_eq!(read(sent.as_bytes()).unwrap().as_str(), expected, "{sent}");
        }
    }

    #[test]
    fn missing_and_malformed_differ() {
        assert!(matches!(key(&HeaderMap::new()), Err(AppError::IdempotencyKeyMissing)));
        for missing in ["", "\"\""] {
            assert!(matches!(read(missing.as_bytes()), Err(AppError::IdempotencyKeyMissing)), "{missing:?}");
        }
        for malformed in [&b"a b"[..], b"\xff", "k".repeat(256).as_bytes()] {
            assert!(matches!(read(malformed), Err(AppError::Invalid(_))), "{malformed:?}");
        }
    }
}
