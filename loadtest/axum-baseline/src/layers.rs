//! The stack around the routes: request id, trace, metrics, problem documents, deadline.
//!
//! One `ServiceBuilder` for all, so that axum boxes a route once and not once a layer.

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath};
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use ringledger::config::Limits;
use ringledger::telemetry::{ids, request_id};
use tower::ServiceBuilder;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;
use tracing::Span;

use crate::measure::MeasureLayer;
use crate::problem;

/// The field that carries a request's id, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What a request may take; then 503. Bounds how long a client waits for a store that hangs.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Makes the ids of requests that come without one.
#[derive(Debug, Clone, Copy)]
struct UuidV7;

impl MakeRequestId for UuidV7 {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let id = ids::request_uuid(Instant::now()).as_hyphenated().to_string();
        HeaderValue::try_from(id).ok().map(RequestId::new)
    }
}

/// Wraps every route and the fallback. The order is that of a request's way in.
pub(crate) fn around<S: Clone + Send + Sync + 'static>(routes: Router<S>) -> Router<S> {
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(line)
        .on_body_chunk(())
        .on_eos(())
        // `AppError` logs what a 5xx is about.
        .on_failure(());
    routes.layer(
        ServiceBuilder::new()
            .layer(DefaultBodyLimit::max(Limits::default().body_bytes))
            .map_request(without_malformed_id)
            .layer(SetRequestIdLayer::new(X_REQUEST_ID, UuidV7))
            .layer(trace)
            .layer(MeasureLayer)
            .map_response(problem::complete)
            .layer(PropagateRequestIdLayer::new(X_REQUEST_ID))
            .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT)),
    )
}

/// A caller's id goes into every log line, so its length and alphabet are bounded.
fn without_malformed_id(mut request: Request<Body>) -> Request<Body> {
    let id = request.headers().get(&X_REQUEST_ID);
    if id.is_some_and(|id| !request_id::is_well_formed(id.as_bytes())) {
        request.headers_mut().remove(&X_REQUEST_ID);
    }
    request
}

fn span(request: &Request<Body>) -> Span {
    let id = request.extensions().get::<RequestId>();
    let route = request.extensions().get::<MatchedPath>();
    tracing::info_span!(
        "request",
        id = id.and_then(|id| id.header_value().to_str().ok()),
        method = request.method().as_str(),
        route = route.map(MatchedPath::as_str),
    )
}

/// The access line.
fn line<B>(response: &Response<B>, latency: Duration, _: &Span) {
    let duration_us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    tracing::info!(status = response.status().as_u16(), duration_us, "request");
}
