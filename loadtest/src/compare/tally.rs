//! Collects the values of all blocks and makes the comparison of them: medians, ratios within rounds, what can be
//! drawn, and what a reader must know first.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use super::Options;
use super::metrics::{CLIENT_LIMITED, Values};
use crate::comparison::{Comparison, Interval, Moment, Plot};
use crate::report::curve;
use crate::seen::{Errors, Seen};
use crate::stats::{ROUNDS_FOR_FINE_INTERVALS, interval};

/// Metrics whose ratio says nothing about a subject.
const NOT_COMPARED: [&str; 5] = ["errors", "dropped", "ok", CLIENT_LIMITED, "client_cpu_share"];

/// The percentiles of the report, as they are named there.
const TOLD: [(&str, &str); 3] = [("p90", "p90"), ("p99", "p99"), ("p999", "p99.9")];

/// What was seen so far.
pub(super) struct Tally<'a> {
    options: &'a Options,
    rows: Vec<Row>,
    environment: BTreeMap<String, String>,
    warnings: Vec<String>,
}

/// What was seen of one subject.
struct Row {
    /// By round.
    rounds: Vec<Values>,
    /// Measured once.
    once: Values,
    engine: Option<String>,
    /// Whether the client ran before others of the host.
    client_raised: Option<bool>,
    /// Of all rounds.
    response_ns: Option<Histogram<u64>>,
    errors: Errors,
    /// Of the work that went on beside it.
    errors_beside: Errors,
    /// Why the client set the figures, in the last round in which it did.
    limited: Option<String>,
    /// Of the last round.
    timeline: Vec<Moment>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(options: &'a Options) -> Self {
        let row = || Row {
            rounds: vec![Values::new(); options.rounds],
            once: Values::new(),
            engine: None,
            client_raised: None,
            response_ns: None,
            errors: Errors::default(),
            errors_beside: Errors::default(),
            limited: None,
            timeline: Vec::new(),
        };
        let rows = options.subjects.iter().map(|_| row()).collect();
        Self { options, rows, environment: BTreeMap::new(), warnings: Vec::new() }
    }

    /// The values of a block.
    pub(super) fn add(&mut self, subject: usize, round: usize, values: Values) {
        self.rows[subject].rounds[round] = values;
    }

    /// A value that is measured once.
    pub(super) fn add_once(&mut self, subject: usize, metric: &str, value: f64) {
        self.rows[subject].once.insert(metric.to_owned(), value);
    }

    /// Which I/O engine a subject runs on and why.
    pub(super) fn engine(&mut self, subject: usize, engine: Option<String>) {
        self.rows[subject].engine = engine;
    }

