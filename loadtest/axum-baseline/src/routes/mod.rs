//! The routes. One file a resource: parse, ask the ledger, shape the reply.

mod accounts;
mod batches;
mod bench;
mod health;
mod tokens;
mod transfers;
mod users;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::{get, post};

use ringledger::config::Limits;

use crate::error::AppError;
use crate::state::App;

/// Keeps money and tokens out of caches.
const NO_STORE: (HeaderName, HeaderValue) = (CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// All routes, to be wrapped in layers.
pub(crate) fn full() -> Router<App> {
    let batches = post(batches::create).layer(DefaultBodyLimit::max(Limits::default().batch_body_bytes));
    Router::new()
        .route("/api/v1/users", post(users::register))
        .route("/api/v1/tokens", post(tokens::issue))
        .route("/api/v1/accounts", post(accounts::open).get(accounts::list))
        .route("/api/v1/accounts/{id}", get(accounts::read))
        .route("/api/v1/transfers", post(transfers::create))
        .route("/api/v1/transfers/batch", batches)
        .route("/api/v1/transfers/{id}", get(transfers::read))
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/plaintext", get(bench::plaintext))
        .route("/json", get(bench::json))
        .route("/cpu", get(bench::cpu))
        .fallback(async || AppError::NotFound)
}

/// The routes that show what axum itself costs.
pub(crate) fn bare() -> Router {
    Router::new().route("/plaintext", get(bench::plaintext)).route("/json", get(bench::json))
}
