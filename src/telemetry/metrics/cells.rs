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
    /// Makes it this.
    pub(super) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

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

/// Bounds of a histogram; what exceeds the last has a bucket of its own.
const BOUNDS: usize = 17;

/// What a histogram counts by: the upper bounds of its buckets, inclusive, each with its label `le`, spelled as Prometheus
/// 3 stores it, in either format.
#[derive(Debug, PartialEq)]
pub(super) struct Scale {
    pub(super) bounds: [(u64, &'static str); BOUNDS],
    /// How many of what is counted make one of what is shown.
    pub(super) per_unit: f64,
}

/// Nanoseconds, shown as seconds.
pub(super) static SECONDS: Scale = Scale { bounds: DURATIONS, per_unit: 1e9 };
/// Whole numbers of things.
pub(super) static THINGS: Scale = Scale { bounds: POWERS_OF_TWO, per_unit: 1.0 };

const POWERS_OF_TWO: [(u64, &str); BOUNDS] = [
    (1, "1.0"),
    (2, "2.0"),
    (4, "4.0"),
    (8, "8.0"),
    (16, "16.0"),
    (32, "32.0"),
    (64, "64.0"),
    (128, "128.0"),
    (256, "256.0"),
    (512, "512.0"),
    (1_024, "1024.0"),
    (2_048, "2048.0"),
    (4_096, "4096.0"),
    (8_192, "8192.0"),
    (16_384, "16384.0"),
    (32_768, "32768.0"),
    (65_536, "65536.0"),
];

const DURATIONS: [(u64, &str); BOUNDS] = [
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

/// Values, counted by bucket.
#[derive(Debug, Default)]
pub(super) struct Histogram<T> {
    /// Not cumulative; the last is for what exceeds every bound. Their sum is the count.
    buckets: [T; BOUNDS + 1],
    sum: T,
}

impl<T: Tally> Histogram<T> {
    pub(super) fn observe(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.observe_on(&SECONDS, ns);
    }

    pub(super) fn observe_on(&self, scale: &Scale, value: u64) {
        // Most requests fall into the first buckets, so a scan from below is the short way.
        let bucket = scale.bounds.iter().position(|&(bound, _)| value <= bound).unwrap_or(BOUNDS);
        self.buckets[bucket].add(1);
        self.sum.add(value);
    }

    /// The counts now, each bucket with those below it, and the sum. The count of all is the
    /// last bucket's, so the two never disagree.
    // Not in place: a scrape has this a dozen times.
    #[inline(never)]
    pub(super) fn read(&self) -> Reading {
        let mut total = 0;
        let cumulative = std::array::from_fn(|bucket| {
            total += self.buckets[bucket].value();
            total
        });
        Reading { cumulative, sum: self.sum.value() }
    }
}

/// A histogram at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) cumulative: [u64; BOUNDS + 1],
    pub(super) sum: u64,
}

impl Reading {
    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.cumulative.iter_mut().zip(other.cumulative).for_each(|(count, other)| *count += other);
        self.sum += other.sum;
        self
    }

    pub(super) const fn count(&self) -> u64 {
        self.cumulative[BOUNDS]
    }
}