    /// Something of the surroundings that is the same in all blocks.
    pub(super) fn tell(&mut self, surroundings: impl IntoIterator<Item = (&'static str, String)>) {
        self.environment.extend(surroundings.into_iter().map(|(name, text)| (name.to_owned(), text)));
    }

    /// What the client saw in a block.
    pub(super) fn saw(&mut self, subject: usize, seen: Seen) {
        let row = &mut self.rows[subject];
        row.errors = sum(row.errors, seen.errors);
        row.timeline = curve::timeline(&seen);
        row.client_raised = Some(seen.priority_raised && row.client_raised != Some(false));
        row.limited = seen.client_limited.or(row.limited.take());
        match &mut row.response_ns {
            Some(all) => all.add(&seen.response_ns).expect("histograms of one client have one range"),
            none => *none = Some(seen.response_ns),
        }
    }

    /// What failed of the work beside a block's load.
    pub(super) fn saw_beside(&mut self, subject: usize, errors: Errors) {
        let row = &mut self.rows[subject];
        row.errors_beside = sum(row.errors_beside, errors);
    }

    /// Something that a reader must know.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    /// Several of that kind.
    pub(super) fn warn_all(&mut self, warnings: impl IntoIterator<Item = String>) {
        self.warnings.extend(warnings);
    }

    /// For the environment: what was told of it, the engine of each subject that tells it, and how the client was
    /// scheduled.
    pub(super) fn told(&self) -> BTreeMap<String, String> {
        let engines =
            self.named().filter_map(|(name, row)| Some((format!("engine of {name}"), row.engine.clone()?)));
        let raised = self.rows.iter().filter_map(|row| row.client_raised).reduce(|one, other| one && other);
        let priority = raised.map(|raised| {
            if raised { "raised" } else { "as usual: not asked for in this scenario, or refused" }
        });
        let client = priority.map(|text| ("client priority".to_owned(), text.to_owned()));
        self.environment.clone().into_iter().chain(engines).chain(client).collect()
    }

    fn named(&self) -> impl Iterator<Item = (&'static str, &Row)> {
        self.options.subjects.iter().map(|subject| subject.name).zip(&self.rows)
    }

    /// The comparison.
    pub(super) fn comparison(mut self, environment: BTreeMap<String, String>, command: String) -> Comparison {
        self.warn_of_rows();
        let intervals = |row: &Row| {
            row.metrics().filter_map(|metric| Some((metric.clone(), row.interval(&metric)?))).collect()
        };
        let of_subjects = |text: fn(&crate::subject::Subject) -> &'static str| {
            self.options
                .subjects
                .iter()
                .map(|subject| (subject.name.to_owned(), text(subject).to_owned()))
                .collect()
        };
        Comparison {
            scenario: self.options.scenario.name.to_owned(),
            about: self.options.scenario.about.to_owned(),
            rounds: self.options.rounds,
            duration_s: if self.options.scenario.is_load() {
                self.options.duration.as_secs_f64()
            } else {
                0.0
            },
            command,
            environment,
            abouts: of_subjects(|subject| subject.about),
            subjects: self.named().map(|(name, row)| (name.to_owned(), intervals(row))).collect(),
            ratios: self.ratios(),
            plots: self.named().map(|(name, row)| (name.to_owned(), row.plot())).collect(),
            warnings: self.warnings,
        }
    }

    /// `NAME/BASE`: ratios are taken within a round, so that a drift of the machine cancels out.
    fn ratios(&self) -> BTreeMap<String, BTreeMap<String, Interval>> {
        let base = self.options.base;
        let Some((_, to)) = self.named().find(|(name, _)| *name == base) else { return BTreeMap::new() };
        let others = self.named().filter(|(name, _)| *name != base);
        others.map(|(name, row)| (format!("{name}/{base}"), row.ratios(to))).collect()
    }

    fn warn_of_rows(&mut self) {
        let mut warnings = Vec::new();
        let base = self.options.base;
        if !self.named().any(|(name, _)| name == base) {
            warnings.push(format!("{base} took no part, so there are no ratios"));
        }
        for (name, row) in self.named() {
            warnings.extend(row.warnings().into_iter().map(|warning| format!("{name}: {warning}")));
        }
        if self.options.rounds < ROUNDS_FOR_FINE_INTERVALS {
            warnings.push(format!(
                "{} rounds: the intervals are hardly more than the lowest and the highest round, and cover less than \
                 they claim to",
                self.options.rounds
            ));
        }
        self.warnings.extend(warnings);
    }
}

impl Row {
    fn metrics(&self) -> impl Iterator<Item = String> {
        let all: BTreeSet<_> =
            self.rounds.iter().chain([&self.once]).flat_map(Values::keys).cloned().collect();
        all.into_iter()
    }

    /// The values by round; empty unless each round has one, so that medians are of all rounds.
    fn values(&self, metric: &str) -> Vec<f64> {
        let values: Option<Vec<_>> = self.rounds.iter().map(|round| round.get(metric).copied()).collect();
        values.unwrap_or_else(|| self.once.get(metric).copied().into_iter().collect())
    }

