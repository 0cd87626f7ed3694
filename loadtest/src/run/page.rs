//! What the HTML page of a run shows: the report, the curves that it has no room for, and the host.

use std::collections::BTreeMap;
use std::env;

use hdrhistogram::Histogram;

use crate::environment::{Cost, of_host};
use crate::report::html::RunPage;
use crate::report::{RunReport, curve, micros};
use crate::scenario::Cores;
use crate::seen::Seen;

/// Where a run takes place, from before it begins.
#[derive(Debug)]
pub(super) struct Host {
    told: BTreeMap<String, String>,
    cost: Cost,
}

impl Host {
    /// Before the run, whose client has these cores.
    pub(super) fn begin(client_cores: &[usize]) -> Self {
        let mut told = of_host(&Cores { server: Vec::new(), client: client_cores.to_vec() });
        // Where the server runs is not known here.
        told.remove("affinity");
        let shown = if client_cores.is_empty() { "any".to_owned() } else { format!("{client_cores:?}") };
        told.insert("cores of the client".to_owned(), shown);
        Self { told, cost: Cost::begin() }
    }
}

/// The page of what was `seen` on `host`.
pub(super) fn of(report: &RunReport, seen: &Seen, host: Host) -> RunPage {
    let Host { told: mut environment, cost } = host;
    let mut warnings: Vec<_> =
        report.client_limited_because.iter().map(|why| format!("CLIENT-LIMITED: {why}")).collect();
    warnings.extend(report.late_note());
    warnings.extend(cost.end(&mut environment));
    RunPage {
        title: format!("{}: {}", report.subject, report.scenario),
        command: env::args().map(|word| shell_word(&without_secret(&word))).collect::<Vec<_>>().join(" "),
        environment,
        offered_rps: report.offered_rps,
        achieved_rps: report.achieved_rps,
        counts: counts(report),
        response_us: with_max(&seen.response_ns),
        service_us: with_max(&seen.service_ns),
        timeline: curve::timeline(seen),
        warnings,
    }
}

fn counts(report: &RunReport) -> Vec<(String, u64)> {
    let errors = report.errors_by_cause;
    let all = [
        ("Successes", report.ok),
        ("Other status", errors.status),
        ("Timeouts", errors.timeout),
        ("Resets", errors.reset),
        ("Malformed replies", errors.malformed),
        ("No connection", errors.connect),
        ("Dropped", report.dropped),
    ];
    all.map(|(name, count)| (name.to_owned(), count)).into()
}

/// The curve, with the longest time at its end.
fn with_max(times_ns: &Histogram<u64>) -> Vec<(f64, f64)> {
    let max = (!times_ns.is_empty()).then(|| (100.0, micros(times_ns.max())));
    curve::percentiles(times_ns).into_iter().chain(max).collect()
}

/// A page is passed on, so it keeps no secrets: a header that carries one is shown without its value.
fn without_secret(word: &str) -> String {
    let name = word.strip_prefix("--header=").unwrap_or(word).split(':').next().unwrap_or_default().trim();
    let is_secret = ["authorization", "cookie"].iter().any(|secret| name.eq_ignore_ascii_case(secret));
    match word.split_once(':') {
        Some((before, _)) if is_secret => format!("{before}: ..."),
        Some(_) | None => word.to_owned(),
    }
}

/// A word as a shell takes it back.
fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+%@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_ends_where_samples_do_and_with_the_maximum() {
        let mut times = Histogram::<u64>::new(3).unwrap();
        (1..=1_000).for_each(|n| times.record(n * 1_000).unwrap());
        let percentiles: Vec<_> = with_max(&times).into_iter().map(|(percentile, _)| percentile).collect();
        assert_eq!(percentiles[percentiles.len() - 2..], [99.0, 100.0]);
        assert_eq!(with_max(&Histogram::new(3).unwrap()), []);
    }

    #[test]
    fn a_page_keeps_no_secret() {
        assert_eq!(without_secret("authorization: Bearer a.b"), "authorization: ...");
        assert_eq!(without_secret("--header=Cookie:a=b"), "--header=Cookie: ...");
        assert_eq!(without_secret("X-Trace: a:b"), "X-Trace: a:b");
    }

    #[test]
    fn words_are_quoted_when_a_shell_would_take_them_apart() {
        assert_eq!(shell_word("--rate=20"), "--rate=20");
        assert_eq!(shell_word("it's {unique}"), r"'it'\''s {unique}'");
        assert_eq!(shell_word(""), "''");
    }
}
