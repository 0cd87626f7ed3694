//! The life of a request: id, head, route, user, body, handler, reply, record.
//!
//! What needs nothing but its head is answered at once, without a future: half of what a small request costs
//! above the kernel would go into making and moving one. All else is one future in a box of its own.

mod admission;
mod handling;
mod record;

use std::cell::Cell;
use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use tracing::Instrument;

use self::admission::check_accept;
use self::handling::{call, contained};
use self::record::{MadeAt, Record, RouteName, id_field};
use super::batches::Batches;
pub use super::body::ReplyBody;
use super::body::{Arriving, Making};
use super::connection::{Sockets, UnderWay};
use super::head::{self, Fields, KnownHost, REQUEST_ID};
use super::live::LiveSettings;
use super::parking::Parking;
use super::slow::Slow;
use super::worker::Stage;
use crate::api::{Api, AppError, Endpoint, Route};
use crate::config::{Limits, LiveLimits};
use crate::runtime::Turns;
use crate::services::events::End;
use crate::telemetry::access::AccessLines;
use crate::telemetry::metrics::CoreMetrics;
use crate::telemetry::otlp;
use crate::telemetry::request_id;
use crate::telemetry::split::{self, Part, Split, spent};
use crate::web::reply::{self, Reply};
use crate::web::router::{Match, Params};

/// How long the rest of a body may take to arrive before the connection is given up instead, when its request is
/// answered without it.
const DISCARD: Duration = Duration::from_secs(1);
/// The same when the request is refused for load: what has come with the head is read, and the refusal is not late.
const REFUSAL: Duration = Duration::from_millis(10);

/// A reply in the making.
pub(super) enum Answering {
    /// Made already; taken once.
    Made(Option<Answered>),
    /// Waits for its body or its handler.
    Waiting(Pin<Box<dyn Future<Output = Answered>>>),
}

/// A reply that is counted and logged. Small, since hyper moves an [`Answering`] before it asks for the response.
pub(super) struct Answered {
    reply: Reply,
    /// The body in place of the reply's, if it is made while it is sent.
    making: Option<Box<Making>>,
}

impl Answered {
    fn into_response(self) -> Response<ReplyBody> {
        let Reply { status, mut content } = self.reply;
        let (mut head, ()) = Response::new(()).into_parts();
        head.status = status;
        mem::swap(&mut head.headers, &mut content.headers);
        Response::from_parts(head, self.making.map_or_else(|| ReplyBody::Whole(content), ReplyBody::Made))
    }
}

impl Future for Answering {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Made(answer) => {
                Poll::Ready(Ok(answer.take().expect("hyper polls it to its end once").into_response()))
            }
            Self::Waiting(answer) => answer.as_mut().poll(cx).map(|answer| Ok(answer.into_response())),
        }
    }
}

/// A request that has arrived up to the end of its head, and waits for more.
struct Arrived {
    begin: Instant,
    head: Parts,
    body: Arriving,
    id: HeaderValue,
    /// Its route, if it was found.
    route: Option<RouteName>,
}

/// What the requests of one worker share.
pub struct Exchanges {
    api: Api,
    /// Bounds.
    pub(super) limits: Limits,
    /// Bounds of bodies and deadlines, which may change.
    pub(super) live: Cell<LiveLimits>,
    /// How long a request may take before its time is told in parts.
    slow: Cell<Duration>,
    /// The access lines of this core.
    pub(super) access: AccessLines,
    /// What this core counts.
    pub(super) metrics: CoreMetrics,
    closing: Cell<bool>,
    batches: Batches,
    known_host: KnownHost,
    /// Turns of the worker's loop.
    pub(super) turns: Rc<Turns>,
    /// Connections at rest.
    pub(super) parking: Parking,
    /// Connections that are WebSockets.
    pub(super) sockets: Sockets,
}

impl Exchanges {
    /// What answers on one core, and what it leaves behind of each request.
    pub fn new(api: Api, limits: Limits, access: AccessLines, metrics: CoreMetrics) -> Self {
        Self {
            turns: Rc::clone(&api.services.turns),
            batches: Batches::new(&limits),
            api,
            live: Cell::new(LiveLimits::from(&limits)),
            slow: Cell::new(Duration::MAX),
            limits,
            access,
            metrics,
            closing: Cell::new(false),
            known_host: KnownHost::default(),
            parking: Parking::default(),
            sockets: Sockets::default(),
        }
    }

