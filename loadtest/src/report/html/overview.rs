//! All scenarios on one screen: the figure that each is about, and how each subject compares in it.

use maud::{Markup, html};

use super::metric::Metric;
use super::number::NONE;
use super::palette::Palette;
use super::table::{main_metrics, ratio};
use crate::comparison::Comparison;

/// What each scenario is about: the metrics that are drawn of it, the headline first.
const ABOUT: [(&str, [&str; 3]); 14] = [
    ("ping1", ["response_us.p50", "response_us.p99", "server.cpu_us_per_request"]),
    ("plaintext", ["server.cpu_us_per_request", "server.syscalls_per_request", "achieved_rps"]),
    ("pipelined", ["achieved_rps", "server.cpu_us_per_request", "server.syscalls_per_request"]),
    ("json", ["server.cpu_us_per_request", "server.syscalls_per_request", "achieved_rps"]),
    ("rate", ["response_us.p99", "response_us.p50", "server.cpu_us_per_request"]),
    ("mixed", ["response_us.p99", "response_us.p50", "heavy_rps"]),
    ("read", ["achieved_rps", "response_us.p99", "server.cpu_us_per_request"]),
    ("transfer", ["achieved_rps", "response_us.p99", "server.cpu_us_per_request"]),
    ("transfer-64", ["achieved_rps", "response_us.p99", "server.cpu_us_per_request"]),
    ("transfer-rate", ["response_us.p99", "response_us.p50", "server.cpu_us_per_request"]),
    ("hot", ["achieved_rps", "response_us.p99", "server.cpu_us_per_request"]),
    ("batch", ["transfers_per_s", "response_us.p50", "server.cpu_us_per_request"]),
    ("idle", ["server.idle_bytes_per_connection", "wake_us.p50", "awake_us.p50"]),
    ("start", ["start_ms", "restart_ms", "server.rss_mib"]),
];

/// The metrics that are drawn as bars, the headline first: those that the scenario is about, or else its first ones.
pub(super) fn drawn(comparison: &Comparison) -> Vec<Metric<'_>> {
    let main = main_metrics(comparison);
    let named = ABOUT.iter().find(|(scenario, _)| *scenario == comparison.scenario);
    let (_, about) = named.copied().unwrap_or_default();
    let known: Vec<_> =
        about.iter().filter_map(|name| main.iter().find(|metric| metric.0 == *name)).copied().collect();
    if known.is_empty() { main.into_iter().take(about.len()).collect() } else { known }
}

/// What the scenario is about; `None` without any metric.
pub(super) fn headline(comparison: &Comparison) -> Option<Metric<'_>> {
    drawn(comparison).first().copied()
}

/// Scenarios down, subjects across.
pub(super) fn table(comparisons: &[Comparison], palette: &Palette<'_>) -> Markup {
    let subjects: Vec<_> = palette.subjects().map(|(_, name)| name).collect();
    html! {
        div.scroll tabindex="0" role="region" aria-label="All scenarios" {
            table {
                caption { "All scenarios by the figure that each is about" }
                thead { tr { th scope="col" { "Scenario" } @for name in &subjects { th scope="col" { (name) } } } }
                tbody { @for comparison in comparisons { (row(comparison, &subjects)) } }
            }
        }
    }
}

fn row(comparison: &Comparison, subjects: &[&str]) -> Markup {
    let metric = headline(comparison);
    html! {
        tr {
            th scope="row" {
                a href={ "#scenario-" (comparison.scenario) } { (comparison.scenario) }
                @if let Some(metric) = metric { small { (metric.label()) } }
                @if !comparison.warnings.is_empty() { small.worse { (comparison.warnings.len()) " warning" @if comparison.warnings.len() > 1 { "s" } } }
            }
            @for name in subjects { (cell(comparison, name, metric)) }
        }
    }
}

fn cell(comparison: &Comparison, subject: &str, metric: Option<Metric<'_>>) -> Markup {
    let value = metric.and_then(|metric| Some((metric, comparison.subjects.get(subject)?.get(metric.0)?)));
    html! {
        td {
            @if let Some((metric, value)) = value {
                b { (metric.value(value.median)) }
                @if let Some((_, ratio)) = ratio(comparison, subject, metric) {
                    @let (verdict, words) = metric.words(ratio);
                    span class=(verdict.class()) { (words) }
                }
            } @else { (NONE) }
        }
    }
}
