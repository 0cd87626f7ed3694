//! How fast those who catch up go through the log on one core. Each goes by itself, and many may: after a drain
//! elsewhere, a thousand at once. Together they get one page from the store in each turn of the core's loop, or some
//! that were read before, in the order in which they ask. So requests wait for one page, about a millisecond, however
//! many there are.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::runtime::Turns;

/// Pages that are looked at in one turn where all were read before. Their frames are made already, so this is some
/// 0.5 ms of sends; a page that must be read takes the whole turn.
const PAGES_A_TURN: u32 = 32;

/// The pace of one core.
#[derive(Debug)]
pub(super) struct Pace {
    turns: Rc<Turns>,
    /// One at a time, and fair: who waits longest is next.
    place: Semaphore,
    /// The turn of the last page, and what pages have taken of it.
    spent: Cell<(u64, u32)>,
}

impl Pace {
    pub(super) fn new(turns: Rc<Turns>) -> Self {
        Self { turns, place: Semaphore::new(1), spent: Cell::new((0, 0)) }
    }

    pub(super) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Returns when the next page may be had. May be dropped before; then the next in the row is let through.
    pub(super) async fn page(&self) -> Step<'_> {
        // It is never closed, so it is a permit.
        let permit = self.place.acquire().await.ok();
        let (turn, spent) = self.spent.get();
        if spent >= PAGES_A_TURN {
            poll_fn(|cx| self.turns.poll_after(turn, cx)).await;
        }
        Step { pace: self, cost: PAGES_A_TURN, _permit: permit }
    }
}

/// Held while one has its page.
pub(super) struct Step<'a> {
    pace: &'a Pace,
    cost: u32,
    _permit: Option<SemaphorePermit<'a>>,
}

impl Step<'_> {
    /// The page was read before.
    pub(super) const fn is_cheap(&mut self) {
        self.cost = 1;
    }
}

impl Drop for Step<'_> {
    fn drop(&mut self) {
        let now = self.pace.turns.number();
        let (turn, spent) = self.pace.spent.get();
        let before = if turn == now { spent } else { 0 };
        self.pace.spent.set((now, before + self.cost));
    }
}
