//! Handlers at work: how they are called, for how long, and what becomes of their panics. Knows nothing of what a request
//! had to pass before.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Version};

use super::Exchanges;
use crate::api::routes::{BodyRule, Upgrading};
use crate::api::{AppError, AuthUser, Endpoint, Route};
use crate::server::body::Arriving;
use crate::server::connection::UnderWay;
use crate::web::call::{Body, Call};
use crate::web::reply::Reply;
use crate::web::router::Params;
use crate::web::websocket::Upgrade;

impl Exchanges {
    /// Calls the route's handler.
    pub(super) async fn handle(
        &self,
        route: &Route,
        user: Option<AuthUser>,
        call: Call<'_>,
    ) -> Result<Reply, AppError> {
        let handler = match (&route.endpoint, user) {
            (Endpoint::Now(handler), _) => {
                return contained(|| handler(&self.api, &call)).unwrap_or_else(Err);
            }
            (Endpoint::Always(handler) | Endpoint::Public(handler), _) => handler(&self.api, call),
            (Endpoint::User(handler), Some(user)) => handler(&self.api, user, call),
            (Endpoint::User(_) | Endpoint::Socket(_), _) => {
                return Err(AppError::Unauthenticated { presented: false });
            }
        };
        self.guarded(route, handler).await
    }

    /// Runs a handler within the request's deadline; its panic is this request's alone.
    async fn guarded<T>(
        &self,
        route: &Route,
        handler: impl Future<Output = Result<T, AppError>>,
    ) -> Result<T, AppError> {
        let mut handler = pin!(handler);
        let guarded = poll_fn(|cx| {
            contained(|| handler.as_mut().poll(cx)).unwrap_or_else(|error| Poll::Ready(Err(error)))
        });
        let deadline = Duration::from_millis(match route.body {
            BodyRule::BatchJson => self.live.get().batch_timeout_ms,
            BodyRule::None | BodyRule::Json | BodyRule::OptionalJson => self.live.get().request_timeout_ms,
        });
        tokio::time::timeout(deadline, guarded).await.unwrap_or(Err(AppError::DeadlinePassed))
    }

    /// The reply to a handshake; what is said after it is left with the request's connection.
    pub(super) async fn upgrade(
        &self,
        route: &Route,
        (head, body): (&Parts, &Arriving),
        handler: Upgrading<'_>,
        under_way: &UnderWay,
    ) -> Result<Reply, AppError> {
        if head.version < Version::HTTP_11 {
            return Err(AppError::UpgradeRequired);
        }
        if !body.has_ended() {
            // Its bytes could not be told from frames.
            return Err(AppError::Malformed("a handshake has no body"));
        }
        let Upgrade { accept, talk } = self.guarded(route, handler).await?;
        if self.closing.get() {
            return Err(AppError::Overloaded("The server is shutting down."));
        }
        under_way.becomes(talk);
        Ok(Reply::empty(StatusCode::SWITCHING_PROTOCOLS)
            .header(CONNECTION, HeaderValue::from_static("upgrade"))
            .header(UPGRADE, HeaderValue::from_static("websocket"))
            .header(SEC_WEBSOCKET_ACCEPT, accept))
    }
}

pub(super) fn call<'a>(head: &'a Parts, params: Params<'a>, body: Bytes, request_id: &'a str) -> Call<'a> {
    Call {
        method: &head.method,
        path: head.uri.path(),
        query: head.uri.query().unwrap_or_default(),
        headers: &head.headers,
        params,
        request_id,
        body: Body::new(body),
    }
}

/// Turns a panic into an error. The handler's state dies with the unwinding; what it shares with others
/// (read connection, queues) keeps no half-made change, since handlers only read and submit.
pub(super) fn contained<T>(run: impl FnOnce() -> T) -> Result<T, AppError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        AppError::Internal(format!("a handler panicked: {message}"))
    })
}
