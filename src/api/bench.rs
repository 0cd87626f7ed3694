//! Endpoints for load and conformance tests, served only with `--bench-endpoints`.

use std::future::pending;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Answer, Api, AppError};
use crate::runtime::cores::burn;
use crate::web::call::Call;
use crate::web::invalid::Invalid;
use crate::web::reply::Reply;
use crate::web::websocket::{self, Said, Talk, Upgrade};

/// Bytes of a message that is echoed, at most: the longest of Autobahn's cases.
const ECHO_BYTES: usize = 16 * 1024 * 1024;

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
    api.services.compute(move || burn(Duration::from_millis(ms))).await?;
    Ok(Reply::json(StatusCode::OK, &Burnt { ms })?)
}

/// GET `/ws-echo`: a WebSocket that sends back what it is told.
pub(super) async fn echo(_: &Api, call: Call<'_>) -> Result<Upgrade, AppError> {
    Ok(Upgrade { accept: websocket::accept(call.method, call.headers)?, talk: Rc::new(Echo) })
}

/// Says nothing of its own.
struct Echo;

impl Talk for Echo {
    fn max_message_bytes(&self) -> usize {
        ECHO_BYTES
    }

    fn next(self: Rc<Self>) -> Pin<Box<dyn Future<Output = Said>>> {
        Box::pin(pending())
    }

    fn hear(&self, message: websocket::Message) -> Option<websocket::Message> {
        Some(message)
    }
}
