//! A place for one thread to sleep until something may be ready, and the queue built on it. Knows nothing of
//! what is queued.
//!
//! No lock: a thread at `SCHED_IDLE` may be preempted between any two instructions and stay so for a second, and
//! whoever waited for a lock in its hands would wait as long. A channel of `crossbeam-channel` would do that to a
//! sender, since its sleeping receivers are listed under a mutex. Here a sender pushes onto a lock-free queue, swaps
//! a flag and calls `futex(2)`. What remains: a *consumer* may wait for another thread that was preempted inside
//! `SegQueue`, in the few instructions between claiming a slot and filling it; a *producer* only for another producer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use crossbeam_queue::SegQueue;

/// Where one thread sleeps.
#[derive(Default)]
pub(super) struct Sleeper {
    asleep: AtomicBool,
    /// Set by the sleeping thread, before `asleep`.
    thread: OnceLock<Thread>,
}

impl Sleeper {
    /// Blocks the calling thread until `ready`. Whoever makes it ready calls [`wake`](Self::wake) after.
    pub(super) fn sleep_until(&self, ready: impl Fn() -> bool) {
        self.thread.get_or_init(thread::current);
        while !ready() {
            self.asleep.store(true, Ordering::SeqCst);
            // With the fence in `wake`: either this thread sees what was made ready, or the other sees the flag.
            fence(Ordering::SeqCst);
            if ready() {
                break;
            }
            // A wake between the look and here leaves a token, so this does not block.
            thread::park();
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Blocks for `span`, or until `ended` and [`rouse`](Self::rouse).
    pub(super) fn nap(&self, span: Duration, ended: impl Fn() -> bool) {
        self.thread.get_or_init(thread::current);
        let end = Instant::now() + span;
        while !ended() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::park_timeout(left);
        }
    }

    /// Wakes the thread if it sleeps, and says whether it did. Never blocks.
    pub(super) fn wake(&self) -> bool {
        fence(Ordering::SeqCst);
        let slept = self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::SeqCst);
        if slept {
            self.rouse();
        }
        slept
    }

    /// Wakes the thread also from a nap.
    pub(super) fn rouse(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// A first-in, first-out queue whose consumers sleep while it is empty. It has no bound of its own: what it holds
/// has been admitted.
pub(super) struct Queue<T> {
    items: SegQueue<T>,
    closed: AtomicBool,
    consumers: Box<[Sleeper]>,
}

impl<T> Queue<T> {
    /// An open queue for `consumers` threads.
    pub(super) fn new(consumers: usize) -> Self {
        Self {
            items: SegQueue::new(),
            closed: AtomicBool::new(false),
            consumers: (0..consumers).map(|_| Sleeper::default()).collect(),
        }
    }

    /// Queues `item` and wakes one sleeping consumer.
    pub(super) fn push(&self, item: T) {
        self.items.push(item);
        let _ = self.consumers.iter().any(Sleeper::wake);
    }

    /// The oldest item.
    pub(super) fn pop(&self) -> Option<T> {
        self.items.pop()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Blocks consumer `index` until there may be an item; false when the queue is closed.
    pub(super) fn wait(&self, index: usize) -> bool {
        self.consumers[index].sleep_until(|| !self.is_empty() || self.is_closed());
        !self.is_closed()
    }

    /// Ends every wait, now and later. Items stay.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.consumers.iter().for_each(Sleeper::rouse);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;

    use super::*;

    /// Takes everything out of `queue`, as long as it is open.
    fn consume(queue: &Queue<usize>, index: usize, taken: &mpsc::Sender<usize>) {
        while queue.wait(index) {
            while let Some(item) = queue.pop() {
                taken.send(item).unwrap();
            }
        }
    }

    /// Each item is pushed when the one before has come out, so the consumers fall asleep all the time.
    #[test]
    fn no_wake_up_is_lost() {
        const ITEMS: usize = 20_000;
        let queue = Arc::new(Queue::new(2));
        let (taken, items) = mpsc::channel();
        let consumers = [0, 1].map(|index| {
            let (queue, taken) = (Arc::clone(&queue), taken.clone());
            thread::spawn(move || consume(&queue, index, &taken))
        });
        for item in 0..ITEMS {
            queue.push(item);
            assert_eq!(items.recv_timeout(Duration::from_mins(1)), Ok(item));
        }
        queue.close();
        for consumer in consumers {
            consumer.join().unwrap();
        }
    }

    #[test]
    fn a_closed_queue_ends_waits_and_keeps_its_items() {
        let queue = Queue::new(1);
        queue.push(1);
        queue.push(2);
        queue.close();
        assert!(!queue.wait(0));
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(1), Some(2), None));
    }

    #[test]
    fn a_nap_lasts_its_span_and_ends_at_once_when_asked_to() {
        let span = Duration::from_millis(5);
        let begun = Instant::now();
        Sleeper::default().nap(span, || false);
        assert!(begun.elapsed() >= span);
        Sleeper::default().nap(Duration::MAX / 4, || true);
    }
}
