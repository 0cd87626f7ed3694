//! Who calls: the bearer token of a request (RFC 6750) as a type that handlers take.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::AppError;
use crate::models::{Actor, Role};
use crate::services::Tokens;

/// The scheme and the space that ends it; more spaces may follow (RFC 6750 §2.1, RFC 9110 §11.4).
const SCHEME: &[u8] = b"Bearer ";

/// A caller with a valid token. There is no other way to get one.
#[derive(Debug, Clone, Copy)]
pub struct AuthUser(Actor);

impl AuthUser {
    /// The user of the request's token.
    pub fn from_headers(headers: &HeaderMap, tokens: &Tokens) -> Result<Self, AppError> {
        let token = bearer_token(headers)?;
        tokens.verify(token).map(Self).map_err(|_| AppError::Unauthenticated { presented: true })
    }

    /// The user as the rules see one.
    pub const fn actor(self) -> Actor {
        self.0
    }

    /// Lets operators through.
    pub fn require_operator(self, what: &'static str) -> Result<(), AppError> {
        match self.0.role {
            Role::Operator => Ok(()),
            Role::User => Err(AppError::Forbidden(what)),
        }
    }
}

/// The token as sent, unchecked: a token seen before is known by its bytes, without a look at each of them.
fn bearer_token(headers: &HeaderMap) -> Result<&[u8], AppError> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let value = sent.next().ok_or(AppError::Unauthenticated { presented: false })?;
    match value.as_bytes().split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) && sent.next().is_none() => {
            Ok(without_leading_spaces(token))
        }
        _ => Err(AppError::Unauthenticated { presented: true }),
    }
}

fn without_leading_spaces(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn one_bearer_token_whatever_the_case_of_the_scheme() {
        let mut headers = HeaderMap::new();
        assert!(matches!(bearer_token(&headers), Err(AppError::Unauthenticated { presented: false })));
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer  abc", Some("abc")),
            ("Bearer ", Some("")),
            ("Bearer\tabc", None),
            ("Basic abc", None),
            ("Bearer", None),
            ("", None),
        ] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bearer_token(&headers).ok(), token.map(str::as_bytes), "{value}");
        }
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer def"));
        assert!(bearer_token(&headers).is_err());
    }
}
