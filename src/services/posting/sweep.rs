//! Holds whose time is up are let go by the lane itself, between batches.
//!
//! The rule refuses them anyway; the sweep is what gives the money back. Every replica does it: whoever comes second
//! finds nothing left.

use std::time::Duration;

use tokio::time::Instant;

use super::now;
use crate::models::posting::{Command, ExpireHolds, Outcome};
use crate::store::{StoreError, Writer};

/// How often the lane looks, so that a hold is let go within a second of its time. A look costs one read of an index.
const EVERY: Duration = Duration::from_millis(500);
/// Holds let go by one commit: what a command may have to wait for, a few milliseconds.
const HOLDS: u32 = 512;
/// How long the lane leaves a store alone that did not answer.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Holds that were let go together.
#[derive(Debug, Default)]
pub(super) struct Expired {
    pub(super) holds: u32,
    /// How long the store took.
    pub(super) commit: Duration,
}

/// When to look next. The first time is at once: holds may have ended while no server ran.
#[derive(Debug)]
pub(super) struct Sweep {
    due: Instant,
    /// Whether the last one failed; only the first failure of a row is a warning.
    failing: bool,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { due: Instant::now(), failing: false }
    }
}

impl Sweep {
    pub(super) const fn due(&self) -> Instant {
        self.due
    }

    /// Lets some holds go, if it is time to look and there are any.
    pub(super) async fn run_if_due(&mut self, writer: &mut Writer) -> Option<Expired> {
        if Instant::now() < self.due {
            return None;
        }
        let mut some = None;
        let pause = match sweep(writer).await {
            Ok(expired) => {
                self.failing = false;
                // More may be due; commands come between.
                let more = expired.holds >= HOLDS;
                some = (expired.holds > 0).then_some(expired);
                if more { Duration::ZERO } else { EVERY }
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "holds whose time is up were not let go; it is tried again");
                }
                AFTER_FAILURE
            }
        };
        self.due = Instant::now() + pause;
        some
    }
}

/// Lets some holds go.
async fn sweep(writer: &mut Writer) -> Result<Expired, StoreError> {
    if writer.first_due(now()).await?.is_none() {
        return Ok(Expired::default());
    }
    let begin = Instant::now();
    let outcomes = writer.commit(&[Command::ExpireHolds(ExpireHolds { limit: HOLDS })], &now).await?;
    let holds = match outcomes.first() {
        Some(Outcome::Expired(count)) => *count,
        _ => 0,
    };
    Ok(Expired { holds, commit: begin.elapsed() })
}
