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
use tracing::{Instrument, Span};

use super::body::Arriving;
use super::head;
use super::parking::Parking;
use super::worker::Stage;
use crate::api::routes::BodyRule;
use crate::api::{Api, AppError, AuthUser, Endpoint, Route};
use crate::config::Limits;
use crate::runtime::Turns;
use crate::telemetry::access::{AccessLines, Line};
use crate::telemetry::metrics::CoreMetrics;
use crate::telemetry::request_id;
use crate::web::call::{Body, Call};
use crate::web::negotiate;
use crate::web::reply::Reply;
use crate::web::router::{Match, Params};

/// The body of a reply.
pub type ReplyBody = Full<Bytes>;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
/// What the requests of one worker share.
pub struct Exchanges {
    api: Api,
    /// Bounds and deadlines.
    pub(super) limits: Limits,
    /// The access lines of this core.
    pub(super) access: AccessLines,
    /// What this core counts.
    pub(super) metrics: CoreMetrics,
    closing: Cell<bool>,
    /// Turns of the worker's loop.
    pub(super) turns: Turns,
    /// Connections at rest.
    pub(super) parking: Parking,
}

impl Exchanges {
    /// What answers on one core, and what it leaves behind of each request.
    pub fn new(api: Api, limits: Limits, access: AccessLines, metrics: CoreMetrics) -> Self {
        Self {
            api,
            limits,
            access,
            metrics,
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
        let _in_flight = self.metrics.request_begins();
        let (head, incoming) = request.into_parts();
        let mut body = Arriving::new(incoming);
        let id_field = id_field(&head.headers);
        let id = id_field.to_str().unwrap_or_default();
        let record = Record { head: &head, id, route: Cell::new(None) };
        // Spans that nobody asked for would cost each request more than its handler.
        let span = tracing::debug_span!("request", id, method = record.method());
        let answering = async {
            tracing::debug!(path = head.uri.path(), "request begins");
            let (reply, ends_connection) = match self.reply(&record, &mut body).await {
                Ok(reply) => (reply, false),
                Err(error) => {
                    record.span().in_scope(|| error.log());
                    let ends_connection = error.ends_connection();
                    (error.into_reply(id), ends_connection)
                }
            };
            let keep_alive = !ends_connection && self.may_go_on(&head, &mut body).await;
            (reply, keep_alive)
        };
        let (reply, keep_alive) = answering.instrument(span).await;
        self.leave(&record, reply.status, begin.elapsed());
        response(reply, id_field, keep_alive)
    }

    /// Route, bound, user, body, handler.
    async fn reply(&self, record: &Record<'_>, body: &mut Arriving) -> Result<Reply, AppError> {
        let head = record.head;
        head::check(head, &self.limits)?;
        let (route, params) = match self.api.router.find(&head.method, head.uri.path()) {
            Match::Found { route, params } => (route, params),
            Match::Options { allow } => return Ok(options(allow)),
            Match::MethodNotAllowed { allow } => {
                return Err(AppError::MethodNotAllowed { allow: allow.clone() });
            }
            Match::NotFound => return Err(AppError::NotFound),
        };
        record.route.set(Some((route.row, route.template)));
        self.admit(route)?;
        let user = match route.endpoint {
            Endpoint::User(_) => Some(AuthUser::from_headers(&head.headers, &self.api.services.tokens)?),
            Endpoint::Now(_) | Endpoint::Public(_) => None,
        };
        if negotiate::best(&head.headers, route.produces).is_none() {
            return Err(AppError::NotAcceptable);
        }
        let body = self.body(head, route, body).await?;
        self.handle(route, user, call(head, params, body, record.id)).await
    }

    /// Refuses what would wait with too many others. What answers at once waits for nobody.
    fn admit(&self, route: &Route) -> Result<(), AppError> {
        match route.endpoint {
            Endpoint::Now(_) => Ok(()),
            Endpoint::Public(_) | Endpoint::User(_) => {
                let in_flight = usize::try_from(self.metrics.in_flight()).unwrap_or(usize::MAX);
                if in_flight > self.limits.in_flight_per_core {
                    return Err(AppError::Overloaded("Too many requests are under way."));
                }
                Ok(())
            }
        }
    }

    async fn body(&self, head: &Parts, route: &Route, body: &mut Arriving) -> Result<Bytes, AppError> {
        match route.body {
            BodyRule::None => Ok(Bytes::new()),
            BodyRule::Json if !is_plain_json(&head.headers) => Err(AppError::UnsupportedMediaType),
            BodyRule::Json => {
                let allowed = Duration::from_millis(self.limits.body_timeout_ms);
                body.collect(self.limits.body_bytes, allowed).await
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

    /// Counts a request that is answered, and writes its access line.
    fn leave(&self, record: &Record<'_>, status: StatusCode, duration: Duration) {
        let (row, route) = record.route.get().unzip();
        self.metrics.answered(row, status.as_u16(), duration);
        let trace = record.trace();
        self.access.record(&Line {
            id: record.id,
            trace,
            method: record.method(),
            route,
            status: status.as_u16(),
            duration,
        });
    }
}

/// What is told of a request, apart from its reply.
struct Record<'a> {
    head: &'a Parts,
    id: &'a str,
    /// Number and template of the route, once it is found.
    route: Cell<Option<(usize, &'static str)>>,
}

impl<'a> Record<'a> {
    /// The method, cut where the log needs no more of it.
    fn method(&self) -> &'a str {
        let method = self.head.method.as_str();
        method.get(..head::METHOD_BYTES).unwrap_or(method)
    }

    /// The trace that the caller named.
    fn trace(&self) -> Option<&'a str> {
        request_id::trace_id(self.head.headers.get(TRACE_PARENT)?.as_bytes())
    }

    /// The span of a line that must name its request whatever the log lets through.
    fn span(&self) -> Span {
        let route = self.route.get().map(|(_, template)| template);
        tracing::error_span!("request", id = self.id, trace = self.trace(), method = self.method(), route)
    }
}

/// The caller's request id, or a new one, as the field that replies carry.
fn id_field(headers: &HeaderMap) -> HeaderValue {
    match headers.get(REQUEST_ID) {
        Some(offered) if request_id::is_well_formed(offered.as_bytes()) => offered.clone(),
        Some(_) | None => {
            let mut buffer = [0; request_id::MADE_BYTES];
            HeaderValue::from_str(request_id::make(&mut buffer)).expect("a UUID is visible ASCII")
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

fn response(reply: Reply, id: HeaderValue, keep_alive: bool) -> Response<ReplyBody> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response.headers_mut().insert(REQUEST_ID, id);
    if !keep_alive {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
