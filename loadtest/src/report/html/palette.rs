//! How series are told apart: colour, dash and marker together, so that none is needed alone.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::comparison::Comparison;

/// Looks of a series. Colours keep a contrast of at least 3 to the backgrounds of `plot.css` (WCAG 2.2, 1.4.11) and
/// differ in lightness within a family.
struct Look {
    light: &'static str,
    dark: &'static str,
    /// `stroke-dasharray`; empty for a full line.
    dash: &'static str,
    /// A path around its own centre.
    marker: &'static str,
}

const CIRCLE: &str = "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z";
const SQUARE: &str = "m-3.5-3.5h7v7h-7z";
const UP: &str = "m0-4.5l4.5 8h-9z";
const DIAMOND: &str = "m0-5l5 5-5 5-5-5z";
const DOWN: &str = "m0 4.5l4.5-8h-9z";
const BAR: &str = "m-1.5-5h3v10h-3z";
const DASH: &str = "m-5-1.5h10v3h-10z";

const LOOKS: [Look; 14] = [
    Look { light: "#0b5fb8", dark: "#63aeff", dash: "", marker: CIRCLE },
    Look { light: "#0d8a8f", dark: "#4fd6d2", dash: "9 3", marker: SQUARE },
    Look { light: "#5b3fb0", dark: "#b9a2ff", dash: "2 3", marker: DIAMOND },
    Look { light: "#c8480f", dark: "#ff9257", dash: "", marker: UP },
    Look { light: "#8c1d1d", dark: "#ff8f8f", dash: "6 2 2 2", marker: DIAMOND },
    Look { light: "#7a4d22", dark: "#d9ab7c", dash: "9 3", marker: CIRCLE },
    Look { light: "#9a7200", dark: "#f0c33c", dash: "9 3", marker: DOWN },
    Look { light: "#b3327a", dark: "#ff86bd", dash: "2 3", marker: BAR },
    Look { light: "#5d6873", dark: "#a9b4bf", dash: "12 3 2 3", marker: DASH },
    Look { light: "#2b7a37", dark: "#7ed58b", dash: "", marker: SQUARE },
    Look { light: "#23272e", dark: "#f2f4f7", dash: "2 3", marker: UP },
    Look { light: "#3f6212", dark: "#bdea6b", dash: "6 2 2 2", marker: DOWN },
    Look { light: "#1f6f5c", dark: "#6fe0bd", dash: "12 3 2 3", marker: BAR },
    Look { light: "#6b3f3f", dark: "#e0b0b0", dash: "12 3 2 3", marker: UP },
];

/// Subjects of the project keep their look in every report.
const KNOWN: [&str; 12] = [
    "ringledger",
    "ringledger-spin",
    "ringledger-epoll",
    "axum",
    "axum-blocking",
    "axum-inline",
    "axum-lane",
    "axum-bare",
    "floor",
    "hyper-epoll",
    "raw-ring",
    "raw-ring-spin",
];

/// The order of subjects and the look of each, the same in all comparisons of a page.
#[derive(Debug)]
pub(super) struct Palette<'a>(Vec<(usize, &'a str)>);

impl<'a> Palette<'a> {
    /// For all subjects of `comparisons`: the known ones first, then the others by name.
    pub(super) fn of(comparisons: &'a [Comparison]) -> Self {
        let names: BTreeSet<&str> = comparisons
            .iter()
            .flat_map(|c| c.subjects.keys().chain(c.plots.keys()).chain(c.abouts.keys()))
            .map(String::as_str)
            .collect();
        let (known, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| KNOWN.contains(name));
        let mut looks: Vec<_> = KNOWN
            .iter()
            .enumerate()
            .filter_map(|(look, name)| known.iter().find(|k| *k == name).map(|k| (look, *k)))
            .collect();
        looks.extend(
            others.into_iter().zip((KNOWN.len()..LOOKS.len()).cycle()).map(|(name, look)| (look, name)),
        );
        Self(looks)
    }

    /// Looks and names, in order.
    pub(super) fn subjects(&self) -> impl Iterator<Item = (usize, &'a str)> {
        self.0.iter().copied()
    }
}

/// A path with the marker of a look around a point.
pub(super) fn marker(look: usize, x: f64, y: f64) -> String {
    format!(
        "M{} {}{}",
        super::plot::coordinate(x),
        super::plot::coordinate(y),
        LOOKS[look % LOOKS.len()].marker
    )
}

/// A rule for each look, light and dark.
pub(super) fn css() -> String {
    let mut css = String::new();
    let mut dark = String::new();
    for (i, look) in LOOKS.iter().enumerate() {
        let _ = writeln!(
            css,
            ".s{i}{{color:{}}}.s{i} .line,.s{i} polyline{{stroke-dasharray:{}}}",
            look.light,
            or_none(look.dash)
        );
        let _ = write!(dark, ".s{i}{{color:{}}}", look.dark);
    }
    let _ = writeln!(css, "@media (prefers-color-scheme:dark){{{dark}}}");
    css
}

/// Rules that hide a look's series where its box is not checked; without them the boxes would do nothing.
pub(super) fn switches_css() -> String {
    (0..LOOKS.len()).fold(String::new(), |mut css, i| {
        let _ = writeln!(css, "section:has(.t{i}:not(:checked)) .plot .s{i}{{display:none}}");
        css
    })
}

fn or_none(dash: &str) -> &str {
    if dash.is_empty() { "none" } else { dash }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2.2).
    fn luminance(colour: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_look_is_readable_and_unlike_the_others() {
        for (i, look) in LOOKS.iter().enumerate() {
            assert!(contrast(look.light, "#ffffff") >= 4.0, "{} on white", look.light);
            assert!(contrast(look.dark, "#161b22") >= 4.0, "{} on dark", look.dark);
            let twins =
                LOOKS[..i].iter().filter(|other| (other.dash, other.marker) == (look.dash, look.marker));
            assert_eq!(twins.count(), 0, "look {i} differs from another by colour alone");
        }
    }
}
