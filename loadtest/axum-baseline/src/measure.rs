//! Metrics: a layer that counts requests, and their text for Prometheus.

use std::cell::RefCell;
use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::MatchedPath;
use axum::http::{Method, Request, Response, StatusCode};
use metrics::{Counter, Gauge, Histogram, Label, counter, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Upper bounds of the buckets of `http_request_duration_seconds`, from 50 µs.
const BUCKETS_S: [f64; 14] =
    [50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 1.0, 10.0];

/// How often the exporter sorts new samples into its buckets. Until then each waits in memory, 16 bytes a sample:
/// at 50,000 requests a second this holds it under 1 MiB.
const UPKEEP: Duration = Duration::from_secs(1);

/// What a request is counted by when no route matched, so that callers cannot make labels.
const UNMATCHED: &str = "unmatched";

thread_local! {
    /// By thread, so that a request takes no lock and makes no labels: looking a series up in the recorder costs
    /// several allocations.
    static SERIES: RefCell<SeriesCache> = RefCell::default();
}

/// The series that a thread has counted by: bounded by routes, methods and statuses, which are all of bounded sets.
#[derive(Default)]
struct SeriesCache(HashMap<(&'static str, StatusCode), ByRoute>);

/// Few, so that a look through them is as fast as a hash.
type ByRoute = Vec<(Box<str>, Series)>;

/// Where the requests of one method, route and status are counted.
#[derive(Clone)]
struct Series {
    requests: Counter,
    duration: Histogram,
}

impl SeriesCache {
    fn of(&mut self, method: &'static str, route: &str, status: StatusCode) -> &Series {
        let routes = self.0.entry((method, status)).or_default();
        let known = routes.iter().position(|(known, _)| **known == *route);
        let index = known.unwrap_or_else(|| {
            routes.push((route.into(), Series::register(method, route, status)));
            routes.len() - 1
        });
        &routes[index].1
    }
}

impl Series {
    fn register(method: &'static str, route: &str, status: StatusCode) -> Self {
        let labels = vec![
            Label::from_static_parts("method", method),
            Label::new("route", route.to_owned()),
            Label::new("status", status.as_str().to_owned()),
        ];
        Self {
            requests: counter!("http_requests_total", labels.clone()),
            duration: histogram!("http_request_duration_seconds", labels),
        }
    }
}

/// Starts the process's one recorder.
pub(crate) fn start() -> Result<PrometheusHandle, BuildError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("http_request_duration_seconds".into()), &BUCKETS_S)?
        .install_recorder()
}

/// Does the exporter's upkeep until it is aborted.
pub(crate) async fn keep_up(handle: PrometheusHandle) {
    let mut due = tokio::time::interval(UPKEEP);
    loop {
        due.tick().await;
        handle.run_upkeep();
    }
}

/// Counts requests, their duration, and those in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MeasureLayer;

impl<S> Layer<S> for MeasureLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Measure<S> {
        Measure { inner, in_flight: gauge!("http_requests_in_flight") }
    }
}

/// The service of [`MeasureLayer`].
#[derive(Clone)]
pub(crate) struct Measure<S> {
    inner: S,
    in_flight: Gauge,
}

impl<S, B> Service<Request<Body>> for Measure<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Measured<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let tally = Tally {
            begin: Instant::now(),
            method: method_label(request.method()),
            route: request.extensions().get::<MatchedPath>().cloned(),
            in_flight: self.in_flight.clone(),
        };
        tally.in_flight.increment(1);
        Measured { answer: self.inner.call(request), tally }
    }
}

pin_project! {
    /// An answer in the making.
    pub(crate) struct Measured<F> {
        #[pin]
        answer: F,
        tally: Tally,
    }
}

impl<F: Future<Output = Result<Response<B>, E>>, B, E> Future for Measured<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(cx));
        if let Ok(response) = &answer {
            this.tally.answered(response.status());
        }
        Poll::Ready(answer)
    }
}

/// What is known of a request when it arrives. It is in flight until this is dropped.
struct Tally {
    begin: Instant,
    method: &'static str,
    route: Option<MatchedPath>,
    in_flight: Gauge,
}

impl Tally {
    fn answered(&self, status: StatusCode) {
        let route = self.route.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
        SERIES.with_borrow_mut(|series| {
            let series = series.of(self.method, route, status);
            series.requests.increment(1);
            series.duration.record(self.begin.elapsed());
        });
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
    }
}

/// A label of a bounded set, whatever the caller sends.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}
