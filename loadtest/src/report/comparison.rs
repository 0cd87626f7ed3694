//! A comparison as text: what each subject reached and cost, how that compares with ringledger in words, and what to
//! know before believing it. Only shows; computes nothing.

mod markdown;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::comparison::{Comparison, Interval};
use crate::stats::spans_one;
use crate::subject::SUBJECTS;

pub use self::markdown::markdown;

/// A metric as it is shown.
struct Metric {
    /// As the JSON names it.
    name: &'static str,
    /// As a reader does.
    heading: &'static str,
    better: Better,
    digits: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    Higher,
    Lower,
}

const fn metric(name: &'static str, heading: &'static str, better: Better, digits: usize) -> Metric {
    Metric { name, heading, better, digits }
}

/// Each group is a table; a metric that no subject has is left out.
static GROUPS: [(&str, &[Metric]); 4] = [
    (
        "Rate and response time (microseconds)",
        &[
            metric("achieved_rps", "requests/s", Better::Higher, 0),
            metric("transfers_per_s", "transfers/s", Better::Higher, 0),
            metric("heavy_rps", "heavy/s", Better::Higher, 1),
            metric("response_us.p50", "p50", Better::Lower, 0),
            metric("response_us.p99", "p99", Better::Lower, 0),
            metric("response_us.p999", "p99.9", Better::Lower, 0),
        ],
    ),
    (
        "First request after a rest, and the second of two in a row (microseconds)",
        &[
            metric("wake_us.p50", "rested p50", Better::Lower, 1),
            metric("wake_us.p90", "rested p90", Better::Lower, 1),
            metric("awake_us.p50", "awake p50", Better::Lower, 1),
            metric("awake_us.p90", "awake p90", Better::Lower, 1),
        ],
    ),
    (
        "Start (milliseconds)",
        &[
            metric("start_ms", "empty directory", Better::Lower, 1),
            metric("restart_ms", "used directory", Better::Lower, 1),
        ],
    ),
    (
        "Cost for the server",
        &[
            metric("server.cpu_us_per_request", "CPU us/request", Better::Lower, 2),
            metric("database.cpu_us_per_request", "database CPU us/request", Better::Lower, 2),
            metric("server.syscalls_per_request", "syscalls/request", Better::Lower, 3),
            metric("server.context_switches_per_request", "switches/request", Better::Lower, 4),
            metric("server.idle_bytes_per_connection", "bytes/idle connection", Better::Lower, 0),
            metric("server.rss_mib", "MiB", Better::Lower, 1),
        ],
    ),
];

/// The whole report.
pub fn text(comparison: &Comparison) -> String {
    let mut text = String::new();
    head(&mut text, comparison);
    for (title, metrics) in &GROUPS {
        let rows = table(comparison, metrics);
        if !rows.is_empty() {
            let _ = write!(text, "\n{title}\n{rows}");
        }
    }
    ratios(&mut text, comparison);
    warnings(&mut text, comparison);
    environment(&mut text, comparison);
    text
}

fn head(text: &mut String, comparison: &Comparison) {
    let Comparison { scenario, about, rounds, duration_s, .. } = comparison;
    let _ = writeln!(text, "{scenario}: {about}");
    let length = if *duration_s > 0.0 { format!(" of {duration_s} s") } else { String::new() };
    let _ = writeln!(text, "{rounds} rounds{length}; median [95 % interval]");
    for (name, about) in &comparison.abouts {
        let _ = writeln!(text, "  {name}: {about}");
    }
}

/// Subjects as rows, the metrics that any has as columns; empty without any.
fn table(comparison: &Comparison, metrics: &[Metric]) -> String {
    let has = |metric: &&Metric| comparison.subjects.values().any(|row| row.contains_key(metric.name));
    let shown: Vec<&Metric> = metrics.iter().filter(has).collect();
    if shown.is_empty() {
        return String::new();
    }
    let heading = [String::new()].into_iter().chain(shown.iter().map(|metric| metric.heading.to_owned()));
    let mut rows: Vec<Vec<String>> = vec![heading.collect()];
    for (name, values) in subjects(comparison) {
        let cells = shown
            .iter()
            .map(|metric| values.get(metric.name).map_or_else(dash, |value| cell(*value, metric)));
        rows.push([name.to_owned()].into_iter().chain(cells).collect());
    }
    aligned(&rows)
}

/// All subjects with their values, in the order of `loadtest list`; others follow.
fn subjects(comparison: &Comparison) -> Vec<(&str, &BTreeMap<String, Interval>)> {
    let place = |name: &str| SUBJECTS.iter().position(|subject| subject.name == name);
    let mut subjects: Vec<_> =
        comparison.subjects.iter().map(|(name, values)| (name.as_str(), values)).collect();
    subjects.sort_by_key(|(name, _)| place(name).unwrap_or(SUBJECTS.len()));
    subjects
}

fn dash() -> String {
    "-".to_owned()
}

/// The first column to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let _ =
                if column == 0 { write!(text, "  {cell:<width$}") } else { write!(text, "  {cell:>width$}") };
        }
        text.push('\n');
    }
    text
}

fn cell(value: Interval, metric: &Metric) -> String {
    interval(value, |number| grouped(number, metric.digits))
}

/// `median [lo, hi]`, or the median alone where nothing varied.
fn interval(value: Interval, shown: impl Fn(f64) -> String) -> String {
    let [median, lo, hi] = [value.median, value.lo, value.hi].map(shown);
    if lo == hi { median } else { format!("{median} [{lo}, {hi}]") }
}

