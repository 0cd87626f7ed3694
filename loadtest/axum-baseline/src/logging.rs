//! Log lines: JSON on standard error, written by a thread of their own.

use std::io::{self, BufWriter};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// Lines that wait for the writer; beyond it lines are dropped rather than requests held up.
const QUEUE_LINES: usize = 65_536;
/// Text that goes out in one write. The writer flushes whenever its queue is empty, so it holds back nothing; without
/// it every line is a system call on a core that the requests need.
const BUFFER_BYTES: usize = 64 << 10;

/// Starts the log at level INFO. What waits is written when the guard is dropped.
///
/// The level is a plain filter, not an `EnvFilter`: that one looks into a locked table whenever a span is entered.
pub(crate) fn start() -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(QUEUE_LINES)
        .finish(BufWriter::with_capacity(BUFFER_BYTES, io::stderr()));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_max_level(LevelFilter::INFO)
        .with_writer(writer)
        .init();
    guard
}
