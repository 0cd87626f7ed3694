//! Waiting for the next turn of a worker's loop, so that one task with much to do lets the others'
//! arrivals in between. Knows nothing of what the tasks do.
//!
//! A task that yields is run again before the sockets are looked at: on the ring nothing is submitted
//! and no completion seen until every task has come to rest.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, Waker};

use super::Engine;
use super::busy::turn;

/// The turns of one worker's loop, counted while somebody waits for them.
#[derive(Debug, Default)]
pub struct Turns {
    number: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
    runner: RefCell<Option<Waker>>,
}

impl Turns {
    /// The number of this turn, to give to [`poll_after`](Self::poll_after).
    pub fn number(&self) -> u64 {
        self.number.get()
    }

    /// Ready in a turn after `number`; wakes the task then.
    pub fn poll_after(&self, number: u64, cx: &Context<'_>) -> Poll<()> {
        if self.number.get() != number {
            return Poll::Ready(());
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiting.push(cx.waker().clone());
        }
        if let Some(runner) = self.runner.take() {
            runner.wake();
        }
        Poll::Pending
    }

    /// Waits for the next turn: what has arrived for other tasks is seen before it goes on.
    pub async fn next(&self) {
        let number = self.number();
        poll_fn(|cx| self.poll_after(number, cx)).await;
    }

    /// Serves those who wait; resolves never. One task of the worker runs it.
    pub async fn run(&self, engine: Engine) {
        let mut due = Vec::new();
        loop {
            poll_fn(|cx| {
                if !self.waiting.borrow().is_empty() {
                    return Poll::Ready(());
                }
                self.runner.replace(Some(cx.waker().clone()));
                Poll::Pending
            })
            .await;
            turn(engine).await;
            self.number.set(self.number.get() + 1);
            mem::swap(&mut due, &mut *self.waiting.borrow_mut());
            due.drain(..).for_each(Waker::wake);
        }
    }
}
