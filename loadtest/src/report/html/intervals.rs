//! One metric of several subjects as bars from 0, each with its interval and its value written beside it.

use maud::{Markup, html};

use super::metric::Metric;
use super::palette::Palette;
use super::plot::{Frame, coordinate, svg};
use crate::comparison::{Comparison, Interval};

const WIDTH: f64 = 420.0;
const ROW: f64 = 24.0;
/// Room for a subject's name.
const NAMES: f64 = 122.0;
/// Room for a value with its unit.
const VALUES: f64 = 82.0;

/// A row of the plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) name: &'a str,
    pub(super) look: usize,
    pub(super) interval: Interval,
}

/// A row for each subject that has the metric.
pub(super) fn rows<'a>(comparison: &Comparison, palette: &Palette<'a>, metric: &str) -> Vec<Row<'a>> {
    let value = |name: &str| comparison.subjects.get(name)?.get(metric).copied();
    palette.subjects().filter_map(|(look, name)| Some(Row { name, look, interval: value(name)? })).collect()
}

/// The frame for so many rows.
pub(super) fn frame(rows: usize) -> Frame {
    let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
    Frame { width: WIDTH, height: rows.mul_add(ROW, 8.0), left: NAMES, right: VALUES, top: 4.0, bottom: 4.0 }
}

/// The plot; `None` without rows.
pub(super) fn plot(metric: Metric<'_>, rows: &[Row<'_>]) -> Option<Markup> {
    let about = "Bars begin at 0 and end at the median; the thin line is the 95 % interval.";
    (!rows.is_empty())
        .then(|| svg(frame(rows.len()), "intervals", &metric.label(), about, &body(metric, rows)))
}

/// Bars and labels alone.
pub(super) fn body(metric: Metric<'_>, rows: &[Row<'_>]) -> Markup {
    let frame = frame(rows.len());
    let ends = rows.iter().flat_map(|row| [row.interval.median, row.interval.hi]).filter(|v| v.is_finite());
    let most = ends.fold(f64::MIN_POSITIVE, f64::max);
    html! {
        g.bars {
            @for (i, row) in (0_u32..).zip(rows) {
                (bar(metric, row, most, frame, f64::from(i).mul_add(ROW, frame.top)))
            }
        }
        path.zero d={ "M" (NAMES) " " (coordinate(frame.top)) "V" (coordinate(frame.height - frame.bottom)) } {}
    }
}

fn bar(metric: Metric<'_>, row: &Row<'_>, most: f64, frame: Frame, top: f64) -> Markup {
    let x = |value: f64| frame.x(if value.is_finite() { (value / most).clamp(0.0, 1.0) } else { 0.0 });
    let Interval { median, lo, hi } = row.interval;
    let middle = top + ROW / 2.0;
    html! {
        g class={ "s" (row.look) } {
            path.bar d={ "M" (NAMES) " " (coordinate(top + 4.0)) "H" (coordinate(x(median))) "v" (coordinate(ROW - 8.0)) "H" (NAMES) "z" } {}
            path d={
                "M" (coordinate(x(lo))) " " (coordinate(middle)) "H" (coordinate(x(hi)))
                "M" (coordinate(x(lo))) " " (coordinate(middle - 4.0)) "v8M" (coordinate(x(hi))) " " (coordinate(middle - 4.0)) "v8"
            } {}
            text.end x=(coordinate(NAMES - 8.0)) y=(coordinate(middle + 4.0)) { (row.name) }
            text x=(coordinate(frame.x(1.0) + 8.0)) y=(coordinate(middle + 4.0)) { (metric.value(median)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_interval_ends_at_the_edge_and_values_are_written() {
        let row = |name, median, hi| Row { name, look: 0, interval: Interval { median, lo: median, hi } };
        let drawn = plot(Metric("response_us.p99"), &[row("a", 100.0, 200.0), row("b", 50.0, 50.0)])
            .unwrap()
            .into_string();
        assert!(drawn.contains("H338"), "{drawn}");
        assert!(drawn.contains("H230v16H122z") && drawn.contains("H176v16H122z"), "{drawn}");
        assert!(drawn.contains("50.0\u{a0}µs"), "{drawn}");
        assert!(plot(Metric("ok"), &[]).is_none());
    }
}
