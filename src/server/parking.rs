//! The connections of a worker that are parked, and the memory that parking them frees.
//!
//! A parked connection holds less than 1 KiB, but the allocator keeps what the connection gave back until it is
//! told that no more is coming. It is told once a wave of connections has come to rest.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::runtime::give_memory_back;

/// As many connections must have been parked before memory is given back: their 11 KiB each are worth the
/// millisecond that it may take.
const WAVE: usize = 64;
/// How long no connection must have been parked before memory is given back.
const WAVE_OVER: Duration = Duration::from_millis(500);

/// The parked connections of a worker.
#[derive(Debug, Default)]
pub(super) struct Parking {
    parked: Cell<usize>,
    /// Parked since memory was last given back.
    wave: Cell<usize>,
    wave_begins: Notify,
}

impl Parking {
    /// Counts a connection as parked until the guard is dropped.
    pub(super) fn enter(&self) -> Parked<'_> {
        self.parked.set(self.parked.get() + 1);
        self.wave.set(self.wave.get() + 1);
        if self.wave.get() == WAVE {
            self.wave_begins.notify_one();
        }
        Parked(self)
    }

    /// Gives memory back after each wave; resolves never.
    pub(super) async fn tend(&self) {
        loop {
            self.wave_begins.notified().await;
            let mut seen = 0;
            while seen != self.wave.get() {
                seen = self.wave.get();
                sleep(WAVE_OVER).await;
            }
            self.wave.set(0);
            let begin = Instant::now();
            give_memory_back();
            tracing::debug!(parked = self.parked.get(), took = ?begin.elapsed(), "gave memory back");
        }
    }
}

/// A parked connection.
pub(super) struct Parked<'a>(&'a Parking);

impl Drop for Parked<'_> {
    fn drop(&mut self) {
        self.0.parked.set(self.0.parked.get() - 1);
    }
}
