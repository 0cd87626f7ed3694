//! What a metric's dotted name means to a reader: label, unit, which way is better, and the words for a ratio.

use super::number::{NONE, number, time_us};
use crate::comparison::Interval;

/// What is shown first, in this order. A metric that belongs to no head of [`DETAILS`] follows them.
const MAIN: [(&str, &str); 18] = [
    ("achieved_rps", "Successes a second"),
    ("transfers_per_s", "Transfers a second"),
    ("heavy_rps", "Heavy requests a second"),
    ("response_us.p50", "Response time, median"),
    ("response_us.p99", "Response time, 99th percentile"),
    ("response_us.p999", "Response time, 99.9th percentile"),
    ("server.cpu_us_per_request", "Server CPU a request"),
    ("database.cpu_us_per_request", "Database CPU a request"),
    ("server.syscalls_per_request", "System calls a request"),
    ("server.context_switches_per_request", "Context switches a request"),
    ("server.idle_bytes_per_connection", "Memory of an idle connection"),
    ("server.rss_mib", "Server memory"),
    ("start_ms", "Start to ready"),
    ("restart_ms", "Start to ready with a used store"),
    ("wake_us.p50", "First request after a rest, median"),
    ("wake_us.p90", "First request after a rest, 90th percentile"),
    ("awake_us.p50", "Next request, median"),
    ("awake_us.p90", "Next request, 90th percentile"),
];

/// Heads of metrics that stand in the full table only.
const DETAILS: [&str; 11] = [
    "response_us",
    "service_us",
    "pacer_late_us",
    "offered_rps",
    "ok",
    "errors",
    "dropped",
    "client_limited",
    "client_cpu_share",
    "server",
    "database",
];

/// The unit of a metric, as its name tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Us,
    Ms,
    PerSecond,
    Mib,
    Kib,
    Bytes,
    None,
}

/// What a metric counts, which decides the words of a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A time that somebody waits: less is better.
    Wait,
    /// Work done in a time: more is better.
    Rate,
    /// What the work costs: less is better.
    Cost,
}

/// Who comes off better in a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The subject.
    Better,
    /// The base.
    Worse,
    /// The interval spans 1.
    NotShown,
}

impl Verdict {
    /// Its CSS class.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::NotShown => "same",
        }
    }
}

/// A metric, known by its dotted name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Metric<'a>(pub(super) &'a str);

impl Metric<'_> {
    /// Where it stands among the main metrics; `None` if only the full table shows it.
    pub(super) fn rank(self) -> Option<usize> {
        let head = self.0.split('.').next().unwrap_or_default();
        let known = MAIN.iter().position(|(name, _)| *name == self.0);
        known.or_else(|| (!DETAILS.contains(&head)).then_some(MAIN.len()))
    }

    /// Whether it counts what should not happen, so that zero needs no place.
    pub(super) fn is_trouble(self) -> bool {
        ["client_limited", "dropped", "errors"].iter().any(|name| self.0.ends_with(name))
    }

    /// What it is called.
    pub(super) fn label(self) -> String {
        let known = MAIN.iter().find(|(name, _)| *name == self.0);
        known.map_or_else(|| self.0.replace(['_', '.'], " "), |(_, label)| (*label).to_owned())
    }

    /// A value with its unit.
    pub(super) fn value(self, value: f64) -> String {
        match self.unit() {
            _ if !value.is_finite() => NONE.to_owned(),
            Unit::Us => time_us(value),
            Unit::Ms => time_us(value * 1e3),
            Unit::PerSecond => format!("{}/s", number(value)),
            Unit::Mib => format!("{}\u{a0}MiB", number(value)),
            Unit::Kib => format!("{}\u{a0}KiB", number(value)),
            Unit::Bytes => format!("{}\u{a0}B", number(value)),
            Unit::None => number(value),
        }
    }

    /// The ends of an interval; a unit that both share is written once.
    pub(super) fn span(self, interval: Interval) -> String {
        let (lo, hi) = (self.value(interval.lo), self.value(interval.hi));
        let unit = hi.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | ','));
        format!("{}–{hi}", lo.strip_suffix(unit).unwrap_or(&lo))
    }

    /// The ratio of a subject to its base, in words about the subject.
    pub(super) fn words(self, ratio: Interval) -> (Verdict, String) {
        let Interval { median, lo, hi } = ratio;
        if !(lo > 0.0 && median.is_finite() && hi.is_finite()) || (lo <= 1.0 && hi >= 1.0) {
            return (Verdict::NotShown, "no difference shown".to_owned());
        }
        let kind = self.kind();
        let verdict = if (median > 1.0) == (kind == Kind::Rate) { Verdict::Better } else { Verdict::Worse };
        (verdict, kind.phrase(median))
    }

    fn unit(self) -> Unit {
        let has = |unit: &str| self.0.split(['.', '_']).any(|part| part == unit);
        match () {
            () if has("us") => Unit::Us,
            () if has("ms") => Unit::Ms,
            () if has("rps") || self.0.ends_with("_per_s") => Unit::PerSecond,
            () if has("mib") => Unit::Mib,
            () if has("kib") => Unit::Kib,
            () if has("bytes") => Unit::Bytes,
            () => Unit::None,
        }
    }

    fn kind(self) -> Kind {
        match self.unit() {
            _ if self.0 == "ok" => Kind::Rate,
            Unit::PerSecond => Kind::Rate,
            _ if self.0.contains("_per_") => Kind::Cost,
            Unit::Us | Unit::Ms => Kind::Wait,
            Unit::Mib | Unit::Kib | Unit::Bytes | Unit::None => Kind::Cost,
        }
    }
}

