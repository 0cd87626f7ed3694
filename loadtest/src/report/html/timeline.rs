//! A run over time: rate, median and 99th percentile, one small plot each.

use maud::{Markup, html};

use super::axis::{Axis, Scale};
use super::number::{short, short_time_us};
use super::plot::{Frame, Line, Tick, svg};
use crate::comparison::Moment;

const FRAME: Frame = Frame { width: 420.0, height: 208.0, left: 62.0, right: 14.0, top: 10.0, bottom: 24.0 };

/// A series as it comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) name: &'a str,
    pub(super) look: usize,
    pub(super) timeline: &'a [Moment],
}

/// Which figure of a [`Moment`] is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figure {
    Rate,
    P50,
    P99,
}

impl Figure {
    pub(super) const ALL: [Self; 3] = [Self::Rate, Self::P50, Self::P99];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Rate => "Successes a second, over time",
            Self::P50 => "Median response time, over time",
            Self::P99 => "99th percentile of response time, over time",
        }
    }

    const fn of(self, moment: &Moment) -> f64 {
        match self {
            Self::Rate => moment.ok_per_s,
            Self::P50 => moment.p50_us,
            Self::P99 => moment.p99_us,
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::P50 | Self::P99 => "us",
        }
    }

    /// A rate is read from 0, times by their ratio.
    const fn scale(self) -> Scale {
        match self {
            Self::Rate => Scale::Linear,
            Self::P50 | Self::P99 => Scale::Log,
        }
    }
}

/// The plot of one figure; `None` if no series has two moments to join.
pub(super) fn plot(figure: Figure, sources: &[Source<'_>]) -> Option<Markup> {
    let drawn: Vec<_> = sources.iter().filter(|source| source.timeline.len() > 1).collect();
    let end = drawn.iter().flat_map(|s| s.timeline.iter()).map(|m| m.at_s).fold(0.0, f64::max);
    let lines: Vec<Line<'_>> = drawn.iter().map(|source| line(figure, source, end)).collect();
    let values = lines.iter().flat_map(|line| line.points.iter().map(|(_, value)| *value));
    let axis = Axis::around(figure.scale(), values)?;
    let label = |value: f64| if figure == Figure::Rate { short(value) } else { short_time_us(value) };
    (end > 0.0).then(|| {
        let body = html! {
            g data-x={ "seconds " (end) } data-unit=(figure.unit()) {
                (FRAME.grid(&seconds(end), ""))
                (FRAME.lines(axis, &lines, label))
            }
        };
        svg(FRAME, "timeline", figure.title(), "Horizontal axis: seconds since the run began.", &body)
    })
}

fn line<'a>(figure: Figure, source: &Source<'a>, end: f64) -> Line<'a> {
    let points = source.timeline.iter().map(|moment| (moment.at_s / end, figure.of(moment))).collect();
    Line { name: source.name, look: source.look, points, marked: Vec::new() }
}

fn seconds(end: f64) -> Vec<Tick> {
    let axis = Axis { scale: Scale::Linear, lo: 0.0, hi: end };
    axis.ticks().into_iter().map(|at| (axis.share(at), format!("{}\u{a0}s", short(at)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(at_s: f64) -> Moment {
        Moment { at_s, ok_per_s: 1_000.0, p50_us: 50.0, p99_us: 900.0 }
    }

    #[test]
    fn one_moment_is_no_line() {
        let timeline = [moment(0.0), moment(1.0)];
        let drawn = |timeline| plot(Figure::P99, &[Source { name: "a", look: 0, timeline }]).is_some();
        assert!(drawn(&timeline));
        assert!(!drawn(&timeline[..1]));
        assert!(!drawn(&[]));
    }
}
