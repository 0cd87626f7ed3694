//! Numbers about the process and its requests, for Prometheus.
//!
//! Each core counts in cells that only its thread writes: no lock, no shared counter and no read-modify-write
//! on a request's way. A scrape reads them while they change, so its numbers may be an instant apart.
//!
//! Memory for each core: 152 bytes for each route, and one more for what none serves, times 26 statuses; about
//! 120 KiB for 30 routes.

mod cells;
pub mod here;
mod per_core;
mod process;
mod render;
mod scraper;
mod shared;
#[cfg(test)]
mod tests;
mod text;
mod turning;

use std::sync::Arc;
use std::time::SystemTime;

use per_core::CoreCells;
pub use per_core::{CoreMetrics, Held};
pub use scraper::{Scraper, TooManyScrapes};
pub use shared::{Highest, SharedCounter, SharedCounters, SharedHistogram, SharedSizes};
pub use text::Format;
pub use turning::{AskTurning, Turning};

use super::DroppedLines;

/// A row of the route table, as its requests are labelled.
#[derive(Debug, Clone)]
pub struct RowLabels {
    /// The method.
    pub method: String,
    /// The path with its parameters.
    pub route: String,
}

/// What is running.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// The version of the package.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
    /// Optional features that it was built with, joined by commas.
    pub features: &'static str,
}

/// What the process is, and what its parts are called in labels.
#[derive(Debug)]
pub struct Subject {
    /// What is running.
    pub build: Build,
    /// The route table; its order gives [`CoreMetrics::answered`] the row's number.
    pub rows: Vec<RowLabels>,
    /// The cores.
    pub cores: Vec<String>,
    /// What may become of a transfer.
    pub results: &'static [&'static str],
    /// Lines that the log has dropped.
    pub dropped_lines: DroppedLines,
}

/// Everything that is measured, shared by those who scrape.
#[derive(Debug)]
pub struct Metrics {
    build: Build,
    started: SystemTime,
    rows: Vec<RowLabels>,
    cores: Vec<Core>,
    /// How long jobs waited for a thread of the CPU pool.
    pub cpu_pool_queue: SharedHistogram,
    /// How long jobs of the CPU pool ran.
    pub cpu_pool_run: SharedHistogram,
    /// Commands that the posting lane committed together.
    pub lane_batch: SharedSizes,
    /// How long a command waited for the lane to take it.
    pub lane_wait: SharedHistogram,
    /// How long the store took for a batch.
    pub store_commits: SharedHistogram,
    /// Batches that it did not take.
    pub store_commit_errors: SharedCounter,
    /// What became of transfers, by the results that the metrics were made with.
    pub transfers: SharedCounters,
    /// The `seq` of the last event that was committed here.
    pub last_seq: Highest,
    dropped_lines: DroppedLines,
}

/// A core as it is scraped.
#[derive(Debug)]
struct Core {
    /// What it is called in labels.
    name: String,
    cells: Arc<CoreCells>,
}

impl Metrics {
    /// The metrics of a process that starts now, and what the thread of each core counts with.
    pub fn new(subject: Subject) -> (Self, Vec<CoreMetrics>) {
        let Subject { build, rows, cores, results, dropped_lines } = subject;
        let core = |name| Core { name, cells: Arc::new(CoreCells::new(rows.len())) };
        let cores: Vec<_> = cores.into_iter().map(core).collect();
        let writers = cores.iter().map(|core| CoreMetrics::new(Arc::clone(&core.cells))).collect();
        let metrics = Self {
            build,
            started: SystemTime::now(),
            rows,
            cores,
            cpu_pool_queue: SharedHistogram::default(),
            cpu_pool_run: SharedHistogram::default(),
            lane_batch: SharedSizes::default(),
            lane_wait: SharedHistogram::default(),
            store_commits: SharedHistogram::default(),
            store_commit_errors: SharedCounter::default(),
            transfers: SharedCounters::new(results),
            last_seq: Highest::default(),
            dropped_lines,
        };
        (metrics, writers)
    }
}