    /// Goes over to other settings. Requests under way end by those that they have met.
    pub(super) fn adopt(&self, settings: &LiveSettings) {
        self.live.set(settings.limits);
        self.batches.adopt(self.limits.batches_per_core, settings.limits.batch_body_bytes);
        self.slow.set(settings.slow);
        self.access.set_sampling(settings.access);
        self.api.metrics_public.set(settings.metrics_public);
        self.api.about.replace(Arc::clone(&settings.about));
        self.api.services.tokens.adopt(&settings.keys);
        self.api.services.tickets.adopt(&settings.keys);
    }

    /// Takes note of what the server is doing.
    pub(super) fn enter(&self, stage: Stage) {
        self.api.draining.set(stage >= Stage::Unready);
        self.closing.set(stage >= Stage::Draining);
        let end = match stage {
            Stage::Serving | Stage::Unready | Stage::Draining => return,
            Stage::Settled => End::GoingAway,
            Stage::Unsettled => End::Unavailable,
        };
        self.api.services.events.finish(end);
    }

    /// Gives events to those who follow them; resolves never.
    pub(super) async fn feed(&self) {
        self.api.services.events.pump().await;
    }

    /// Answers a request, whatever it is.
    pub(super) fn answer(self: &Rc<Self>, request: Request<Incoming>, under_way: UnderWay) -> Answering {
        let begin = under_way.begin();
        let (mut head, incoming) = request.into_parts();
        let body = Arriving::new(incoming);
        let fields = Fields::of(&head.headers);
        let mut room = [0; request_id::MADE_BYTES];
        let offered = fields.request_id.map(HeaderValue::as_bytes);
        let id = request_id::take_or_make(offered, begin, &mut room);
        let record = Record::new(&head, fields, id, begin, None);
        tracing::debug!(
            request_id = record.id,
            method = record.method(),
            path = head.uri.path(),
            "request begins"
        );
        let at_once = if body.has_ended() { self.answer_at_once(&record) } else { None };
        let Some(outcome) = at_once else {
            let (id, route) = (id_field(id), record.route());
            let arrived = Arrived { begin, head, body, id, route };
            return Answering::Waiting(Box::pin(Rc::clone(self).answer_in_time(arrived, under_way)));
        };
        let (mut reply, ends_connection) = record.settle(outcome, &self.api.recent);
        let closes = ends_connection || self.closing.get();
        let made = record.made_now();
        self.note_if_slow(&record, reply.status, made, &under_way, Split::default);
        let id = id_field(id);
        let making = making(&mut reply, under_way, &id, made.at);
        self.leave(&record, &mut reply, closes, made);
        finish(&mut reply, id, &mut head.headers);
        Answering::Made(Some(Answered { reply, making }))
    }

    /// The reply to a request without a body, if nothing need be awaited for it.
    fn answer_at_once(&self, record: &Record<'_>) -> Option<Result<Reply, AppError>> {
        match self.route(record) {
            Err(error) => Some(Err(error)),
            Ok(Found::Options(allow)) => Some(Ok(options(allow))),
            Ok(Found::Route(route, params)) => match &route.endpoint {
                Endpoint::Now(handler) => Some(check_accept(record, route).and_then(|()| {
                    let call = call(record.head, params, Bytes::new(), record.id);
                    contained(|| handler(&self.api, &call)).unwrap_or_else(Err)
                })),
                Endpoint::Always(_) | Endpoint::Public(_) | Endpoint::User(_) | Endpoint::Socket(_) => None,
            },
        }
    }

    /// The reply to any request.
    async fn answer_in_time(self: Rc<Self>, mut arrived: Arrived, under_way: UnderWay) -> Answered {
        let fields = Fields::of(&arrived.head.headers);
        let record =
            Record::new(&arrived.head, fields, record::id(&arrived.id), arrived.begin, arrived.route);
        // A span that nobody asked for would cost each request more than its handler.
        let (trace_id, method) = (record.trace(), record.method());
        let span = tracing::debug_span!("request", request_id = record.id, trace_id, method);
        if let Some(parent) = record.fields.trace_parent {
            otlp::adopt(&span, parent.as_bytes());
        }
        let answering = async {
            let outcome = self.reply_to(&record, &mut arrived.body, &under_way).await;
            let patience = match outcome {
                Err(
                    AppError::Overloaded(_)
                    | AppError::TooManyBodies
                    | AppError::TooManyBatches
                    | AppError::TooManyRequests { .. },
                ) => REFUSAL,
                Ok(_) | Err(_) => DISCARD,
            };
            let (reply, ends_connection) = record.settle(outcome, &self.api.recent);
            if reply.status == StatusCode::SWITCHING_PROTOCOLS {
                return (reply, false, split::so_far());
            }
            let closes = ends_connection || !self.may_go_on(&arrived.head, &mut arrived.body, patience).await;
            tracing::debug!(status = reply.status.as_u16(), "the reply is made");
            (reply, closes, split::so_far())
        };
        let (mut reply, closes, split) = split::of_request(answering).instrument(span).await;
        let made = record.made_now();
        self.note_if_slow(&record, reply.status, made, &under_way, || split);
        let making = making(&mut reply, under_way, &arrived.id, made.at);
        self.leave(&record, &mut reply, closes, made);
        finish(&mut reply, arrived.id, &mut arrived.head.headers);
        Answered { reply, making }
    }

