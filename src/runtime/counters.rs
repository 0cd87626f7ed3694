//! What the loop and the client sockets of a worker's thread have done, counted where it happens. Knows nothing of who
//! reads it.
//!
//! Each thread writes counters of its own, so an addition is a load and a store; any thread may read them meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters of one thread. Each only grows, and wraps.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Counters {
    received_bytes: AtomicU64,
    sent_bytes: AtomicU64,
    submitted: AtomicU64,
    completed: AtomicU64,
    busy_turns: AtomicU64,
    idle_turns: AtomicU64,
}

/// What a thread's counters say at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Bytes received from clients.
    pub received_bytes: u64,
    /// Bytes accepted for sending to clients.
    pub sent_bytes: u64,
    /// Operations given to the ring.
    pub submitted: u64,
    /// Operations that the ring has given back.
    pub completed: u64,
    /// Turns of busy polling that found something.
    pub busy_turns: u64,
    /// Turns of busy polling that found nothing.
    pub idle_turns: u64,
}

thread_local! {
    static HERE: Arc<Counters> = Arc::default();
}

/// Those of the calling thread.
pub fn counters() -> Arc<Counters> {
    HERE.with(Arc::clone)
}

impl Counters {
    /// What they say now. They may be an instant apart.
    pub fn read(&self) -> Counts {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            received_bytes: value(&self.received_bytes),
            sent_bytes: value(&self.sent_bytes),
            // First what has ended, so that no more seems to have ended than has begun.
            completed: value(&self.completed),
            submitted: value(&self.submitted),
            busy_turns: value(&self.busy_turns),
            idle_turns: value(&self.idle_turns),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

pub(super) fn received(bytes: usize) {
    HERE.with(|here| add(&here.received_bytes, bytes as u64));
}

pub(super) fn sent(bytes: usize) {
    HERE.with(|here| add(&here.sent_bytes, bytes as u64));
}

pub(super) fn submitted() {
    HERE.with(|here| add(&here.submitted, 1));
}

/// Also called when the thread's own variables are being dropped.
pub(super) fn completed() {
    let _ = HERE.try_with(|here| add(&here.completed, 1));
}

pub(super) fn turned(found_something: bool) {
    HERE.with(|here| add(if found_something { &here.busy_turns } else { &here.idle_turns }, 1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_apart_and_are_read_from_outside() {
        let (elsewhere, before) = std::thread::spawn(|| {
            received(3);
            (counters(), counters().read())
        })
        .join()
        .unwrap();
        sent(5);
        assert_eq!(elsewhere.read(), before);
        assert_eq!((before.received_bytes, before.sent_bytes), (3, 0));
        assert_eq!(counters().read().sent_bytes, 5);
    }
}
