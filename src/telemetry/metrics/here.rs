//! Counting for the core whose thread this is, by those that are far below its requests and serve no core in
//! particular. On other threads nothing is counted.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use super::cells::Tally;
use super::per_core::CoreCells;

thread_local! {
    static CELLS: OnceCell<Arc<CoreCells>> = const { OnceCell::new() };
}

/// From now on this thread counts in these cells, unless it does in others.
pub(super) fn count_in(cells: Arc<CoreCells>) {
    CELLS.with(|here| {
        let _ = here.set(cells);
    });
}

fn count(with: impl FnOnce(&CoreCells)) {
    CELLS.with(|here| {
        if let Some(cells) = here.get() {
            with(cells);
        }
    });
}

/// The store has answered a question of this core, or failed to.
pub fn store_answered(took: Duration, well: bool) {
    count(|cells| {
        cells.store_reads.observe(took);
        if !well {
            cells.store_errors.add(1);
        }
    });
}

/// A question of this core has waited so long for a connection to the store.
pub fn pool_waited(waited: Duration) {
    count(|cells| cells.pool_waits.observe(waited));
}

/// So many readers of events are on this core, and have been given all up to this `seq`.
pub fn events_given(readers: usize, seq: u64) {
    count(|cells| {
        cells.event_readers.set(readers as u64);
        cells.events_given.set(seq);
    });
}
