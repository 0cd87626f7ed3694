//! Tables of a comparison: the main metrics with ratios in words, and all metrics with ratios in figures.

use std::collections::BTreeSet;

use maud::{Markup, html};

use super::metric::Metric;
use super::number::NONE;
use super::palette::Palette;
use super::section::key;
use crate::comparison::{Comparison, Interval};

/// The metrics of the first table, in order.
pub(super) fn main_metrics(comparison: &Comparison) -> Vec<Metric<'_>> {
    let mut main: Vec<_> = metrics(comparison).filter_map(|metric| Some((metric.rank()?, metric))).collect();
    main.sort_by_key(|(rank, metric)| (*rank, metric.0));
    main.into_iter().map(|(_, metric)| metric).collect()
}

/// The ratio of a subject to the base, with the base's name.
pub(super) fn ratio<'a>(
    comparison: &'a Comparison,
    subject: &str,
    metric: Metric<'_>,
) -> Option<(&'a str, Interval)> {
    let to_base =
        |name: &'a str| name.rsplit_once('/').filter(|(of, _)| *of == subject).map(|(_, base)| base);
    comparison.ratios.iter().find_map(|(name, ratios)| Some((to_base(name)?, *ratios.get(metric.0)?)))
}

/// Subjects down, main metrics across.
pub(super) fn main(comparison: &Comparison, palette: &Palette<'_>) -> Markup {
    let metrics = main_metrics(comparison);
    let caption = format!(
        "Main metrics of {}: median, 95 % interval, compared with {}",
        comparison.scenario,
        bases(comparison)
    );
    html! {
        div.scroll tabindex="0" role="region" aria-label=(caption) {
            table.main {
                caption { (caption) }
                thead { tr { th scope="col" { "Subject" } @for metric in &metrics { th scope="col" { (metric.label()) } } } }
                tbody {
                    @for (look, name) in palette.subjects().filter(|(_, name)| comparison.subjects.contains_key(*name)) {
                        tr {
                            th scope="row" { (key(look)) (name) }
                            @for metric in &metrics { (main_cell(comparison, name, *metric)) }
                        }
                    }
                }
            }
        }
    }
}

fn main_cell(comparison: &Comparison, subject: &str, metric: Metric<'_>) -> Markup {
    let Some(value) = value(comparison, subject, metric) else { return html! { td { (NONE) } } };
    html! {
        td {
            (metric.value(value.median))
            small { (metric.span(value)) }
            @if let Some((_, ratio)) = ratio(comparison, subject, metric) {
                @let (verdict, words) = metric.words(ratio);
                span class=(verdict.class()) { (words) }
            }
        }
    }
}

/// Metrics down, subjects across, folded away: ratios in figures, and what the main table lacks.
pub(super) fn full(comparison: &Comparison, palette: &Palette<'_>) -> Markup {
    let names: Vec<_> = palette
        .subjects()
        .map(|(_, name)| name)
        .filter(|name| comparison.subjects.contains_key(*name))
        .collect();
    html! {
        details.box {
            summary { "Ratios in figures, and further metrics" }
            div.scroll tabindex="0" role="region" aria-label={ "All metrics of " (comparison.scenario) } {
                table.full {
                    thead { tr { th scope="col" { "Metric" } @for name in &names { th scope="col" { (name) } } } }
                    tbody {
                        @for metric in metrics(comparison).filter(|metric| !metric.is_trouble() || happened(comparison, *metric)) {
                            tr { th scope="row" { code { (metric.0) } } @for name in &names { (full_cell(comparison, name, metric)) } }
                        }
                    }
                }
            }
        }
    }
}

/// Whether any subject has seen it.
fn happened(comparison: &Comparison, metric: Metric<'_>) -> bool {
    let seen = |name: &String| value(comparison, name, metric).is_some_and(|value| value.hi > 0.0);
    comparison.subjects.keys().any(seen)
}

/// The ratio of a main metric, whose value the main table has; the value of any other.
fn full_cell(comparison: &Comparison, subject: &str, metric: Metric<'_>) -> Markup {
    let told = if metric.rank().is_some() {
        ratio(comparison, subject, metric).map(|(_, ratio)| times(ratio))
    } else {
        value(comparison, subject, metric)
            .map(|value| format!("{} ({})", metric.value(value.median), metric.span(value)))
    };
    html! { td { (told.as_deref().unwrap_or(NONE)) } }
}

fn metrics(comparison: &Comparison) -> impl Iterator<Item = Metric<'_>> {
    let names: BTreeSet<&str> =
        comparison.subjects.values().flat_map(|metrics| metrics.keys()).map(String::as_str).collect();
    names.into_iter().map(Metric)
}

fn value(comparison: &Comparison, subject: &str, metric: Metric<'_>) -> Option<Interval> {
    comparison.subjects.get(subject)?.get(metric.0).copied()
}

fn times(ratio: Interval) -> String {
    format!("×{:.2} ({:.2}–{:.2})", ratio.median, ratio.lo, ratio.hi)
}

/// What the ratios are taken to.
fn bases(comparison: &Comparison) -> String {
    let bases: BTreeSet<&str> =
        comparison.ratios.keys().filter_map(|name| Some(name.rsplit_once('/')?.1)).collect();
    if bases.is_empty() { "nothing".to_owned() } else { bases.into_iter().collect::<Vec<_>>().join(", ") }
}
