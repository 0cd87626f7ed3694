//! Integration tests: the real binary, over real sockets.
//!
//! One crate, so that it links once. `support` starts a server on port 0 in five lines.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod accounts;
mod activation;
mod admin;
mod authorization;
mod backup;
mod batches;
mod commands;
mod dashboard;
mod doctor;
mod drain;
mod errors;
mod events;
mod export;
mod faults;
mod following;
mod histories;
mod holds;
mod idempotency;
mod layers;
mod live;
mod metrics;
mod openapi;
#[cfg(feature = "otlp")]
mod otlp;
pub(crate) mod postgres;
mod precedence;
mod rate_limit;
mod raw;
mod requests;
mod reversals;
mod search;
mod security;

mod serving;
mod settings;
mod statements;
mod store;
mod supervision;
mod support;
mod transfers;
mod tuning;
mod users;
mod verify;
mod watching;
