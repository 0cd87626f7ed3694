//! Busy polling: keeping a worker's loop turning, so that what arrives is seen at once and not after
//! a wake-up. Knows nothing of what arrives.
//!
//! A thread that sleeps in the kernel is woken by an interrupt, a scheduler and a context switch,
//! which is most of the latency of a lone request (60 µs beside 21 µs for a loop that turns). The
//! price is the core: a turning loop uses all of it. So it is off unless asked for, and right only
//! where the worker's core is its own.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::Engine;
use super::{counters, ring};

/// How a worker waits (`runtime.busy_poll`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusyPoll {
    /// Asleep.
    Off,
    /// Turning for so long after the last activity, then asleep.
    Adaptive(Duration),
    /// Turning for ever.
    Always,
}

thread_local! {
    /// Counts the signs of life of this thread's sockets.
    static ACTIVITY: Cell<u64> = const { Cell::new(0) };
    /// Whether the next small send of this thread goes past the ring.
    static SEND_AT_ONCE: Cell<bool> = const { Cell::new(false) };
    static AWAITS_ACTIVITY: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Notes that a socket of this thread has something to do.
#[inline]
pub(super) fn note_activity() {
    ACTIVITY.set(ACTIVITY.get() + 1);
    if let Some(waker) = AWAITS_ACTIVITY.take() {
        waker.wake();
    }
}

/// A turn of busy polling begins: its first send goes past the ring. When busy polling ends, one more may.
pub(super) fn turn_begins() {
    SEND_AT_ONCE.set(true);
}

/// Whether a send that is about to begin should go past the ring; says so once for each turn that began.
pub(super) fn take_first_send() -> bool {
    SEND_AT_ONCE.take()
}

/// Keeps the loop of this thread turning as `mode` says; resolves never, or at once when there is
/// nothing to do. Dropping it ends it.
pub async fn busy_poll(engine: Engine, mode: BusyPoll) {
    match mode {
        BusyPoll::Off => {}
        BusyPoll::Always => loop {
            counted_turn(engine).await;
        },
        BusyPoll::Adaptive(window) => loop {
            turn_while_active(engine, window).await;
            activity_after(ACTIVITY.get()).await;
        },
    }
}

async fn turn_while_active(engine: Engine, window: Duration) {
    let mut since = Instant::now();
    while since.elapsed() < window {
        if counted_turn(engine).await {
            since = Instant::now();
        }
    }
}

async fn activity_after(seen: u64) {
    poll_fn(|cx| {
        if ACTIVITY.get() != seen {
            return Poll::Ready(());
        }
        AWAITS_ACTIVITY.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// A turn of busy polling; whether it found something to do.
async fn counted_turn(engine: Engine) -> bool {
    let seen = ACTIVITY.get();
    turn_begins();
    turn(engine).await;
    let found_something = ACTIVITY.get() != seen;
    counters::turned(found_something);
    found_something
}

/// One turn of the loop: what is queued is submitted, what has completed is known.
pub(super) async fn turn(engine: Engine) {
    match engine {
        Engine::Uring(_) => ring::next_turn().await,
        // Resumed after the driver has looked at every socket without waiting.
        Engine::Epoll => tokio::task::yield_now().await,
    }
}
