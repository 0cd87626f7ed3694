//! Counters and histograms that any thread may read while they are written. Who may write is a type:
//! [`OneWriter`] costs a plain addition, [`ManyWriters`] an atomic one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A number that grows and shrinks.
pub(super) trait Tally {
    /// Adds to it, wrapping.
    fn add(&self, amount: u64);
    /// It, now.
    fn value(&self) -> u64;
}

/// A number that one thread writes. Two would lose counts; [`super::CoreMetrics`] sees to it by being the only
/// way to write, on one thread at a time.
#[derive(Debug, Default)]
pub(super) struct OneWriter(AtomicU64);

impl Tally for OneWriter {
    fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl OneWriter {
    pub(super) fn subtract_one(&self) {
        self.add(u64::MAX);
    }
}

/// A number that any thread writes.
#[derive(Debug, Default)]
pub(super) struct ManyWriters(AtomicU64);

impl Tally for ManyWriters {
    fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The upper bounds of a histogram's buckets, inclusive, in nanoseconds and as the label `le` in seconds. The
/// labels are spelled as Prometheus 3 stores them, in either format. What is longer than the last has a bucket
/// of its own.
pub(super) const BOUNDS: [(u64, &str); 17] = [
    (50_000, "5e-05"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5.0"),
    (10_000_000_000, "10.0"),
];

/// Durations, counted by bucket.
#[derive(Debug, Default)]
pub(super) struct Histogram<T> {
    /// Not cumulative; the last is for what exceeds every bound. Their sum is the count.
    buckets: [T; BOUNDS.len() + 1],
    sum_ns: T,
}

impl<T: Tally> Histogram<T> {
    pub(super) fn observe(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        // Most requests fall into the first buckets, so a scan from below is the short way.
        let bucket = BOUNDS.iter().position(|&(bound, _)| ns <= bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].add(1);
        self.sum_ns.add(ns);
    }

    /// The counts now, each bucket with those below it, and the sum in nanoseconds. The count of all is the
    /// last bucket's, so the two never disagree.
    pub(super) fn read(&self) -> Reading {
        let mut total = 0;
        let cumulative = std::array::from_fn(|bucket| {
            total += self.buckets[bucket].value();
            total
        });
        Reading { cumulative, sum_ns: self.sum_ns.value() }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) cumulative: [u64; BOUNDS.len() + 1],
    pub(super) sum_ns: u64,
}

impl Reading {
    pub(super) const fn count(&self) -> u64 {
        self.cumulative[BOUNDS.len()]
    }
}

/// A histogram of durations that any thread writes, by relaxed atomic additions: right for jobs that come by
/// the thousand a second, not for requests.
#[derive(Debug, Default)]
pub struct SharedHistogram(Histogram<ManyWriters>);

impl SharedHistogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        self.0.observe(duration);
    }

    pub(super) fn read(&self) -> Reading {
        self.0.read()
    }
}
