//! What is told of a request beside its reply: its id, its access line, its errors in the log.

use std::cell::Cell;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderValue, StatusCode};
use tracing::Span;

use super::head::{self, Fields};
use crate::api::rate_limit::Standing;
use crate::api::{AppError, RecentProblems, Route};
use crate::services::now;
use crate::telemetry::access::Line;
use crate::telemetry::request_id;
use crate::web::reply::Reply;

/// Number and template of a route.
pub(super) type RouteName = (usize, &'static str);

pub(super) struct Record<'a> {
    pub(super) head: &'a Parts,
    pub(super) fields: Fields<'a>,
    pub(super) id: &'a str,
    /// When the head was complete; in a pipeline, when the reply before was made.
    pub(super) begin: Instant,
    /// The route, once it is found.
    route: Cell<Option<RouteName>>,
    /// Where the caller stands with the rate limit, once that is known.
    standing: Cell<Option<Standing>>,
}

/// When a reply was made.
#[derive(Clone, Copy)]
pub(super) struct MadeAt {
    pub(super) at: Instant,
    /// How long after its request's head.
    pub(super) after: Duration,
}

impl<'a> Record<'a> {
    pub(super) fn new(
        head: &'a Parts,
        fields: Fields<'a>,
        id: &'a str,
        begin: Instant,
        route: Option<RouteName>,
    ) -> Self {
        Self { head, fields, id, begin, route: Cell::new(route), standing: Cell::default() }
    }

    pub(super) fn found(&self, route: &Route) {
        self.route.set(Some((route.row, route.template)));
    }

    pub(super) fn route(&self) -> Option<RouteName> {
        self.route.get()
    }

    /// The method, cut where the log needs no more of it.
    pub(super) fn method(&self) -> &'a str {
        let method = self.head.method.as_str();
        method.get(..head::METHOD_BYTES).unwrap_or(method)
    }

    /// Notes where the caller stands with the rate limit.
    pub(super) fn stands(&self, standing: Standing) {
        self.standing.set(Some(standing));
    }

    /// The reply, and whether the connection ends with it. Errors go to the log under the request's name.
    /// They are noted for the dashboard, too.
    pub(super) fn settle(&self, outcome: Result<Reply, AppError>, recent: &RecentProblems) -> (Reply, bool) {
        let (mut reply, ends_connection) = match outcome {
            Ok(reply) => (reply, false),
            Err(error) => {
                self.span().in_scope(|| error.log());
                let route = self.route.get().map(|(_, template)| template);
                recent.note(now(), error.status_and_code(), route, self.id);
                let ends_connection = error.ends_connection();
                (error.into_reply(self.id), ends_connection)
            }
        };
        if let Some(standing) = self.standing.get() {
            standing.tell(&mut reply.content.headers);
        }
        (reply, ends_connection)
    }

    /// For a reply that is made now.
    pub(super) fn made_now(&self) -> MadeAt {
        let at = Instant::now();
        MadeAt { at, after: at - self.begin }
    }

    pub(super) fn line(&self, status: StatusCode, made: MadeAt) -> Line<'a> {
        Line {
            id: self.id,
            trace: self.trace(),
            method: self.method(),
            route: self.route.get().map(|(_, template)| template),
            status: status.as_u16(),
            duration: made.after,
            at: made.at,
        }
    }

    /// The trace that the caller named.
    pub(super) fn trace(&self) -> Option<&'a str> {
        request_id::trace_id(self.fields.trace_parent?.as_bytes())
    }

    /// The span of a line that must name its request whatever the log lets through.
    fn span(&self) -> Span {
        let route = self.route.get().map(|(_, template)| template);
        tracing::error_span!(
            "request",
            request_id = self.id,
            trace_id = self.trace(),
            method = self.method(),
            route,
        )
    }
}

/// The id in such a field as [`id_field`] makes.
pub(super) fn id(field: &HeaderValue) -> &str {
    // Not by `to_str`, which looks at each byte by itself.
    std::str::from_utf8(field.as_bytes()).unwrap_or_default()
}

/// A request's id as the field that its reply carries.
pub(super) fn id_field(id: &str) -> HeaderValue {
    HeaderValue::from_str(id).expect("an id is visible ASCII")
}
