//! The life of a request: id, head, route, user, body, handler, reply, record.

use std::cell::Cell;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tracing::Instrument;

use super::body::Arriving;
use super::head;
use super::parking::Parking;
use super::worker::Stage;
use crate::api::routes::BodyRule;
use crate::api::{Api, AppError, AuthUser, Endpoint, Route};
use crate::config::{AccessLog, Limits};
use crate::runtime::Turns;
use crate::telemetry::request_id;
use crate::web::call::{Body, Call};
use crate::web::negotiate;
use crate::web::reply::Reply;
use crate::web::router::{Match, Params};

/// The body of a reply.
pub type ReplyBody = Full<Bytes>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// One in this many requests leaves an access line when `log.access` is `sampled`.
const ACCESS_SAMPLE: u64 = 100;

/// What the requests of one worker share.
pub struct Exchanges {
    api: Api,
    /// Bounds and deadlines.
    pub(super) limits: Limits,
    access: AccessLog,
    answered: Cell<u64>,
    closing: Cell<bool>,
    /// Turns of the worker's loop.
    pub(super) turns: Turns,
    /// Connections at rest.
    pub(super) parking: Parking,
}

impl Exchanges {
    pub(super) fn new(api: Api, limits: Limits, access: AccessLog) -> Self {
        Self {
            api,
            limits,
            access,
            answered: Cell::new(0),
            closing: Cell::new(false),
            turns: Turns::default(),
            parking: Parking::default(),
        }
    }

    /// Takes note of what the server is doing.
    pub(super) fn enter(&self, stage: Stage) {
        self.api.draining.set(stage >= Stage::Unready);
        self.closing.set(stage >= Stage::Draining);
    }

    /// Answers a request, whatever it is.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<ReplyBody> {
        let begin = Instant::now();
        let (head, incoming) = request.into_parts();
        let mut body = Arriving::new(incoming);
        let id = request_id::adopt_or_make(head.headers.get(REQUEST_ID).map(HeaderValue::as_bytes));
        let trace = head.headers.get(TRACE_PARENT).and_then(|value| request_id::trace_id(value.as_bytes()));
        // At the level of errors, so that whatever the log lets through names its request.
        let span =
            tracing::error_span!("request", %id, trace, method = %head.method, route = tracing::field::Empty);
        let answering = async {
            tracing::debug!(path = head.uri.path(), "request begins");
            let (reply, ends_connection) = match self.reply(&head, &mut body, &id).await {
                Ok(reply) => (reply, false),
                Err(error) => {
                    error.log();
                    let ends_connection = error.ends_connection();
                    (error.into_reply(&id), ends_connection)
                }
            };
            let keep_alive = !ends_connection && self.may_go_on(&head, &mut body).await;
            self.record(reply.status, begin.elapsed());
            response(reply, &id, keep_alive)
        };
        answering.instrument(span).await
    }

    /// Route, user, body, handler.
    async fn reply(&self, head: &Parts, body: &mut Arriving, id: &str) -> Result<Reply, AppError> {
        head::check(head, &self.limits)?;
        let (route, params) = match self.api.router.find(&head.method, head.uri.path()) {
            Match::Found { route, params } => (route, params),
            Match::Options { allow } => return Ok(options(allow)),
            Match::MethodNotAllowed { allow } => {
                return Err(AppError::MethodNotAllowed { allow: allow.clone() });
            }
            Match::NotFound => return Err(AppError::NotFound),
        };
        tracing::Span::current().record("route", route.template);
        let user = match route.endpoint {
            Endpoint::User(_) => Some(AuthUser::from_headers(&head.headers, &self.api.services.tokens)?),
            Endpoint::Now(_) | Endpoint::Public(_) => None,
        };
        if negotiate::best(&head.headers, route.produces).is_none() {
            return Err(AppError::NotAcceptable);
        }
        let body = self.body(head, route, body).await?;
        self.handle(route, user, call(head, params, body, id)).await
    }

    async fn body(&self, head: &Parts, route: &Route, body: &mut Arriving) -> Result<Bytes, AppError> {
        match route.body {
            BodyRule::None => Ok(Bytes::new()),
            BodyRule::Json if !is_plain_json(&head.headers) => Err(AppError::UnsupportedMediaType),
            BodyRule::Json => {
                let stall = Duration::from_millis(self.limits.body_timeout_ms);
                body.collect(self.limits.body_bytes, stall).await
            }
        }
    }

    /// Runs the handler within the request's deadline; its panic is this request's alone.
    async fn handle(&self, route: &Route, user: Option<AuthUser>, call: Call<'_>) -> Result<Reply, AppError> {
        let handler = match (&route.endpoint, user) {
            (Endpoint::Now(handler), _) => {
                return contained(|| handler(&self.api, &call)).unwrap_or_else(Err);
            }
            (Endpoint::Public(handler), _) => handler(&self.api, call),
            (Endpoint::User(handler), Some(user)) => handler(&self.api, user, call),
            (Endpoint::User(_), None) => return Err(AppError::Unauthenticated { presented: false }),
        };
        let mut handler = pin!(handler);
        let guarded = poll_fn(|cx| {
            contained(|| handler.as_mut().poll(cx)).unwrap_or_else(|error| Poll::Ready(Err(error)))
        });
        let deadline = Duration::from_millis(self.limits.request_timeout_ms);
        tokio::time::timeout(deadline, guarded).await.unwrap_or(Err(AppError::DeadlinePassed))
    }

    /// Whether the connection can carry another request after this reply.
    async fn may_go_on(&self, head: &Parts, body: &mut Arriving) -> bool {
        let expects = head.headers.contains_key(EXPECT);
        body.discard(self.limits.body_bytes, expects).await && !self.closing.get()
    }

    /// The access line.
    fn record(&self, status: StatusCode, duration: Duration) {
        let nth = self.answered.get();
        self.answered.set(nth + 1);
        let wanted = match self.access {
            AccessLog::All => true,
            AccessLog::Sampled => nth.is_multiple_of(ACCESS_SAMPLE) || status.as_u16() >= 400,
            AccessLog::Errors => status.as_u16() >= 400,
            AccessLog::Off => false,
        };
        if wanted {
            let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
            tracing::info!(target: "ringledger::access", status = status.as_u16(), duration_us, "request");
        }
    }
}

/// JSON without a content coding; we decode none (RFC 9110 §8.4).
fn is_plain_json(headers: &HeaderMap) -> bool {
    let identity = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    negotiate::content_type_is_json(headers) && headers.get_all(CONTENT_ENCODING).iter().all(identity)
}

fn call<'a>(head: &'a Parts, params: Params<'a>, body: Bytes, request_id: &'a str) -> Call<'a> {
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
fn contained<T>(run: impl FnOnce() -> T) -> Result<T, AppError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        AppError::Internal(format!("a handler panicked: {message}"))
    })
}

/// The answer to OPTIONS.
fn options(allow: &HeaderValue) -> Reply {
    Reply::empty(StatusCode::NO_CONTENT).header(http::header::ALLOW, allow.clone())
}

fn response(reply: Reply, id: &str, keep_alive: bool) -> Response<ReplyBody> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    if let Ok(id) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    if !keep_alive {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
