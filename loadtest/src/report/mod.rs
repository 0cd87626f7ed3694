//! What is told of a run: the figures that its reports share. [`text`] is for people, [`json`] for programs,
//! [`hgrm`] for plotters of `HdrHistogram`, [`curve`] for drawings; [`comparison`] and [`html`] show several runs side by side. Knows nothing
//! of how a run comes about.

pub mod comparison;
pub mod curve;
pub mod hgrm;
pub mod html;
pub mod json;
pub mod text;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::plan::{Pace, Plan};
use crate::seen::{Errors, Seen};
use crate::stats::suffices;

/// Above this part of the response p99, a reader is told how late the client's own schedule was.
const LATE_SHARE_TOLD: f64 = 0.1;

/// A run as its JSON shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// Who was loaded; a URL or the name of a subject.
    pub subject: String,
    /// With what.
    pub scenario: String,
    /// Requests a second that were due; null in a closed loop, which offers what is taken.
    pub offered_rps: Option<f64>,
    /// Successes a second.
    pub achieved_rps: f64,
    /// Successes.
    pub ok: u64,
    /// Failures of all causes.
    pub errors: u64,
    /// Failures by cause.
    pub errors_by_cause: Errors,
    /// Requests that were due and never sent.
    pub dropped: u64,
    /// From when a request was due to its whole reply.
    pub response_us: Percentiles,
    /// From when it was written.
    pub service_us: Percentiles,
    /// The client's own schedule error.
    pub pacer_late_us: PacerLate,
    /// Whether the client and not the server set the figures.
    pub client_limited: bool,
    /// Why, if so.
    pub client_limited_because: Option<String>,
    /// From the first moment due to the last reply.
    pub elapsed_s: f64,
    /// CPU time of the client's threads as a share of the cores they had.
    pub client_cpu_share: f64,
    /// Whether the client's threads were allowed to run before others of the host.
    pub priority_raised: bool,
    /// What the server used; null when that is not known.
    pub server: Option<ServerUse>,
}

/// Percentiles in microseconds; null where there are too few samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// 90 %.
    pub p90: Option<f64>,
    /// 99 %.
    pub p99: Option<f64>,
    /// 99.9 %.
    pub p999: Option<f64>,
    /// The longest; null without samples.
    pub max: Option<f64>,
}

/// The client's own schedule error in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PacerLate {
    /// Null in a closed loop and where there are too few samples.
    pub p99: Option<f64>,
}

/// What a server used in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerUse {
    /// CPU time a request, in microseconds.
    pub cpu_us_per_request: Option<f64>,
    /// Resident memory at the end, in MiB.
    pub rss_mib: Option<f64>,
    /// System calls a request.
    pub syscalls_per_request: Option<f64>,
}

impl RunReport {
    /// The report of what was `seen` of `subject` under `plan`.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub fn new(subject: &str, scenario: &str, plan: &Plan, seen: &Seen, server: Option<ServerUse>) -> Self {
        Self {
            subject: subject.to_owned(),
            scenario: scenario.to_owned(),
            offered_rps: match plan.pace {
                Pace::Open { rate_per_s, .. } => Some(rate_per_s),
                Pace::Closed { .. } => None,
            },
            achieved_rps: seen.ok as f64 / seen.elapsed.as_secs_f64().max(f64::MIN_POSITIVE),
            ok: seen.ok,
            errors: seen.errors.total(),
            errors_by_cause: seen.errors,
            dropped: seen.dropped,
            response_us: Percentiles::of(&seen.response_ns),
            service_us: Percentiles::of(&seen.service_ns),
            pacer_late_us: PacerLate { p99: percentile_us(&seen.pacer_late_ns, 99.0) },
            client_limited: seen.client_limited.is_some(),
            client_limited_because: seen.client_limited.clone(),
            elapsed_s: seen.elapsed.as_secs_f64(),
            client_cpu_share: seen.client_cpu_share,
            priority_raised: seen.priority_raised,
            server,
        }
    }

    /// What a reader must know of the response times, short of the verdict that they are the client's: how much of
    /// them may be its own lateness, if that is visible.
    pub fn late_note(&self) -> Option<String> {
        let share = self.pacer_late_us.p99? / self.response_us.p99?;
        let is_told = share > LATE_SHARE_TOLD && !self.client_limited;
        is_told.then(|| {
            format!(
                "the client's own schedule was late by {:.0} % of the response p99; service times are free of it",
                share * 100.0
            )
        })
    }
}

