//! The connections of a worker that are parked, and the memory that parking them frees.
//!
//! A parked connection holds less than 1 KiB, but the allocator keeps what the connection gave back until it is
//! told that no more is coming. It is told once a wave of connections has come to rest.
//!
//! A connection that has answered one request after a long rest is not worth much memory either: it is parked again as
//! soon as a few others have done so, and its memory serves the next. Fresh memory costs three page faults, which are
//! most of what waking costs (`loadtest compare --scenario idle`).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use super::connection::Activity;
use crate::runtime::give_memory_back;

/// As many connections must have been parked before memory is given back: their 12 KiB each are worth the
/// millisecond that it may take.
const WAVE: usize = 64;
/// How long no connection must have been parked before memory is given back.
const WAVE_OVER: Duration = Duration::from_millis(500);

/// Connections that may stay awake after one request: half a mebibyte, and enough that the second request of a burst
/// finds its connection awake.
const KEPT_AWAKE: usize = 32;

/// The parked connections of a worker, and those that will be soon.
#[derive(Default)]
pub(super) struct Parking {
    parked: Cell<usize>,
    /// Parked since memory was last given back.
    wave: Cell<usize>,
    wave_begins: Notify,
    /// The last that answered one request after a long rest, the oldest first. Some may have been parked since.
    awake: RefCell<VecDeque<Awake>>,
}

/// A connection, and how many requests it had begun when it was left to itself.
struct Awake {
    activity: Weak<Activity>,
    begun: u64,
    task: Waker,
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

    /// Lets a connection stay awake that has answered one request after a long rest, and parks the one that has
    /// stayed so longest.
    pub(super) fn keep_awake(&self, activity: &Rc<Activity>, task: &Waker) {
        let newest = Awake { activity: Rc::downgrade(activity), begun: activity.begun(), task: task.clone() };
        let mut awake = self.awake.borrow_mut();
        awake.push_back(newest);
        if awake.len() > KEPT_AWAKE
            && let Some(oldest) = awake.pop_front()
            && let Some(activity) = oldest.activity.upgrade()
        {
            activity.rest_after(oldest.begun);
            oldest.task.wake();
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn of_those_with_one_request_only_the_last_stay_awake() {
        let parking = Parking::default();
        let woken = Arc::new(Woken::default());
        let task = Waker::from(Arc::clone(&woken));
        let connections: Vec<_> = (0..KEPT_AWAKE + 2).map(|_| Rc::new(Activity::idle())).collect();
        let (first, later) = connections.split_at(2);
        let ended = Rc::new(Activity::idle());
        parking.keep_awake(&ended, &task);
        drop(ended);
        for connection in &connections {
            parking.keep_awake(connection, &task);
        }
        assert_eq!(woken.0.load(Ordering::Relaxed), 2, "not the one that has ended");
        assert!(first.iter().all(|activity| activity.is_to_rest()));
        assert!(!later.iter().any(|activity| activity.is_to_rest()));
    }
}
