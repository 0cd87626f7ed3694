//! Who calls: the bearer token of a request (RFC 6750) as a type that handlers take.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::AppError;
use crate::models::{Actor, Role};
use crate::services::Tokens;

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

fn bearer_token(headers: &HeaderMap) -> Result<&str, AppError> {
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let value = sent.next().ok_or(AppError::Unauthenticated { presented: false })?;
    let refused = AppError::Unauthenticated { presented: true };
    if sent.next().is_some() {
        return Err(refused);
    }
    match value.to_str().ok().and_then(|value| value.split_once(' ')) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim_start_matches(' ')),
        _ => Err(refused),
    }
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
            ("Basic abc", None),
            ("Bearer", None),
            ("", None),
        ] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
            assert_eq!(bearer_token(&headers).ok(), token, "{value}");
        }
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer def"));
        assert!(bearer_token(&headers).is_err());
    }
}
