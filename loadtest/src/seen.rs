//! What a client saw of a server in one run: distributions and counts, nothing derived from them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What one run saw. Histograms are in nanoseconds.
#[derive(Debug, Clone)]
pub struct Seen {
    /// From the moment a request was due to the last byte of its reply; of successes only.
    pub response_ns: Histogram<u64>,
    /// From the moment a request was written to the last byte of its reply; of successes only.
    pub service_ns: Histogram<u64>,
    /// How much later than due the client itself was ready to send, apart from waiting for a free connection:
    /// its own schedule error. Empty in a closed loop.
    pub pacer_late_ns: Histogram<u64>,
    /// Whole replies of the expected status.
    pub ok: u64,
    /// What was no success, by cause.
    pub errors: Errors,
    /// Requests that were due within the run and never sent.
    pub dropped: u64,
    /// From the first moment due to the last reply counted or the end of the run.
    pub elapsed: Duration,
    /// A stretch for each second of the run.
    pub timeline: Vec<Stretch>,
    /// CPU time that the client's threads used, as a share of the cores they had.
    pub client_cpu_share: f64,
    /// Whether every client thread was allowed to run before others of the host; without, a server on the same
    /// cores can delay the client. Asked for in an open loop that sleeps, and only there.
    pub priority_raised: bool,
    /// Why the client and not the server set the figures, if so.
    pub client_limited: Option<String>,
}

/// What was no success.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Whole replies of another status.
    pub status: u64,
    /// No whole reply in time.
    pub timeout: u64,
    /// The connection ended or was reset with the request under way.
    pub reset: u64,
    /// What came was no HTTP/1.1 reply.
    pub malformed: u64,
    /// The connection could not be opened.
    pub connect: u64,
}

impl Errors {
    /// All together.
    pub const fn total(self) -> u64 {
        self.status + self.timeout + self.reset + self.malformed + self.connect
    }
}

/// One second of a run, by when the replies came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Seconds since the run began.
    pub at_s: f64,
    /// Successes a second.
    pub ok_per_s: f64,
    /// Errors in it.
    pub errors: u64,
    /// Median of the response times, in nanoseconds; 0 without successes.
    pub p50_ns: u64,
    /// 99th percentile of the response times.
    pub p99_ns: u64,
    /// The longest response time.
    pub max_ns: u64,
}
