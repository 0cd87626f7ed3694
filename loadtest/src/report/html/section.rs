//! The page of comparisons: what they have in common, then a section for each. Knows how its parts are ordered.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::metric::Metric;
use super::number::short;
use super::palette::{self, Palette};
use super::{intervals, overview, percentiles, table, timeline};
use crate::comparison::Comparison;

/// What is drawn over time: the median hardly moves without the rate.
const TIMELINES: [timeline::Figure; 2] = [timeline::Figure::Rate, timeline::Figure::P99];

/// The whole page.
pub(super) fn all(comparisons: &[Comparison]) -> Markup {
    let palette = Palette::of(comparisons);
    let common = common_environment(comparisons);
    html! {
        (keys(palette.subjects().map(|(look, _)| look)))
        header {
            h1 { (heading(comparisons)) }
            p.lead { "Medians over rounds with 95 % block-bootstrap intervals. Response time counts from the moment a request was due, so waiting behind a slow one is part of it." }
            @if comparisons.len() > 1 { (overview::table(comparisons, &palette)) }
            (subjects(comparisons, &palette))
            (environment("Environment", &common))
        }
        @for comparison in comparisons { (section(comparison, &palette, &common)) }
    }
}

/// Keys and values as a list that can be folded away; nothing if empty.
pub(super) fn environment(title: &str, entries: &BTreeMap<&str, &str>) -> Markup {
    html! {
        @if !entries.is_empty() {
            details.box {
                summary { (title) }
                dl { @for (key, value) in entries { dt { (key) } dd { (value) } } }
            }
        }
    }
}

/// What a reader must know first.
pub(super) fn warnings(warnings: &[String]) -> Markup {
    html! {
        @if !warnings.is_empty() {
            div.warnings role="note" {
                strong { "Before you believe the figures" }
                ul { @for warning in warnings { li { (warning) } } }
            }
        }
    }
}

/// The command that repeats a measurement.
pub(super) fn command(command: &str) -> Markup {
    html! { div.command { span { "Repeat it" } pre { code { (command) } } } }
}

/// A drawing with its caption.
pub(super) fn figure(caption: &str, drawing: &Markup) -> Markup {
    html! { figure { figcaption { (caption) } (drawing) } }
}

/// A line and a marker as the plots draw them; needs [`keys`] once in the page.
pub(super) fn key(look: usize) -> Markup {
    html! { svg.plot.key aria-hidden="true" { use href={ "#k" (look) } {} } }
}

/// What [`key`] refers to.
pub(super) fn keys(looks: impl Iterator<Item = usize>) -> Markup {
    html! {
        svg.keys {
            @for look in looks {
                symbol id={ "k" (look) } viewBox="0 0 30 12" {
                    g class={ "s" (look) } { path.line d="M1 6H29" {} path.mark d=(palette::marker(look, 15.0, 6.0)) {} }
                }
            }
        }
    }
}

fn heading(comparisons: &[Comparison]) -> String {
    match comparisons {
        [one] => format!("Load test: {}", one.scenario),
        several => format!("Load tests: {} scenarios", several.len()),
    }
}

fn section(comparison: &Comparison, palette: &Palette<'_>, common: &BTreeMap<&str, &str>) -> Markup {
    let own: BTreeMap<&str, &str> =
        entries(comparison).filter(|(key, _)| !common.contains_key(key)).collect();
    let title = format!("scenario-{}", comparison.scenario);
    html! {
        section id=(title) {
            h2 { (comparison.scenario) }
            p { (comparison.about) }
            p.facts {
                (comparison.rounds) " rounds"
                @if comparison.duration_s > 0.0 { " of " (short(comparison.duration_s)) "\u{a0}s" }
                " for each subject, interleaved"
            }
            (warnings(&comparison.warnings))
            (table::main(comparison, palette))
            (plots(comparison, palette))
            (table::full(comparison, palette))
            (environment("Environment of this scenario", &own))
            (command(&comparison.command))
        }
    }
}

fn plots(comparison: &Comparison, palette: &Palette<'_>) -> Markup {
    let sources: Vec<_> = palette
        .subjects()
        .filter_map(|(look, name)| Some((look, name, comparison.plots.get(name)?)))
        .collect();
    let by_percentile: Vec<_> = sources
        .iter()
        .map(|(look, name, plot)| percentiles::Source { name, look: *look, percentiles: &plot.percentiles })
        .collect();
    let over_time: Vec<_> = sources
        .iter()
        .map(|(look, name, plot)| timeline::Source { name, look: *look, timeline: &plot.timeline })
        .collect();
    let percentile_plot = percentiles::plot("Response time by percentile", &by_percentile);
    let timelines: Vec<_> = TIMELINES
        .iter()
        .filter_map(|figure| Some((figure.title(), timeline::plot(*figure, &over_time)?)))
        .collect();
    html! {
        @if percentile_plot.is_some() || !timelines.is_empty() { (switches(comparison, palette)) }
        div.plots {
            @if let Some(drawing) = percentile_plot { (figure("Response time by percentile, all rounds together", &drawing)) }
            @if !timelines.is_empty() {
                div.stack { @for (title, drawing) in &timelines { (figure(&format!("{title} (one round)"), drawing)) } }
            }
        }
        (bars(comparison, palette))
    }
}

/// Legend and switches in one: a box for each subject.
fn switches(comparison: &Comparison, palette: &Palette<'_>) -> Markup {
    html! {
        div.legend {
            @for (look, name) in palette.subjects().filter(|(_, name)| comparison.plots.contains_key(*name)) {
                label { input class={ "t" (look) } type="checkbox" checked; (key(look)) (name) }
            }
        }
    }
}

fn bars(comparison: &Comparison, palette: &Palette<'_>) -> Markup {
    let drawings = overview::drawn(comparison).into_iter().filter_map(|metric| {
        let rows = intervals::rows(comparison, palette, metric.0);
        intervals::plot(metric, &rows).map(|drawing| (metric, drawing))
    });
    let drawings: Vec<(Metric<'_>, Markup)> = drawings.collect();
    html! { div.metrics { @for (metric, drawing) in &drawings { (figure(&metric.label(), drawing)) } } }
}

fn subjects(comparisons: &[Comparison], palette: &Palette<'_>) -> Markup {
    let about = |name: &str| comparisons.iter().find_map(|c| c.abouts.get(name));
    html! {
        details.box open {
            summary { "Subjects" }
            dl.subjects {
                @for (look, name) in palette.subjects() {
                    dt { (key(look)) (name) }
                    dd { @if let Some(about) = about(name) { (about) } }
                }
            }
        }
    }
}

fn entries(comparison: &Comparison) -> impl Iterator<Item = (&str, &str)> {
    comparison.environment.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// What is the same in all of them.
fn common_environment(comparisons: &[Comparison]) -> BTreeMap<&str, &str> {
    let same = |key: &str, value: &str| {
        comparisons.iter().all(|c| c.environment.get(key).is_some_and(|v| v == value))
    };
    comparisons.first().into_iter().flat_map(entries).filter(|(key, value)| same(key, value)).collect()
}
