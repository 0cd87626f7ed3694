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

impl<'a> Record<'a> {
    pub(super) fn new(
        head: &'a Parts,
        fields: Fields<'a>,
        id_field: &'a HeaderValue,
        begin: Instant,
        route: Option<RouteName>,
    ) -> Self {
        // Not by `to_str`, which looks at each byte by itself.
        let id = std::str::from_utf8(id_field.as_bytes()).unwrap_or_default();
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
            standing.tell(&mut reply.headers);
        }
        (reply, ends_connection)
    }

    pub(super) fn line(&self, status: StatusCode, duration: Duration, now: Instant) -> Line<'a> {
        Line {
            id: self.id,
            trace: self.trace(),
            method: self.method(),
            route: self.route.get().map(|(_, template)| template),
            status: status.as_u16(),
            duration,
            at: now,
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

/// The caller's request id, or a new one, as the field that replies carry.
pub(super) fn id_field(offered: Option<&HeaderValue>, now: Instant) -> HeaderValue {
    match offered {
        Some(offered) if request_id::is_well_formed(offered.as_bytes()) => offered.clone(),
        Some(_) | None => {
            let mut buffer = [0; request_id::MADE_BYTES];
            HeaderValue::from_str(request_id::make(now, &mut buffer)).expect("a UUID is visible ASCII")
        }
    }
}
