//! `/health` says that the process runs; `/ready` says whether to send it requests.

use std::time::Duration;

use http::StatusCode;
use serde::Serialize;

use super::{Answer, Api};
use crate::services::LaneError;
use crate::web::call::Call;
use crate::web::reply::Reply;

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
    /// The posting lane's way to the store.
    store: &'static str,
    /// This core's way to it.
    reads: &'static str,
}

/// GET `/health`. Touches nothing else.
pub(super) fn health(_: &Api, _: &Call<'_>) -> Answer {
    Ok(Reply::json(StatusCode::OK, &Health { status: "ok" })?.no_store())
}

/// GET `/ready`. The store's check is a real query behind the commands that wait for it, so it also tells that
/// the posting lane moves; another one takes the way of this core's reads.
pub(super) async fn ready(api: &Api, _: Call<'_>) -> Answer {
    let lane = tokio::time::timeout(STORE_CHECK_TIMEOUT, api.services.lane.check());
    let reader = tokio::time::timeout(STORE_CHECK_TIMEOUT, api.services.reader.head());
    let (lane, reader) = tokio::join!(lane, reader);
    let reads = match reader {
        Ok(Ok(_)) => "ok",
        Ok(Err(_)) => "failed",
        Err(_) => "timed out",
    };
    let store = match lane {
        Ok(Ok(_)) => "ok",
        Ok(Err(LaneError::Full)) => "queue full",
        Ok(Err(LaneError::Ended)) => "ended",
        Ok(Err(LaneError::Store)) => "failed",
        Err(_) => "timed out",
    };
    let checks = Checks { server: if api.draining.get() { "draining" } else { "ok" }, store, reads };
    let ready = [checks.server, checks.store, checks.reads].iter().all(|&check| check == "ok");
    let (code, status) =
        if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    Ok(Reply::json(code, &Readiness { status, checks })?.no_store())
}