    /// Route, bound, user, rate, body, handler.
    async fn reply_to(
        &self,
        record: &Record<'_>,
        body: &mut Arriving,
        under_way: &UnderWay,
    ) -> Result<Reply, AppError> {
        let head = record.head;
        let (route, params) = match self.route(record)? {
            Found::Route(route, params) => (route, params),
            Found::Options(allow) => return Ok(options(allow)),
        };
        let _in_flight = self.admit(route)?;
        let user = match route.endpoint {
            Endpoint::User(_) => Some(self.user(record)?),
            Endpoint::Now(_) | Endpoint::Always(_) | Endpoint::Public(_) => None,
            Endpoint::Socket(handler) => {
                let call = call(head, params, Bytes::new(), record.id);
                return self.upgrade(route, (head, body), handler(&self.api, call), under_way).await;
            }
        };
        check_accept(record, route)?;
        let begin = Instant::now();
        let (body, place) = self.arrived(head, route, user.as_ref(), body).await?;
        spent(Part::Body, begin.elapsed());
        let reply = self.handle(route, user, call(head, params, body, record.id)).await?;
        Ok(match place {
            Some(place) => place.kept_by(reply, under_way),
            None => reply,
        })
    }

    /// What the head asks for, if it is in order.
    fn route<'a>(&'a self, record: &Record<'a>) -> Result<Found<'a>, AppError> {
        let head = record.head;
        // A head whose route is known has been checked.
        if record.route().is_none() {
            head::check(head, &record.fields, &self.limits, &self.known_host)?;
        }
        match self.api.router.find(&head.method, head.uri.path()) {
            Match::Found { route, params } => {
                record.found(route);
                Ok(Found::Route(route, params))
            }
            Match::Options { allow } => Ok(Found::Options(allow)),
            Match::MethodNotAllowed { allow } => Err(AppError::MethodNotAllowed { allow: allow.clone() }),
            Match::NotFound => Err(AppError::NotFound),
        }
    }

    /// Whether the connection can carry another request after this reply.
    async fn may_go_on(&self, head: &Parts, body: &mut Arriving, patience: Duration) -> bool {
        let expects = head.headers.contains_key(EXPECT);
        body.discard(self.live.get().body_bytes, expects, patience).await && !self.closing.get()
    }

    /// Has the parts of a slow request's time told once its reply has left.
    fn note_if_slow(
        &self,
        record: &Record<'_>,
        status: StatusCode,
        made: MadeAt,
        under_way: &UnderWay,
        split: impl FnOnce() -> Split,
    ) {
        if made.after >= self.slow.get() {
            under_way.is_slow(Slow::of(&record.line(status, made), split()));
        }
    }

    /// Counts a request that is answered, writes its access line, and completes the reply, all but its id.
    fn leave(&self, record: &Record<'_>, reply: &mut Reply, closes: bool, made: MadeAt) {
        self.metrics.answered(record.route().map(|(row, _)| row), reply.status.as_u16(), made.after);
        self.access.record(&record.line(reply.status, made));
        if closes {
            reply.content.headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
}

/// The body of a reply that is made while it is sent: its request ends with it. That of any other reply ends now.
fn making(reply: &mut Reply, under_way: UnderWay, id: &HeaderValue, now: Instant) -> Option<Box<Making>> {
    if let Some(pieces) = reply.content.pieces.take() {
        Some(Box::new(Making::new(*pieces, under_way, id.clone())))
    } else {
        under_way.end(now);
        None
    }
}

/// Gives a reply its request's id and takes the request's map, once nothing borrows from the request.
fn finish(reply: &mut Reply, id: HeaderValue, request: &mut HeaderMap) {
    reply::recycle(request);
    reply.content.headers.insert(REQUEST_ID, id);
}

/// What a head asks for.
enum Found<'a> {
    Route(&'a Route, Params<'a>),
    /// What may be asked of the target.
    Options(&'a HeaderValue),
}

/// The answer to OPTIONS.
fn options(allow: &HeaderValue) -> Reply {
    Reply::empty(StatusCode::NO_CONTENT).header(http::header::ALLOW, allow.clone())
}
