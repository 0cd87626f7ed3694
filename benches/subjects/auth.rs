//! Requests with tokens.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use ringledger::models::{Actor, Role, UserId};
use ringledger::services::{SigningKey, Tokens};
use uuid::Uuid;

/// Tokens of a fresh key, none of them remembered.
pub(crate) fn tokens() -> Tokens {
    let directory = tempfile::tempdir().expect("a directory");
    let key = SigningKey::read_or_make(&directory.path().join("key")).expect("a key");
    Tokens::new(&key.into())
}

/// The head of a usual request, with a token of its own for each `user`.
pub(crate) fn head(tokens: &Tokens, user: u128) -> HeaderMap {
    let actor = Actor { id: UserId::from_uuid(Uuid::from_u128(user)), role: Role::User };
    let token = tokens.issue(actor, 3_600).expect("a token");
    let bearer = HeaderValue::try_from(format!("Bearer {token}")).expect("visible ASCII");
    let mut head = HeaderMap::new();
    head.insert("host", HeaderValue::from_static("localhost:8080"));
    head.insert("accept", HeaderValue::from_static("application/json"));
    head.insert("user-agent", HeaderValue::from_static("bench"));
    head.insert(AUTHORIZATION, bearer);
    head
}
