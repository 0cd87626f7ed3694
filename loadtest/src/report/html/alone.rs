//! Plots as files of their own. Each stands on a card of its own colour, so that it is readable on any background.

use maud::{Markup, PreEscaped, html};

use super::metric::Metric;
use super::palette::{self, Palette};
use super::plot::{Frame, coordinate};
use super::{PLOT_CSS, intervals, percentiles};
use crate::comparison::Comparison;

/// Around what is drawn.
const MARGIN: f64 = 16.0;
/// For the heading.
const HEAD: f64 = 26.0;
/// A row of the legend, and the width that one of its entries has.
const LEGEND_ROW: f64 = 20.0;
const LEGEND_ENTRY: f64 = 150.0;

/// Response time by percentile, with a legend.
pub(super) fn percentiles(comparison: &Comparison) -> Option<Markup> {
    let palette = Palette::of(std::slice::from_ref(comparison));
    let sources: Vec<_> = palette
        .subjects()
        .filter_map(|(look, name)| {
            Some(percentiles::Source { name, look, percentiles: &comparison.plots.get(name)?.percentiles })
        })
        .collect();
    let drawn = percentiles::body(&sources)?;
    let names: Vec<_> = sources.iter().map(|source| (source.look, source.name)).collect();
    let (legend, height) = legend(&names, percentiles::frame().width);
    let title = format!("{}: response time by percentile", comparison.scenario);
    Some(file(
        &title,
        percentiles::frame(),
        height,
        &html! { (legend) g transform={ "translate(0 " (height) ")" } { (drawn) } },
    ))
}

/// A metric with its intervals.
pub(super) fn intervals(comparison: &Comparison, metric: &str) -> Option<Markup> {
    let palette = Palette::of(std::slice::from_ref(comparison));
    let rows = intervals::rows(comparison, &palette, metric);
    let title = format!("{}: {}", comparison.scenario, Metric(metric).label());
    (!rows.is_empty())
        .then(|| file(&title, intervals::frame(rows.len()), 0.0, &intervals::body(Metric(metric), &rows)))
}

fn file(title: &str, frame: Frame, legend: f64, body: &Markup) -> Markup {
    let (width, height) = (frame.width + 2.0 * MARGIN, frame.height + legend + HEAD + 2.0 * MARGIN);
    html! {
        svg.plot xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" {
            title { (title) }
            desc { "Medians with 95 % intervals where bars are shown; lower is better for times and costs." }
            style { (PreEscaped(PLOT_CSS)) (PreEscaped(palette::css())) }
            rect.card x="0.5" y="0.5" width=(width - 1.0) height=(height - 1.0) rx="8" {}
            text.heading x=(MARGIN) y=(MARGIN + 12.0) { (title) }
            g transform={ "translate(" (MARGIN) " " (MARGIN + HEAD) ")" } { (body) }
        }
    }
}

/// Entries in rows, and the height that they take.
fn legend(names: &[(usize, &str)], width: f64) -> (Markup, f64) {
    let columns = std::iter::successors(Some(1_u32), |n| Some(n + 1))
        .take_while(|n| f64::from(*n) * LEGEND_ENTRY <= width)
        .count()
        .max(1);
    let place = |i: usize| {
        let number = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
        (number(i % columns) * LEGEND_ENTRY, number(i / columns).mul_add(LEGEND_ROW, LEGEND_ROW / 2.0))
    };
    let height = place(names.len().saturating_sub(1)).1 + LEGEND_ROW;
    let entries = html! {
        @for (i, (look, name)) in names.iter().enumerate() {
            @let (x, y) = place(i);
            g class={ "s" (look) } {
                path.line d={ "M" (coordinate(x)) " " (coordinate(y)) "h28" } {}
                path.mark d=(palette::marker(*look, x + 14.0, y)) {}
                text.name x=(coordinate(x + 34.0)) y=(coordinate(y + 4.0)) { (name) }
            }
        }
    };
    (entries, height)
}