impl Percentiles {
    /// Of a distribution of nanoseconds.
    pub fn of(times_ns: &Histogram<u64>) -> Self {
        Self {
            p50: percentile_us(times_ns, 50.0),
            p90: percentile_us(times_ns, 90.0),
            p99: percentile_us(times_ns, 99.0),
            p999: percentile_us(times_ns, 99.9),
            max: (!times_ns.is_empty()).then(|| micros(times_ns.max())),
        }
    }
}

/// A percentile (0 to 100) of nanoseconds, in microseconds; none unless samples suffice.
pub fn percentile_us(times_ns: &Histogram<u64>, percentile: f64) -> Option<f64> {
    suffices(times_ns.len(), percentile).then(|| micros(times_ns.value_at_percentile(percentile)))
}

/// Nanoseconds as microseconds.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of an hour are below 2^52")]
pub fn micros(ns: u64) -> f64 {
    ns as f64 / 1_000.0
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;

    fn histogram(values: impl Iterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        values.for_each(|value| histogram.record(value).unwrap());
        histogram
    }

    pub(crate) fn seen() -> Seen {
        let times = histogram((1..=1_000).map(|n| n * 1_000));
        Seen {
            response_ns: times.clone(),
            service_ns: times,
            pacer_late_ns: Histogram::new(3).unwrap(),
            ok: 1_000,
            errors: Errors { timeout: 2, ..Errors::default() },
            dropped: 3,
            elapsed: Duration::from_secs(2),
            timeline: Vec::new(),
            client_cpu_share: 0.5,
            priority_raised: false,
            client_limited: Some("it was slow".to_owned()),
        }
    }

    pub(crate) fn report() -> RunReport {
        let plan = Plan {
            address: ([127, 0, 0, 1], 80).into(),
            connections: 1,
            pace: Pace::Closed { depth: 1 },
            requests: crate::plan::Requests(Vec::new()),
            expected_status: 200,
            failure_mark: None,
            timeout: Duration::from_secs(1),
            cores: Vec::new(),
            spin: false,
        };
        RunReport::new("http://x/", "closed", &plan, &seen(), None)
    }

    #[test]
    fn percentiles_are_stated_from_ten_samples_beyond() {
        let of = |count| Percentiles::of(&histogram((1..=count).map(|n| n * 1_000)));
        assert_eq!((of(19).p50, of(999).p99, of(0).max), (None, None, None));
        assert_eq!((of(1_000).p99.map(f64::round), of(1_000).p999), (Some(990.0), None));
        assert!(of(20).p50.is_some() && of(10_000).p999.is_some());
    }

    #[test]
    fn lateness_is_told_above_a_tenth_of_the_response_time() {
        let with = |late_us, client_limited| {
            let pacer_late_us = PacerLate { p99: Some(late_us) };
            RunReport { pacer_late_us, client_limited, ..report() }.late_note()
        };
        assert_eq!((with(98.0, false), with(200.0, true)), (None, None));
        assert!(with(200.0, false).unwrap().contains("20 % of the response p99"));
        assert_eq!(RunReport { client_limited: false, ..report() }.late_note(), None);
    }

    #[test]
    fn a_report_derives_rates_from_counts() {
        let report = report();
        assert_eq!((report.achieved_rps.round(), report.offered_rps), (500.0, None));
        assert_eq!((report.errors, report.dropped, report.client_limited), (2, 3, true));
    }
}
