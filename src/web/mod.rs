//! The HTTP vocabulary of the service: what a request asks and what a reply says.
//!
//! Owns routing, the request view, JSON and query decoding, negotiation, validators, cursors, WebSockets and
//! problem documents. Must not know hyper, tokio, sockets or anything of the ledger: it could
//! serve another application unchanged.

use crate as web;

pub mod asset;
pub mod call;
pub mod conditional;
pub mod host;
pub mod invalid;
pub mod json;
pub mod negotiate;
pub mod page;
mod percent;
pub mod problem;
pub mod query;
pub mod reply;
pub mod router;
pub mod websocket;
