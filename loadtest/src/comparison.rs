//! A comparison of subjects in one scenario, as its JSON shows it. Only data: how it comes about is `compare`'s
//! business, how it looks is `report`'s.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Subjects side by side. Metric names are dotted: `response_us.p99`, `achieved_rps`,
/// `server.cpu_us_per_request`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    /// Which scenario.
    pub scenario: String,
    /// What it does, in a sentence.
    pub about: String,
    /// How many rounds each subject ran.
    pub rounds: usize,
    /// How long each measurement took, in seconds; 0 where the scenario has a length of its own.
    pub duration_s: f64,
    /// The command that repeats it.
    pub command: String,
    /// Where it ran: kernel, CPU, governor, mitigations, limits, affinity, versions, engines and why.
    pub environment: BTreeMap<String, String>,
    /// What each subject is, in a sentence.
    pub abouts: BTreeMap<String, String>,
    /// Subject, metric, value.
    pub subjects: BTreeMap<String, BTreeMap<String, Interval>>,
    /// `NAME/BASE`, metric, ratio; taken within each round.
    pub ratios: BTreeMap<String, BTreeMap<String, Interval>>,
    /// What can be drawn of each subject.
    pub plots: BTreeMap<String, Plot>,
    /// What a reader must know before believing the figures: a client at its limit, errors, too few samples.
    pub warnings: Vec<String>,
}

/// A median with its 95 % block-bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The median over the rounds.
    pub median: f64,
    /// The lower end of the interval.
    pub lo: f64,
    /// The upper end.
    pub hi: f64,
}

/// What can be drawn of one subject.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plot {
    /// Response time in microseconds at a percentile (0 to 100), of all rounds together; only as far as there are
    /// samples enough.
    pub percentiles: Vec<(f64, f64)>,
    /// One round over time.
    pub timeline: Vec<Moment>,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Moment {
    /// Seconds since the run began.
    pub at_s: f64,
    /// Successes a second.
    pub ok_per_s: f64,
    /// Median of the response times, in microseconds.
    pub p50_us: f64,
    /// Their 99th percentile.
    pub p99_us: f64,
}
