//! Sockets on `io_uring`, and the count of operations that the kernel still holds. Knows nothing of
//! what is sent.
//!
//! Three rules keep it sound: an operation owns its buffer; it owns its socket too, so that the
//! descriptor is neither closed nor reused before the last completion; and a runtime is dropped
//! only when [`in_flight`] is zero.

mod listener;
mod ops;
mod recv;
mod send;
mod stream;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::marker::PhantomData;
use std::task::{Poll, Waker};

pub use listener::RingListener;
pub use send::{RingKicker, WRITE_BOUND};
pub use stream::RingStream;

use super::counters;

thread_local! {
    static IN_FLIGHT: Cell<usize> = const { Cell::new(0) };
    static AWAITS_QUIET: RefCell<Option<Waker>> = const { RefCell::new(None) };
}

/// Operations of this thread's ring whose buffer has not come back yet: submitted and not
/// completed, or completed and not looked at.
pub(crate) fn in_flight() -> usize {
    IN_FLIGHT.get()
}

/// Resolves when nothing is in flight on this thread. One waiter at a time.
pub(super) async fn quiet() {
    poll_fn(|cx| {
        if in_flight() == 0 {
            return Poll::Ready(());
        }
        AWAITS_QUIET.set(Some(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

/// Resolves in the next turn of this thread's ring: what is queued has been submitted by then, and
/// what has completed is known.
pub(super) async fn next_turn() {
    // A no-op fails only with the ring itself, which then fails everybody.
    let _ = ops::nop().await;
}

/// Travels with the data of one operation and counts it. Bound to its thread.
struct InFlight(PhantomData<*const ()>);

impl InFlight {
    fn new() -> Self {
        IN_FLIGHT.set(IN_FLIGHT.get() + 1);
        counters::submitted();
        Self(PhantomData)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        IN_FLIGHT.set(IN_FLIGHT.get() - 1);
        counters::completed();
        if IN_FLIGHT.get() == 0
            && let Some(waker) = AWAITS_QUIET.take()
        {
            waker.wake();
        }
    }
}
