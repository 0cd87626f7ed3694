//! What all plots share: the frame with its axes, and lines reduced to what the eye can see. Knows no metric.

use maud::{Markup, PreEscaped, html};

use super::axis::{Axis, Scale};
use super::palette;

/// A line may leave the true one by this much, in units of the view box: less than the width of the stroke.
const TOLERANCE: f64 = 0.4;

/// Where a plot's data stand within its view box, in the view box's units (about a CSS pixel each).
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
}

/// Values of one series.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    pub(super) name: &'a str,
    pub(super) look: usize,
    /// Position along the horizontal axis (0 to 1) and value, ascending in position.
    pub(super) points: Vec<(f64, f64)>,
    /// Where markers stand, as positions along the horizontal axis.
    pub(super) marked: Vec<f64>,
}

/// A tick: position from 0 to 1, and its label.
pub(super) type Tick = (f64, String);

impl Frame {
    pub(super) fn view_box(self) -> String {
        format!("0 0 {} {}", self.width, self.height)
    }

    pub(super) fn x(self, share: f64) -> f64 {
        self.left + share * (self.width - self.left - self.right)
    }

    pub(super) fn y(self, share: f64) -> f64 {
        self.height - self.bottom - share * (self.height - self.top - self.bottom)
    }

    /// The box that data stand in, with vertical grid lines. Scripts read their geometry from it.
    pub(super) fn grid(self, ticks: &[Tick], title: &str) -> Markup {
        let (left, right, top, bottom) = (self.x(0.0), self.x(1.0), self.y(1.0), self.y(0.0));
        html! {
            rect.frame x=(coordinate(left)) y=(coordinate(top)) width=(coordinate(right - left)) height=(coordinate(bottom - top)) {}
            path.grid d={
                @for (share, _) in ticks { "M" (coordinate(self.x(*share))) " " (coordinate(top)) "V" (coordinate(bottom)) }
            } {}
            @for (share, label) in ticks {
                text class=(anchor(*share)) x=(coordinate(self.x(*share))) y=(coordinate(bottom + 16.0)) { (label) }
            }
            @if !title.is_empty() {
                text.mid x=(coordinate(f64::midpoint(left, right))) y=(coordinate(self.height - 6.0)) { (title) }
            }
        }
    }

    /// Series on a vertical axis with its ticks. `label` writes a value as short as a tick needs.
    pub(super) fn lines(self, axis: Axis, lines: &[Line<'_>], label: impl Fn(f64) -> String) -> Markup {
        let (left, right) = (self.x(0.0), self.x(1.0));
        let y = |tick: f64| self.y(axis.share(tick));
        let ticks = axis.ticks();
        html! {
            g class={ "scale " (scale_class(axis.scale)) } data-y={ (scale_class(axis.scale)) " " (axis.lo) " " (axis.hi) } {
                path.grid d={
                    @for tick in &ticks { "M" (coordinate(left)) " " (coordinate(y(*tick))) "H" (coordinate(right)) }
                } {}
                @for tick in &ticks {
                    text.end x=(coordinate(left - 6.0)) y=(coordinate(y(*tick) + 4.0)) { (label(*tick)) }
                }
                @for line in lines { (self.line(axis, line)) }
            }
        }
    }

    fn line(self, axis: Axis, line: &Line<'_>) -> Markup {
        let at = |(share, value): (f64, f64)| (self.x(share), self.y(axis.share(value)));
        let drawn: Vec<(f64, f64)> =
            line.points.iter().copied().filter(|(_, v)| v.is_finite()).map(at).collect();
        let markers: String = line
            .marked
            .iter()
            .filter_map(|share| value_at(&line.points, *share).map(|value| at((*share, value))))
            .map(|(x, y)| palette::marker(line.look, x, y))
            .collect();
        html! {
            g class={ "s" (line.look) } data-name=(line.name) {
                polyline points=(points(&simplified(&drawn))) {}
                @if !markers.is_empty() { path d=(PreEscaped(markers)) {} }
            }
        }
    }
}

/// The text alternative of a drawing (SVG 2, 5.7), and its class.
pub(super) fn svg(frame: Frame, class: &str, title: &str, description: &str, body: &Markup) -> Markup {
    html! {
        svg class={ "plot " (class) } viewBox=(frame.view_box()) role="img" aria-label=(title) {
            desc { (description) }
            (body)
        }
    }
}

/// A coordinate with one decimal at most.
pub(super) fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// The word for a scale in classes and for scripts.
pub(super) const fn scale_class(scale: Scale) -> &'static str {
    match scale {
        Scale::Linear => "linear",
        Scale::Log => "log",
    }
}

