//! What one core counts: its requests, and what it has open.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::cells::{Histogram, OneWriter, Tally};
use super::here;
use super::turning::{AskTurning, Asked};

/// The statuses that have a slot of their own: those that a service of this kind sends. Others share the last
/// slot.
pub(super) const STATUSES: [u16; 25] = [
    101, 200, 201, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 413, 414, 415, 417, 422, 424, 426, 429,
    431, 500, 501, 503,
];
/// Slots of a row: the statuses' and the one of the others.
pub(super) const SLOTS: usize = STATUSES.len() + 1;

/// From a status less 100 to its slot.
const SLOT_OF: [u8; 500] = slot_table();

#[expect(clippy::cast_possible_truncation, reason = "there are fewer than 256 slots")]
const fn slot_table() -> [u8; 500] {
    let mut table = [STATUSES.len() as u8; 500];
    let mut slot = 0;
    while slot < STATUSES.len() {
        table[STATUSES[slot] as usize - 100] = slot as u8;
        slot += 1;
    }
    table
}

fn slot(status: u16) -> usize {
    let index = usize::from(status).wrapping_sub(100);
    SLOT_OF.get(index).map_or(STATUSES.len(), |&slot| usize::from(slot))
}

/// The cells of a core. Aligned so that no other core's cells share their cache lines, nor the pair of lines
/// that the processor fetches together.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct CoreCells {
    pub(super) in_flight: OneWriter,
    pub(super) connections: OneWriter,
    pub(super) accepted: OneWriter,
    /// What the store took for questions of this core.
    pub(super) store_reads: Histogram<OneWriter>,
    /// Those that it did not answer.
    pub(super) store_errors: OneWriter,
    /// How long they waited for a connection to it.
    pub(super) pool_waits: Histogram<OneWriter>,
    pub(super) event_readers: OneWriter,
    /// The `seq` up to which they have been given everything.
    pub(super) events_given: OneWriter,
    pub(super) turning: OnceLock<Asked>,
    /// Row by row, the last one for requests that no row serves; [`SLOTS`] a row.
    requests: Box<[Histogram<OneWriter>]>,
}

impl CoreCells {
    pub(super) fn new(rows: usize) -> Self {
        Self {
            in_flight: OneWriter::default(),
            connections: OneWriter::default(),
            accepted: OneWriter::default(),
            store_reads: Histogram::default(),
            store_errors: OneWriter::default(),
            pool_waits: Histogram::default(),
            event_readers: OneWriter::default(),
            events_given: OneWriter::default(),
            turning: OnceLock::new(),
            requests: std::iter::repeat_with(Histogram::default).take((rows + 1) * SLOTS).collect(),
        }
    }

    /// Requests that were answered with this status, by all rows.
    pub(super) fn answered_with(&self, status: u16) -> u64 {
        self.rows().map(|slots| slots[slot(status)].read().count()).sum()
    }

    /// The rows in order, each with its slots.
    pub(super) fn rows(&self) -> impl Iterator<Item = &[Histogram<OneWriter>]> {
        self.requests.chunks(SLOTS)
    }
}

/// What the thread of a core counts with. It may move to that thread and is then used there alone: it is the
/// only writer of its cells, so it can be neither cloned nor shared.
#[derive(Debug)]
pub struct CoreMetrics {
    cells: Arc<CoreCells>,
    /// Whether requests are counted; what is open now always is.
    counts: bool,
    _one_thread: PhantomData<Cell<()>>,
}

impl CoreMetrics {
    pub(super) const fn new(cells: Arc<CoreCells>) -> Self {
        Self { cells, counts: true, _one_thread: PhantomData }
    }

    /// The same, but only what is open now is counted.
    #[must_use]
    pub fn off(self) -> Self {
        Self { counts: false, ..self }
    }

    /// Has all that this thread does counted here, from now on for as long as it lives: what `ask` tells, and what
    /// [`here`] is told.
    pub fn settle(&self, ask: AskTurning) {
        if self.counts {
            // A core settles once.
            let _ = self.cells.turning.set(Asked(ask));
            here::count_in(Arc::clone(&self.cells));
        }
    }

    /// Counts a request that has been answered. `row` is its place in the route table, `None` when no row
    /// serves it.
    pub fn answered(&self, row: Option<usize>, status: u16, duration: Duration) {
        if !self.counts {
            return;
        }
        let requests = &self.cells.requests;
        let unmatched = requests.len() / SLOTS - 1;
        let row = row.map_or(unmatched, |row| row.min(unmatched));
        requests[row * SLOTS + slot(status)].observe(duration);
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn request_begins(&self) -> Held<'_> {
        Held::new(&self.cells.in_flight)
    }

    /// Requests in flight on this core now.
    pub fn in_flight(&self) -> u64 {
        self.cells.in_flight.value()
    }

    /// Counts a connection as accepted, and as open until the guard is dropped.
    pub fn connection_opens(&self) -> Held<'_> {
        self.cells.accepted.add(1);
        Held::new(&self.cells.connections)
    }

    /// Connections open on this core now.
    pub fn connections(&self) -> u64 {
        self.cells.connections.value()
    }
}

/// One in a gauge, as long as it lives. It stays on its core's thread.
#[derive(Debug)]
#[must_use = "the gauge falls when the guard is dropped"]
pub struct Held<'a> {
    gauge: &'a OneWriter,
    _one_thread: PhantomData<&'a Cell<()>>,
}

impl<'a> Held<'a> {
    fn new(gauge: &'a OneWriter) -> Self {
        gauge.add(1);
        Self { gauge, _one_thread: PhantomData }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.gauge.subtract_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_slot_and_strangers_share_one() {
        for (place, &status) in STATUSES.iter().enumerate() {
            assert_eq!(slot(status), place);
        }
        for stranger in [0, 99, 100, 299, 418, 599, 600, u16::MAX] {
            assert_eq!(slot(stranger), STATUSES.len(), "{stranger}");
        }
    }

    #[test]
    fn memory_is_what_the_documentation_says() {
        assert_eq!(size_of::<Histogram<OneWriter>>(), 152);
        let cells = CoreCells::new(30);
        assert_eq!(size_of_val(&*cells.requests), 31 * SLOTS * 152);
    }
}
