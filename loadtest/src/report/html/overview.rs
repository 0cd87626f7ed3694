//! All scenarios on one screen: the figure that each is about, and how each subject compares in it.

use maud::{Markup, html};

use super::metric::Metric;
use super::number::NONE;
use super::palette::Palette;
use super::table::{main_metrics, ratio};
use crate::comparison::Comparison;

/// The figure that a scenario is about, where it is not the first of its main metrics.
const HEADLINES: [(&str, &str); 7] = [
    ("ping1", "response_us.p50"),
    ("mixed", "response_us.p99"),
    ("rate", "response_us.p99"),
    ("pipelined", "achieved_rps"),
    ("plaintext", "server.cpu_us_per_request"),
    ("json", "server.cpu_us_per_request"),
    ("start", "start_ms"),
];

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

fn headline(comparison: &Comparison) -> Option<Metric<'_>> {
    let main = main_metrics(comparison);
    let named = HEADLINES.iter().find(|(scenario, _)| *scenario == comparison.scenario);
    named.and_then(|(_, metric)| main.iter().find(|m| m.0 == *metric)).or(main.first()).copied()
}