/// The class of a label: at the end of an axis it stays within the drawing.
fn anchor(share: f64) -> &'static str {
    if share > 0.99 { "end" } else { "mid" }
}

fn points(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", coordinate(*x), coordinate(*y))).collect::<Vec<_>>().join(" ")
}

/// The value of a line at a position, between its points as the eye would read it; `None` beyond its ends.
fn value_at(points: &[(f64, f64)], at: f64) -> Option<f64> {
    let after = points.iter().position(|(x, _)| *x >= at - 1e-9)?;
    let (x1, y1) = points[after];
    let Some((x0, y0)) = after.checked_sub(1).map(|before| points[before]).filter(|(x0, _)| x1 > *x0) else {
        return (x1 <= at + 1e-9).then_some(y1);
    };
    Some(y0 + (y1 - y0) * ((at - x0) / (x1 - x0)).min(1.0))
}

/// The fewest of the points that keep the line within [`TOLERANCE`] of all of them (Ramer, Douglas and Peucker).
fn simplified(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut kept = vec![false; points.len()];
    let mut spans = vec![(0, points.len().saturating_sub(1))];
    while let Some((first, last)) = spans.pop() {
        let (Some(from), Some(to)) = (points.get(first), points.get(last)) else { continue };
        (kept[first], kept[last]) = (true, true);
        let farthest = (first + 1..last)
            .map(|i| (i, distance(points[i], *from, *to)))
            .max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((middle, _)) = farthest.filter(|(_, off)| *off > TOLERANCE) {
            spans.extend([(first, middle), (middle, last)]);
        }
    }
    points.iter().zip(kept).filter_map(|(point, kept)| kept.then_some(*point)).collect()
}

/// From a point to the stretch between two others.
fn distance((x, y): (f64, f64), (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> f64 {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let length = dx.mul_add(dx, dy * dy);
    let along =
        if length > 0.0 { ((x - x0).mul_add(dx, (y - y0) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (x - along.mul_add(dx, x0)).hypot(y - along.mul_add(dy, y0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_straight_line_keeps_its_ends() {
        let line: Vec<_> = (0..100).map(|i| (f64::from(i), f64::from(i) * 2.0)).collect();
        assert_eq!(simplified(&line), [(0.0, 0.0), (99.0, 198.0)]);
        assert_eq!(simplified(&[]), []);
        assert_eq!(simplified(&[(1.0, 2.0)]), [(1.0, 2.0)]);
    }

    #[test]
    fn values_are_read_between_points_and_not_beyond() {
        let line = [(0.2, 10.0), (0.4, 20.0)];
        assert_eq!(value_at(&line, 0.3).map(f64::round), Some(15.0));
        assert_eq!(value_at(&line, 0.2), Some(10.0));
        assert_eq!((value_at(&line, 0.1), value_at(&line, 0.5)), (None, None));
    }

    proptest! {
        #[test]
        fn a_simplified_line_stays_near_the_true_one(ys in prop::collection::vec(0.0..300.0_f64, 2..200)) {
            let line: Vec<_> = (0_u32..).map(f64::from).zip(ys).collect();
            let fewer = simplified(&line);
            for point in &line {
                let off = fewer.windows(2).map(|w| distance(*point, w[0], w[1])).fold(f64::INFINITY, f64::min);
                prop_assert!(off <= TOLERANCE + 1e-9, "{point:?} is {off} away");
            }
        }
    }
}
