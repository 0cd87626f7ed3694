//! Access lines: one line of the log for each request, gathered on the core that served it.
//!
//! A span and a line by `tracing` cost 2.5 µs of CPU for each request. So this line is formatted here, into a
//! buffer that one thread owns, and the log's writer is given whole buffers. The lines look as those of
//! `tracing` do and obey the same filter. They reach the log up to 100 ms after their time.

mod line;
mod stamp;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

pub use line::Line;
use line::LineFormat;
pub(super) use line::Style;

use super::clock;
use super::log_writer::LogQueue;

/// What the log's filter knows these lines by.
const TARGET: &str = "ringledger::access";
/// The fill at which a buffer goes to the writer. It spreads the hand-over, which wakes a thread, over some 500
/// lines, and bounds what a core holds back to this and one line.
const BUFFER_BYTES: usize = 128 << 10;
/// Room for the line that fills a buffer, so that the buffer rarely grows.
const LINE_ROOM_BYTES: usize = 1 << 10;
/// The longest that a line waits for its buffer to fill. A reader of the log sees no longer lag, and a process
/// that is killed loses no more than this.
const FLUSH_DELAY: Duration = Duration::from_millis(100);
/// One in this many requests leaves a line under [`Sampling::OneInHundred`].
const SAMPLE: u64 = 100;
/// The first status that stands for an error (RFC 9110 §15).
const FIRST_ERROR: u16 = 400;

/// Which requests leave a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sampling {
    /// Each.
    All,
    /// Every hundredth of the core's, and those of status 400 and up.
    OneInHundred,
    /// Those of status 400 and up.
    Errors,
    /// None.
    Off,
}

impl Sampling {
    /// Whether the core's `nth` request leaves a line.
    const fn keeps(self, nth: u64, status: u16) -> bool {
        match self {
            Self::All => true,
            Self::OneInHundred => status >= FIRST_ERROR || nth.is_multiple_of(SAMPLE),
            Self::Errors => status >= FIRST_ERROR,
            Self::Off => false,
        }
    }
}

/// What the log's filter says of access lines, kept for the cores: to ask it for each request would take its
/// lock, which all cores share.
#[derive(Debug, Default)]
pub(super) struct Admission(AtomicBool);

impl Admission {
    /// Asks the filter of the current subscriber. It looks at target and level; a directive that asks for a
    /// span or a field does not reach these lines.
    pub(super) fn ask(&self) {
        let passes = tracing::enabled!(target: TARGET, tracing::Level::INFO);
        self.0.store(passes, Ordering::Relaxed);
    }

    fn passes(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The access lines of one core. Hands over what it holds when it is dropped.
#[derive(Debug)]
pub struct AccessLines {
    sampling: Cell<Sampling>,
    admission: Arc<Admission>,
    answered: Cell<u64>,
    pending: RefCell<Pending>,
    /// Tells [`Self::keep_flushed`] that a line waits.
    first: Notify,
    queue: Arc<LogQueue>,
}

/// Lines that wait for the hand-over.
#[derive(Debug)]
struct Pending {
    format: LineFormat,
    text: Vec<u8>,
    lines: usize,
}

impl AccessLines {
    pub(super) fn new(
        queue: Arc<LogQueue>,
        admission: Arc<Admission>,
        style: Style,
        core: usize,
        sampling: Sampling,
    ) -> Self {
        let text = Vec::with_capacity(BUFFER_BYTES + LINE_ROOM_BYTES);
        let pending = Pending { format: LineFormat::new(style, core), text, lines: 0 };
        Self {
            sampling: Cell::new(sampling),
            admission,
            answered: Cell::new(0),
            pending: RefCell::new(pending),
            first: Notify::new(),
            queue,
        }
    }

    /// Keeps other requests' lines from now on.
    pub fn set_sampling(&self, sampling: Sampling) {
        self.sampling.set(sampling);
    }

    /// Records a request that has been answered, if it is to leave a line.
    pub fn record(&self, line: &Line<'_>) {
        let nth = self.answered.replace(self.answered.get() + 1);
        if !self.sampling.get().keeps(nth, line.status) || !self.admission.passes() {
            return;
        }
        let waiting_bytes = self.pending.borrow_mut().append(line);
        if waiting_bytes >= BUFFER_BYTES {
            self.flush();
        } else if self.pending.borrow().lines == 1 {
            self.first.notify_one();
        }
    }

    /// Hands over what waits. When the writer does not keep up, these lines are dropped and counted.
    pub fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        let lines = mem::take(&mut pending.lines);
        if lines > 0 {
            let text = if pending.text.len() < BUFFER_BYTES {
                // The queue counts what is written, so what waits there must not hold much more.
                let text = pending.text.as_slice().to_vec();
                pending.text.clear();
                text
            } else {
                let mut next = self.queue.spare();
                next.reserve(BUFFER_BYTES + LINE_ROOM_BYTES);
                mem::replace(&mut pending.text, next)
            };
            self.queue.submit(text, lines);
        }
    }

    /// Sees to it that no line waits longer than 100 ms, with one timer for each buffer. It never
    /// ends; the owner keeps polling it as long as it records.
    pub async fn keep_flushed(&self) -> Infallible {
        loop {
            self.first.notified().await;
            tokio::time::sleep(FLUSH_DELAY).await;
            self.flush();
        }
    }
}

impl Drop for AccessLines {
    fn drop(&mut self) {
        self.flush();
    }
}

impl Pending {
    /// The bytes that wait then.
    fn append(&mut self, line: &Line<'_>) -> usize {
        self.format.append(line, clock::since_epoch(line.at), &mut self.text);
        self.lines += 1;
        self.text.len()
    }
}
