//! Endpoints for load tests, served only with `--bench-endpoints`.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Answer, Api};
use crate::runtime::cores::burn;
use crate::web::call::Call;
use crate::web::invalid::Invalid;
use crate::web::reply::Reply;

#[derive(Serialize)]
struct Message {
    message: &'static str,
}

#[derive(Deserialize)]
struct CpuQuery {
    ms: u64,
}

#[derive(Serialize)]
struct Burnt {
    ms: u64,
}

/// GET `/plaintext`.
#[expect(clippy::unnecessary_wraps, reason = "every handler has this shape")]
pub(super) fn plaintext(_: &Api, _: &Call<'_>) -> Answer {
    Ok(Reply::text(StatusCode::OK, "Hello, World!"))
}

/// GET `/json`.
pub(super) fn json(_: &Api, _: &Call<'_>) -> Answer {
    Ok(Reply::json(StatusCode::OK, &Message { message: "Hello, World!" })?)
}

/// GET `/cpu?ms=N`: N milliseconds of thread CPU time on the CPU pool.
pub(super) async fn cpu(api: &Api, call: Call<'_>) -> Answer {
    let CpuQuery { ms } = call.query()?;
    if !(1..=1_000).contains(&ms) {
        return Err(Invalid::member("ms", "must be between 1 and 1000").into());
    }
    api.services.pool.run(move || burn(Duration::from_millis(ms))).await?;
    Ok(Reply::json(StatusCode::OK, &Burnt { ms })?)
}
