//! What our parsers of bodies, queries and fields make of bytes, without a server, for the targets of `fuzz/`.
//!
//! No part of the interface. Each function tells the status that a caller would get: 200 for what is accepted.

use bytes::Bytes;
use http::HeaderMap;

use super::accounts::{self, Opening};
use super::events;
use super::transfers::{batch, holds, order, search};
use super::users::{self, Registration};
use super::{AppError, idempotency};
use crate::models::{Actor, Currencies, IdempotencyKey, Role, UserId};
use crate::web::call::Body;
use crate::web::invalid::Pointer;
use crate::web::query;

const ACCEPTED: u16 = 200;

fn status(outcome: Result<(), AppError>) -> u16 {
    outcome.map_or_else(|error| error.into_reply("fuzz").status.as_u16(), |()| ACCEPTED)
}

fn body(bytes: &[u8]) -> Body {
    Body::new(Bytes::copy_from_slice(bytes))
}

/// POST `/api/v1/transfers`
pub fn transfer(bytes: &[u8]) -> u16 {
    let mut body = body(bytes);
    let order = body.json::<order::OrderBody<'_>>().map_err(AppError::from);
    status(order.and_then(|order| order::checked(order, &Currencies::default(), Pointer::root)).map(drop))
}

/// POST `/api/v1/transfers/batch`
pub fn transfers(bytes: &[u8]) -> u16 {
    status(batch::parsed(&mut body(bytes), &Currencies::default()).map(drop))
}

/// POST `/api/v1/transfers/{id}/post`
pub fn post(bytes: &[u8]) -> u16 {
    status(body(bytes).json::<holds::PostBody>().map(drop).map_err(AppError::from))
}

/// POST `/api/v1/accounts`
pub fn account(bytes: &[u8]) -> u16 {
    let operator = Actor { id: UserId::from_uuid(uuid::Uuid::nil()), role: Role::Operator };
    let mut body = body(bytes);
    let opening = body.json::<Opening<'_>>().map_err(AppError::from);
    status(opening.and_then(|it| accounts::checked(&it, operator, &Currencies::default())).map(drop))
}

/// POST `/api/v1/users`
pub fn user(bytes: &[u8]) -> u16 {
    let mut body = body(bytes);
    let registration = body.json::<Registration<'_>>().map_err(AppError::from);
    status(registration.and_then(|it| users::checked(&it)).map(drop))
}

/// The query of GET `/api/v1/transfers`
pub fn search(text: &str) -> u16 {
    status(search::parsed(text).map(drop))
}

/// The query of GET `/api/v1/events`
pub fn follow(text: &str) -> u16 {
    status(query::decode::<events::Query<'_>>(text).map(drop).map_err(AppError::from))
}

/// The idempotency key of a request; `Err` is the status of the refusal.
pub fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, u16> {
    idempotency::key(headers).map_err(|error| error.into_reply("fuzz").status.as_u16())
}
