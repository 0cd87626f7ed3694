//! How many jobs a pool may hold: a counter and the guard that gives a place back. Knows nothing of jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places of a pool. A counter and no semaphore: giving back a permit of tokio's locks a mutex.
pub(super) struct Admission {
    taken: AtomicUsize,
    bound: usize,
}

/// A place in the pool, given back on drop.
pub(super) struct Admitted(Arc<Admission>);

impl Admission {
    /// `bound` places, all of them free.
    pub(super) fn new(bound: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), bound })
    }

    /// A place, or `None` at once when all are taken.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let one_more = |taken| (taken < self.bound).then_some(taken + 1);
        // The count guards no memory, but whoever sleeps while all is empty must not miss a place taken.
        let admitted = self.taken.fetch_update(Ordering::SeqCst, Ordering::Relaxed, one_more);
        admitted.ok().map(|_| Admitted(Arc::clone(self)))
    }

    /// Whether every place is free.
    pub(super) fn is_empty(&self) -> bool {
        self.taken.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let admission = Admission::new(2);
        let (first, second) = (admission.admit(), admission.admit());
        assert!(first.is_some() && second.is_some());
        assert!(admission.admit().is_none());
        drop(first);
        assert!(admission.admit().is_some() && !admission.is_empty());
        drop(second);
        assert!(admission.is_empty());
    }
}