impl Kind {
    /// Close to 1 as a difference, far below 1 as a share (or its inverse, where a word for it exists), far above as
    /// a multiple.
    fn phrase(self, ratio: f64) -> String {
        let (longer, shorter, times) = match self {
            Self::Wait => ("longer", "shorter", "times as long"),
            Self::Rate => ("more", "less", "times as many"),
            Self::Cost => ("more", "less", "times as much"),
        };
        let percent = |p: f64| if p < 9.95 { format!("{p:.1}") } else { format!("{p:.0}") };
        match ratio {
            r if r >= 1.5 => format!("{} {times}", multiple(r)),
            r if r > 1.0 => format!("{} % {longer}", percent((r - 1.0) * 100.0)),
            r if r > 2.0 / 3.0 => format!("{} % {shorter}", percent((1.0 - r) * 100.0)),
            r if self == Self::Wait => format!("{} times as fast", multiple(1.0 / r)),
            r => format!("{} % as {}", percent(r * 100.0), if self == Self::Rate { "many" } else { "much" }),
        }
    }
}

/// Two or three digits are all that an interval of a few rounds bears.
fn multiple(ratio: f64) -> String {
    if ratio < 9.95 { format!("{ratio:.1}") } else { number(ratio.round()).trim_end_matches(".0").to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(metric: &str, median: f64) -> (Verdict, String) {
        Metric(metric).words(Interval { median, lo: median * 0.99, hi: median * 1.005 })
    }

    #[test]
    fn ratios_read_as_words() {
        let cases = [
            ("response_us.p99", 20.4, Verdict::Worse, "20 times as long"),
            ("response_us.p50", 0.345, Verdict::Better, "2.9 times as fast"),
            ("response_us.p50", 1.123, Verdict::Worse, "12 % longer"),
            ("achieved_rps", 0.4, Verdict::Worse, "40 % as many"),
            ("achieved_rps", 2.5, Verdict::Better, "2.5 times as many"),
            ("transfers_per_s", 0.4, Verdict::Worse, "40 % as many"),
            ("server.cpu_us_per_request", 2.04, Verdict::Worse, "2.0 times as much"),
            ("server.rss_mib", 0.9, Verdict::Better, "10 % less"),
        ];
        for (metric, ratio, verdict, text) in cases {
            assert_eq!(words(metric, ratio), (verdict, text.to_owned()), "{metric} {ratio}");
        }
    }

    #[test]
    fn an_interval_that_spans_one_shows_nothing() {
        let spanning = Interval { median: 1.3, lo: 0.98, hi: 1.6 };
        assert_eq!(
            Metric("response_us.p99").words(spanning),
            (Verdict::NotShown, "no difference shown".to_owned())
        );
        let no_number = Interval { median: f64::INFINITY, lo: 2.0, hi: f64::INFINITY };
        assert_eq!(Metric("errors").words(no_number).0, Verdict::NotShown);
    }

    #[test]
    fn values_carry_the_unit_of_their_name() {
        let cases = [
            ("response_us.p99", 1_234.0, "1.23\u{a0}ms"),
            ("server.cpu_us_per_request", 6.4, "6.40\u{a0}µs"),
            ("start_ms", 12.0, "12.0\u{a0}ms"),
            ("achieved_rps", 123_456.0, "123,456/s"),
            ("transfers_per_s", 40_000.0, "40,000/s"),
            ("server.rss_mib", 30.0, "30.0\u{a0}MiB"),
            ("server.syscalls_per_request", 0.05, "0.050"),
            ("server.idle_bytes_per_connection", 1_520.4, "1,520\u{a0}B"),
        ];
        for (metric, value, text) in cases {
            assert_eq!(Metric(metric).value(value), text);
        }
    }

    #[test]
    fn the_ends_of_an_interval_share_their_unit_where_they_can() {
        let span = |lo, hi| Metric("response_us.p50").span(Interval { median: lo, lo, hi });
        assert_eq!(span(12.0, 13.0), "12.0–13.0\u{a0}µs");
        assert_eq!(span(900.0, 1_300.0), "900\u{a0}µs–1.30\u{a0}ms");
    }

    #[test]
    fn unknown_metrics_are_shown_and_details_are_not() {
        assert!(Metric("idle_kib_per_connection").rank().is_some());
        assert_eq!(Metric("idle_kib_per_connection").label(), "idle kib per connection");
        assert_eq!(Metric("service_us.p99").rank(), None);
    }
}
