//! Keeps the quickest of several workers from taking all connections that wait on a socket they share: after a restart under
//! load that would be every client's, for as long as it stays connected. Knows nothing of sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// How many connections a worker may have beyond the emptiest before it lets others go first. Fewer would make single
/// connections wait.
const LEAD: usize = 8;
/// How long it lets others go first: longer than an idle core takes to wake up, and bounded, so that a worker that is stuck
/// slows nobody down to less than 1,000 connections a second.
const PAUSE: Duration = Duration::from_millis(1);

/// A worker's part in the connections of one socket.
#[derive(Debug)]
pub struct Share {
    /// Connections of each worker.
    all: Arc<[AtomicUsize]>,
    own: usize,
}

impl Share {
    /// One for each of so many workers.
    pub fn of_each(workers: usize) -> impl Iterator<Item = Self> {
        let all: Arc<[AtomicUsize]> = (0..workers).map(|_| AtomicUsize::new(0)).collect();
        (0..workers).map(move |own| Self { all: Arc::clone(&all), own })
    }

    /// The worker has so many connections now.
    pub(super) fn is_now(&self, connections: usize) {
        self.all[self.own].store(connections, Ordering::Relaxed);
    }

    /// Until when it should accept none.
    pub(super) fn pause(&self) -> Option<Instant> {
        let count = |of: &AtomicUsize| of.load(Ordering::Relaxed);
        let least = self.all.iter().map(count).min().unwrap_or(0);
        (count(&self.all[self.own]) > least + LEAD).then(|| Instant::now() + PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_far_ahead_lets_others_go_first() {
        let shares: Vec<_> = Share::of_each(3).collect();
        shares[0].is_now(LEAD);
        assert_eq!(shares[0].pause(), None);
        shares[0].is_now(LEAD + 1);
        assert!(shares[0].pause().is_some());
        assert_eq!(shares[1].pause(), None);
        shares[1].is_now(1);
        assert!(shares[0].pause().is_some(), "the third has none");
        shares[2].is_now(1);
        assert_eq!(shares[0].pause(), None);
    }
}
