//! What is told of a batch: to those who count, and to the log of each request that is in it.

use std::time::{Duration, Instant};

use tracing::Span;

use super::{Job, LaneError, results};
use crate::models::posting::Outcome;

/// A batch that the store has taken, or not.
#[derive(Debug)]
pub struct Round<'a> {
    /// How long each of its commands waited for the lane.
    pub waits: &'a [Duration],
    /// How long the store took.
    pub commit: Duration,
    /// What became of each command, in their order.
    pub outcomes: Result<&'a [Outcome], LaneError>,
    /// The `seq` of the last event then; 0 if that is not known.
    pub last_seq: u64,
}

impl Round<'_> {
    /// Tells the result of each transfer that was decided, one of [`super::RESULTS`].
    pub fn each_result(&self, mut tell: impl FnMut(&'static str)) {
        for outcome in self.outcomes.unwrap_or_default() {
            results::each(outcome, &mut tell);
        }
    }
}

/// Who counts.
pub(super) type Observe = Box<dyn FnMut(&Round<'_>) + Send>;

/// Where the time of a command went that the lane was given.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// Until the lane took it.
    pub(super) waited: Duration,
    /// The store's part of its batch.
    pub(super) commit: Duration,
}

/// When each command of a batch came, and in whose span, as long as the batch is under way.
#[derive(Default)]
pub(super) struct Log {
    number: u64,
    waits: Vec<Duration>,
    /// Of those commands whose requests are logged so closely.
    spans: Vec<Span>,
}

impl Log {
    /// Of the batch with this number, counted from the start of the lane.
    pub(super) fn of(number: u64) -> Self {
        Self { number, ..Self::default() }
    }

    /// A command of the batch is taken at `now`.
    pub(super) fn takes(&mut self, job: &Job, now: Instant) {
        let waited = now.saturating_duration_since(job.submitted);
        self.waits.push(waited);
        if !job.span.is_disabled() {
            let waited_us = waited.as_micros();
            // By entering it: the log names no other spans.
            job.span.in_scope(|| {
                tracing::debug!(batch = self.number, %waited_us, "the lane has taken the command");
            });
            self.spans.push(job.span.clone());
        }
    }

    pub(super) fn waits(&self) -> &[Duration] {
        &self.waits
    }

    /// The span of the commit, which no single request has caused.
    pub(super) fn commit_span(&self) -> Span {
        let span =
            tracing::debug_span!(parent: None, "commit", batch = self.number, commands = self.waits.len());
        if !span.is_disabled() {
            for request in &self.spans {
                span.follows_from(request);
            }
        }
        span
    }

    /// The store has answered.
    pub(super) fn told(&self, round: &Round<'_>) {
        let (batch, commit_us) = (self.number, round.commit.as_micros());
        let (stored, seq) = (round.outcomes.is_ok(), round.last_seq);
        for span in &self.spans {
            span.in_scope(|| {
                tracing::debug!(batch, stored, seq, %commit_us, "the store has answered the batch");
            });
        }
    }
}
