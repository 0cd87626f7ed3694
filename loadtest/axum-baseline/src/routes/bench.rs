//! Endpoints for load tests.

use std::time::Duration;

use axum::extract::State;
use ringledger::runtime::cores::burn;
use serde::{Deserialize, Serialize};

use crate::error::AppError;
use crate::extract::{Json, Query};
use crate::problem::Flaw;
use crate::state::App;

#[derive(Serialize)]
pub(super) struct Message {
    message: &'static str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cost {
    ms: u64,
}

#[derive(Serialize)]
pub(super) struct Burnt {
    ms: u64,
}

/// GET `/plaintext`.
pub(super) async fn plaintext() -> &'static str {
    "Hello, World!"
}

/// GET `/json`.
pub(super) async fn json() -> Json<Message> {
    Json(Message { message: "Hello, World!" })
}

/// GET `/cpu?ms=N`: N milliseconds of a blocking thread's CPU time.
pub(super) async fn cpu(
    State(app): State<App>,
    Query(Cost { ms }): Query<Cost>,
) -> Result<Json<Burnt>, AppError> {
    if !(1..=1_000).contains(&ms) {
        return Err(AppError::Invalid(vec![Flaw::member("ms", "must be between 1 and 1000")]));
    }
    app.cpu.run(move || burn(Duration::from_millis(ms))).await?;
    Ok(Json(Burnt { ms }))
}
