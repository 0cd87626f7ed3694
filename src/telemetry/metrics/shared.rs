//! What any thread may count with, by relaxed atomic additions: right for what comes by the thousand a second, not for
//! requests.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::cells::{Histogram, ManyWriters, Reading, THINGS, Tally};

/// A histogram of durations.
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

/// A histogram of sizes.
#[derive(Debug, Default)]
pub struct SharedSizes(Histogram<ManyWriters>);

impl SharedSizes {
    /// Counts something of this size.
    pub fn observe(&self, size: usize) {
        self.0.observe_on(&THINGS, size as u64);
    }

    pub(super) fn read(&self) -> Reading {
        self.0.read()
    }
}

/// A counter.
#[derive(Debug, Default)]
pub struct SharedCounter(ManyWriters);

impl SharedCounter {
    /// Counts one more.
    pub fn count(&self) {
        self.0.add(1);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.value()
    }
}

/// Counters of one family, each under a value of the family's one label.
#[derive(Debug)]
pub struct SharedCounters(Vec<(&'static str, ManyWriters)>);

impl SharedCounters {
    pub(super) fn new(labels: &[&'static str]) -> Self {
        Self(labels.iter().map(|&label| (label, ManyWriters::default())).collect())
    }

    /// Counts one more under `label`, which must be one that the family was made with.
    pub fn count(&self, label: &str) {
        let counter = self.0.iter().find(|(known, _)| *known == label);
        debug_assert!(counter.is_some(), "{label} is no label of this family");
        if let Some((_, counter)) = counter {
            counter.add(1);
        }
    }

    pub(super) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.0.iter().map(|(label, counter)| (*label, counter.value()))
    }
}

/// The highest number that any thread has told.
#[derive(Debug, Default)]
pub struct Highest(AtomicU64);

impl Highest {
    /// Takes note of a number.
    pub fn tell(&self, number: u64) {
        self.0.fetch_max(number, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
