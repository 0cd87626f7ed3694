//! Numbers about the process and its requests, for Prometheus.
//!
//! Each core counts in cells that only its thread writes: no lock, no shared counter and no read-modify-write
//! on a request's way. A scrape reads them while they change, so its numbers may be an instant apart.
//!
//! Memory for each core: 152 bytes for each route, and one more for what none serves, times 26 statuses; about
//! 120 KiB for 30 routes.

mod cells;
mod per_core;
mod process;
mod render;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;
use std::time::SystemTime;

pub use cells::SharedHistogram;
use per_core::CoreCells;
pub use per_core::{CoreMetrics, Held};
pub use text::Format;

use super::DroppedLines;

/// A row of the route table, as its requests are labelled.
#[derive(Debug, Clone)]
pub struct RowLabels {
    /// The method.
    pub method: String,
    /// The path with its parameters.
    pub route: String,
}

/// Everything that is measured, shared by those who scrape.
#[derive(Debug)]
pub struct Metrics {
    version: &'static str,
    started: SystemTime,
    rows: Vec<RowLabels>,
    cores: Vec<Core>,
    /// How long jobs waited for a thread of the CPU pool.
    pub cpu_pool_queue: SharedHistogram,
    /// How long jobs of the CPU pool ran.
    pub cpu_pool_run: SharedHistogram,
    dropped_lines: DroppedLines,
}

/// A core as it is scraped.
#[derive(Debug)]
struct Core {
    /// Its number in labels.
    number: usize,
    cells: Arc<CoreCells>,
}

impl Metrics {
    /// The metrics of a process that starts now, and for each of `cores`, which are their numbers in labels,
    /// what its thread counts with. `rows` is the route table; its order gives [`CoreMetrics::answered`] the
    /// row's number.
    pub fn new(
        version: &'static str,
        rows: Vec<RowLabels>,
        cores: impl IntoIterator<Item = usize>,
        dropped_lines: DroppedLines,
    ) -> (Self, Vec<CoreMetrics>) {
        let core = |number| Core { number, cells: Arc::new(CoreCells::new(rows.len())) };
        let cores: Vec<_> = cores.into_iter().map(core).collect();
        let writers = cores.iter().map(|core| CoreMetrics::new(Arc::clone(&core.cells))).collect();
        let metrics = Self {
            version,
            started: SystemTime::now(),
            rows,
            cores,
            cpu_pool_queue: SharedHistogram::default(),
            cpu_pool_run: SharedHistogram::default(),
            dropped_lines,
        };
        (metrics, writers)
    }
}