    fn interval(&self, metric: &str) -> Option<Interval> {
        let values = self.values(metric);
        if metric == CLIENT_LIMITED {
            return share(&values);
        }
        interval(&values)
    }

    fn ratios(&self, base: &Self) -> BTreeMap<String, Interval> {
        let compared = self.metrics().filter(|metric| !NOT_COMPARED.contains(&metric.as_str()));
        compared.filter_map(|metric| Some((metric.clone(), self.ratio(base, &metric)?))).collect()
    }

    /// None where there is nothing to divide by.
    fn ratio(&self, base: &Self, metric: &str) -> Option<Interval> {
        let (own, theirs) = (self.values(metric), base.values(metric));
        if own.len() != theirs.len() || theirs.contains(&0.0) {
            return None;
        }
        let within: Vec<_> = own.iter().zip(&theirs).map(|(mine, other)| mine / other).collect();
        interval(&within)
    }

    fn plot(&self) -> Plot {
        let percentiles = self.response_ns.as_ref().map_or_else(Vec::new, curve::percentiles);
        Plot { percentiles, timeline: self.timeline.clone() }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let times = self.values(CLIENT_LIMITED).iter().filter(|&&limited| limited > 0.0).count();
        if times > 0 {
            let reason = self.limited.as_deref().unwrap_or("no reason given");
            warnings.push(format!("CLIENT-LIMITED in {times} of {} rounds: {reason}", self.rounds.len()));
        }
        for (errors, of) in [(self.errors, "errors"), (self.errors_beside, "errors of the work beside it")] {
            if errors.total() > 0 {
                warnings.push(format!("{of}: {}", causes(errors)));
            }
        }
        let dropped: f64 = self.values("dropped").iter().sum();
        if dropped > 0.0 {
            warnings.push(format!("{dropped:.0} requests were due and never sent"));
        }
        let missing = |key: &str| self.values(&format!("response_us.{key}")).is_empty();
        let missing: Vec<_> = TOLD.iter().filter(|(key, _)| missing(key)).map(|(_, shown)| *shown).collect();
        if self.response_ns.is_some() && !missing.is_empty() {
            warnings.push(format!("too few samples for {}", missing.join(" and ")));
        }
        warnings
    }
}

/// The mean of zeros and ones.
fn share(values: &[f64]) -> Option<Interval> {
    let rounds = u32::try_from(values.len()).ok().filter(|&count| count > 0)?;
    let mean = values.iter().sum::<f64>() / f64::from(rounds);
    Some(Interval { median: mean, lo: mean, hi: mean })
}

const fn sum(one: Errors, other: Errors) -> Errors {
    Errors {
        status: one.status + other.status,
        timeout: one.timeout + other.timeout,
        reset: one.reset + other.reset,
        malformed: one.malformed + other.malformed,
        connect: one.connect + other.connect,
    }
}

