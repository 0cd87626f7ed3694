//! `/health` says that the process runs, `/ready` whether to send it requests, `/metrics` what it has counted.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use serde::Serialize;

use super::NO_STORE;
use crate::extract::Json;
use crate::state::App;

/// How long the store may take to answer the readiness check.
const STORE_CHECK_TIMEOUT: Duration = Duration::from_millis(500);

#[derive(Serialize)]
struct Health {
    status: &'static str,
}

#[derive(Serialize)]
struct Readiness {
    status: &'static str,
    checks: Checks,
}

#[derive(Serialize)]
struct Checks {
    server: &'static str,
    store: &'static str,
    reads: &'static str,
}

/// GET `/health`. Touches nothing else.
pub(super) async fn health() -> impl IntoResponse {
    ([NO_STORE], Json(Health { status: "ok" }))
}

/// GET `/ready`. The store's check is a real query on the way of the reads, so it stands for both.
pub(super) async fn ready(State(app): State<App>) -> impl IntoResponse {
    let store = match tokio::time::timeout(STORE_CHECK_TIMEOUT, app.reads.check()).await {
        Ok(Ok(())) => "ok",
        Ok(Err(_)) => "failed",
        Err(_) => "timed out",
    };
    let server = if app.is_draining() { "draining" } else { "ok" };
    let ready = server == "ok" && store == "ok";
    let (code, status) =
        if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    (code, [NO_STORE], Json(Readiness { status, checks: Checks { server, store, reads: store } }))
}

/// GET `/metrics`.
pub(super) async fn metrics(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.prometheus.render())
}
