//! Response time by percentile, on the axis that `HdrHistogram`'s plots use: each step to the right is one nine more.

use maud::{Markup, html};

use super::axis::{Axis, Scale, nines};
use super::number::short_time_us;
use super::plot::{Frame, Line, svg};

const FRAME: Frame = Frame { width: 640.0, height: 470.0, left: 62.0, right: 16.0, top: 12.0, bottom: 44.0 };
/// Ticks of the axis, and where lines have markers.
const TICKS: [(f64, &str); 9] = [
    (0.0, "0"),
    (50.0, "50"),
    (90.0, "90"),
    (99.0, "99"),
    (99.9, "99.9"),
    (99.99, "99.99"),
    (99.999, "99.999"),
    (99.999_9, "99.9999"),
    (99.999_99, "99.99999"),
];

/// A series as it comes: percentiles (0 to 100) with times in microseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) look: usize,
    pub(super) percentiles: &'a [(f64, f64)],
}

/// The frame of the plot, for those who put it into a drawing of their own.
pub(super) const fn frame() -> Frame {
    FRAME
}

/// The plot; `None` if no series has a value to show.
pub(super) fn plot(title: &str, sources: &[Source<'_>]) -> Option<Markup> {
    let drawn = body(sources)?;
    let about =
        "Horizontal axis: percentile, one more nine at each step. Vertical axis: time. Lower is better.";
    let body = html! { g data-x={ "nines " (end(sources)) } data-unit="us" { (drawn) } };
    Some(svg(FRAME, "percentiles", title, about, &body))
}

/// Axes and lines alone. Times stand on a logarithmic scale: subjects may be orders of magnitude apart.
pub(super) fn body(sources: &[Source<'_>]) -> Option<Markup> {
    let end = end(sources);
    let ticks: Vec<_> = TICKS
        .iter()
        .filter_map(|(p, label)| Some((nines(*p)?, *label)))
        .filter(|(at, _)| *at <= end + 1e-6)
        .collect();
    let lines: Vec<Line<'_>> =
        sources.iter().map(|source| line(source, end, ticks.iter().map(|(at, _)| at / end))).collect();
    let values = lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
    let axis = Axis::around(Scale::Log, values)?;
    let labelled: Vec<_> = ticks.iter().map(|(at, label)| (at / end, (*label).to_owned())).collect();
    Some(html! {
        (FRAME.grid(&labelled, "percentile of requests"))
        (FRAME.lines(axis, &lines, short_time_us))
    })
}

fn line<'a>(source: &Source<'a>, end: f64, marks: impl Iterator<Item = f64>) -> Line<'a> {
    let points = source.percentiles.iter().filter_map(|(p, us)| Some((nines(*p)? / end, *us)));
    let points: Vec<_> = points.filter(|(share, us)| *share <= 1.0 && us.is_finite()).collect();
    Line {
        name: source.name,
        look: source.look,
        points,
        marked: marks.filter(|share| *share > 0.0).collect(),
    }
}

/// How many nines the axis shows: as many as there are, rounded up to a half, and at least two.
fn end(sources: &[Source<'_>]) -> f64 {
    let all = sources.iter().flat_map(|s| s.percentiles.iter()).filter_map(|(p, _)| nines(*p));
    let most = all.fold(0.0, f64::max).clamp(2.0, 7.0);
    ((most - 1e-6) * 2.0).ceil() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_ends_at_the_last_percentile_that_samples_bear() {
        let up_to = |p: f64| {
            end(&[Source { name: "a", look: 0, percentiles: &[(50.0, 1.0), (p, 2.0), (100.0, 9.0)] }])
        };
        assert_eq!((up_to(90.0), up_to(99.9), up_to(99.95)), (2.0, 3.0, 3.5));
    }

    #[test]
    fn the_maximum_has_no_place_and_nothing_is_no_plot() {
        let drawn = |percentiles| plot("t", &[Source { name: "a", look: 0, percentiles }]);
        assert!(drawn(&[]).is_none());
        assert!(drawn(&[(100.0, 5.0)]).is_none());
        assert!(drawn(&[(0.0, 5.0), (99.0, 7.0)]).is_some());
    }
}