/// With commas between thousands.
fn grouped(number: f64, digits: usize) -> String {
    let plain = format!("{number:.digits$}");
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let (sign, whole) = whole.split_at(whole.len() - whole.trim_start_matches('-').len());
    let mut text = sign.to_owned();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + fraction
}

/// Each pair's ratios in words: who is better, or that no difference is shown.
fn ratios(text: &mut String, comparison: &Comparison) {
    for (pair, metrics) in &comparison.ratios {
        let Some((name, base)) = pair.split_once('/') else { continue };
        let shown = GROUPS.iter().flat_map(|(_, group)| *group);
        let rows: Vec<Vec<String>> = shown
            .filter_map(|metric| Some((metric, *metrics.get(metric.name)?)))
            .map(|(metric, ratio)| {
                let verdict = verdict(ratio, metric.better, name, base);
                vec![metric.heading.to_owned(), interval(ratio, times), verdict]
            })
            .collect();
        if !rows.is_empty() {
            let _ = write!(text, "\n{name} / {base}\n{}", aligned(&rows));
        }
    }
}

/// Small ratios need more digits to differ from each other.
fn times(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}x") } else { format!("{ratio:.2}x") }
}

fn verdict(ratio: Interval, better: Better, name: &str, base: &str) -> String {
    if spans_one(ratio) {
        return "no difference shown".to_owned();
    }
    let name_is_better = (ratio.median > 1.0) == (better == Better::Higher);
    let best = if name_is_better { name } else { base };
    // Without a spread nothing says how far it is from chance.
    if ratio.lo < ratio.hi { format!("{best} is better") } else { format!("{best}, measured once") }
}

fn warnings(text: &mut String, comparison: &Comparison) {
    if !comparison.warnings.is_empty() {
        text.push_str("\nWarnings\n");
    }
    for warning in &comparison.warnings {
        let _ = writeln!(text, "  {warning}");
    }
}

fn environment(text: &mut String, comparison: &Comparison) {
    text.push_str("\nEnvironment\n");
    for (name, value) in &comparison.environment {
        let _ = writeln!(text, "  {name}: {value}");
    }
    let _ = writeln!(text, "\nAgain: {}", comparison.command);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn at(median: f64, lo: f64, hi: f64) -> Interval {
        Interval { median, lo, hi }
    }

    fn row(values: &[(&str, Interval)]) -> BTreeMap<String, Interval> {
        values.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
    }

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect()
    }

    pub(super) fn comparison() -> Comparison {
        let ours = [
            ("achieved_rps", at(4_000.0, 3_999.6, 4_000.4)),
            ("response_us.p99", at(212.0, 200.0, 231.0)),
            ("server.rss_mib", at(15.0, 14.9, 15.2)),
        ];
        let theirs = [
            ("achieved_rps", at(4_000.0, 3_999.0, 4_001.0)),
            ("response_us.p99", at(6_900.0, 6_500.0, 7_400.0)),
        ];
        let ratios = [
            ("achieved_rps", at(1.0, 0.999, 1.001)),
            ("response_us.p99", at(32.5, 30.0, 36.1)),
            ("server.rss_mib", at(0.6, 0.5, 0.7)),
        ];
        Comparison {
            scenario: "mixed".to_owned(),
            about: "light beside heavy".to_owned(),
            rounds: 5,
            duration_s: 5.0,
            command: "cargo run".to_owned(),
            environment: texts(&[("kernel", "Linux 6.18")]),
            abouts: texts(&[("axum", "the baseline")]),
            subjects: BTreeMap::from([
                ("ringledger".to_owned(), row(&ours)),
                ("axum".to_owned(), row(&theirs)),
            ]),
            ratios: BTreeMap::from([("axum/ringledger".to_owned(), row(&ratios))]),
            plots: BTreeMap::new(),
            warnings: vec!["axum: errors: 2 reset".to_owned()],
        }
    }

    #[test]
    fn a_report_has_tables_verdicts_warnings_and_the_host() {
        assert_eq!(
            text(&comparison()),
            "\
mixed: light beside heavy
5 rounds of 5 s; median [95 % interval]
  axum: the baseline

Rate and response time (microseconds)
                        requests/s                   p99
  ringledger                 4,000        212 [200, 231]
  axum        4,000 [3,999, 4,001]  6,900 [6,500, 7,400]

Cost for the server
                            MiB
  ringledger  15.0 [14.9, 15.2]
  axum                        -

axum / ringledger
  requests/s                    1.00x   no difference shown
  p99         32.50x [30.00x, 36.10x]  ringledger is better
  MiB            0.60x [0.50x, 0.70x]        axum is better

Warnings
  axum: errors: 2 reset

Environment
  kernel: Linux 6.18

Again: cargo run
"
        );
    }

    #[test]
    fn a_verdict_knows_which_way_is_better() {
        let of = |median, lo, hi, better| verdict(at(median, lo, hi), better, "axum", "ringledger");
        assert_eq!(of(0.5, 0.4, 0.6, Better::Higher), "ringledger is better");
        assert_eq!(of(2.0, 1.9, 2.1, Better::Higher), "axum is better");
        assert_eq!(of(2.0, 1.9, 2.1, Better::Lower), "ringledger is better");
        assert_eq!(of(2.0, 0.9, 2.1, Better::Lower), "no difference shown");
        assert_eq!(of(2.0, 2.0, 2.0, Better::Lower), "ringledger, measured once");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(1_234_567.4, 0), "1,234,567");
        assert_eq!(grouped(999.96, 1), "1,000.0");
        assert_eq!(grouped(-1_234.5, 1), "-1,234.5");
        assert_eq!(grouped(0.123_4, 3), "0.123");
    }
}