fn causes(errors: Errors) -> String {
    let Errors { status, timeout, reset, malformed, connect } = errors;
    let all = [
        (status, "of another status"),
        (timeout, "timed out"),
        (reset, "reset"),
        (malformed, "malformed"),
        (connect, "not connected"),
    ];
    let some: Vec<_> =
        all.iter().filter(|(count, _)| *count > 0).map(|(count, cause)| format!("{count} {cause}")).collect();
    some.join(", ")
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact in binary")]
mod tests {
    use std::time::Duration;

    use super::super::metrics::tests::seen;
    use super::*;
    use crate::scenario::Scenario;
    use crate::subject::{Store, Subject};

    fn options(subjects: &[&str], rounds: usize) -> Options {
        Options {
            scenario: Scenario::named("plaintext").expect("a scenario"),
            store: Store::Sqlite,
            subjects: subjects.iter().map(|name| Subject::named(name).expect("a subject")).collect(),
            base: "ringledger",
            rounds,
            rate_per_s: None,
            duration: Duration::from_secs(5),
            build: false,
        }
    }

    fn values(pairs: &[(&str, f64)]) -> Values {
        pairs.iter().map(|&(metric, value)| (metric.to_owned(), value)).collect()
    }

    fn comparison(tally: Tally<'_>) -> Comparison {
        tally.comparison(BTreeMap::new(), String::new())
    }

    #[test]
    fn a_drift_of_the_machine_shows_in_values_and_not_in_ratios() {
        let options = options(&["ringledger", "axum"], 3);
        let mut tally = Tally::new(&options);
        for (round, speed) in [1.0, 0.5, 0.25].into_iter().enumerate() {
            tally.add(0, round, values(&[("achieved_rps", 1_000.0 * speed)]));
            tally.add(1, round, values(&[("achieved_rps", 500.0 * speed)]));
        }
        let comparison = comparison(tally);
        let rate = comparison.subjects["ringledger"]["achieved_rps"];
        assert_eq!(rate, Interval { median: 500.0, lo: 250.0, hi: 1_000.0 });
        let ratio = comparison.ratios["axum/ringledger"]["achieved_rps"];
        assert_eq!(ratio, Interval { median: 0.5, lo: 0.5, hi: 0.5 });
    }

    #[test]
    fn a_metric_that_a_round_lacks_has_no_median() {
        let options = options(&["ringledger"], 2);
        let mut tally = Tally::new(&options);
        tally.add(0, 0, values(&[("response_us.p99", 5.0), ("achieved_rps", 1.0)]));
        tally.add(0, 1, values(&[("achieved_rps", 1.0)]));
        let comparison = comparison(tally);
        assert_eq!(comparison.subjects["ringledger"].keys().collect::<Vec<_>>(), ["achieved_rps"]);
    }

    #[test]
    fn nothing_is_divided_by_zero_and_counts_of_trouble_have_no_ratio() {
        let options = options(&["ringledger", "axum"], 1);
        let mut tally = Tally::new(&options);
        for subject in [0, 1] {
            tally.add(subject, 0, values(&[("errors", 1.0), ("server.context_switches_per_request", 0.0)]));
        }
        assert!(comparison(tally).ratios["axum/ringledger"].is_empty());
    }

    #[test]
    fn what_a_reader_must_know_is_said() {
        let options = options(&["axum"], 2);
        let mut tally = Tally::new(&options);
        let mut trouble = seen([5; 500]);
        trouble.errors.reset = 2;
        trouble.client_limited = Some("its core was at 99 %".to_owned());
        tally.saw(0, trouble);
        tally.saw_beside(0, Errors { status: 9, ..Errors::default() });
        tally.add(0, 0, values(&[(CLIENT_LIMITED, 1.0), ("dropped", 7.0), ("response_us.p90", 1.0)]));
        tally.add(0, 1, values(&[(CLIENT_LIMITED, 0.0), ("dropped", 0.0), ("response_us.p90", 1.0)]));
        let comparison = comparison(tally);
        assert_eq!(comparison.subjects["axum"][CLIENT_LIMITED].median, 0.5);
        assert_eq!(
            comparison.warnings,
            [
                "ringledger took no part, so there are no ratios",
                "axum: CLIENT-LIMITED in 1 of 2 rounds: its core was at 99 %",
                "axum: errors: 2 reset",
                "axum: errors of the work beside it: 9 of another status",
                "axum: 7 requests were due and never sent",
                "axum: too few samples for p99 and p99.9",
                "2 rounds: the intervals are hardly more than the lowest and the highest round, and cover less than \
                 they claim to",
            ]
        );
    }

    #[test]
    fn a_curve_ends_where_samples_do() {
        let options = options(&["ringledger"], 2);
        let mut tally = Tally::new(&options);
        (0..2).for_each(|_| tally.saw(0, seen(1..=500)));
        let comparison = comparison(tally);
        let curve = &comparison.plots["ringledger"].percentiles;
        assert_eq!(curve.last().map(|point| point.0), Some(99.0));
        assert!(curve.is_sorted_by_key(|point| point.1));
    }
}
