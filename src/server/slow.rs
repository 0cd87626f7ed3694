//! What is told of a slow request: where its time went. Until its reply has left, it waits with its connection.

use std::time::{Duration, Instant};

use crate::telemetry::access::Line;
use crate::telemetry::split::{Part, Split};

/// A request whose reply was slow to come.
#[derive(Debug)]
pub(super) struct Slow {
    id: String,
    trace: Option<String>,
    method: String,
    route: Option<&'static str>,
    status: u16,
    duration: Duration,
    replied: Instant,
    split: Split,
}

impl Slow {
    pub(super) fn of(line: &Line<'_>, split: Split) -> Self {
        Self {
            id: line.id.to_owned(),
            trace: line.trace.map(str::to_owned),
            method: line.method.to_owned(),
            route: line.route,
            status: line.status,
            duration: line.duration,
            replied: line.at,
            split,
        }
    }

    /// Tells of it. `left` is when the kernel had taken the whole reply; `None` if the connection ended before.
    pub(super) fn tell(&self, left: Option<Instant>) {
        let us = |part| self.split.us(part);
        let write_us = left.map(|left| left.saturating_duration_since(self.replied).as_micros());
        tracing::warn!(
            request_id = self.id,
            trace_id = self.trace,
            method = self.method,
            route = self.route,
            status = self.status,
            duration_us = %self.duration.as_micros(),
            auth_us = us(Part::Auth),
            body_us = us(Part::Body),
            queue_us = us(Part::Queue),
            lane_us = us(Part::Lane),
            store_us = us(Part::Store),
            cpu_us = us(Part::Cpu),
            write_us = write_us.map(tracing::field::display),
            "slow request"
        );
    }
}
