//! Reports as one self-contained HTML page, and its plots as stand-alone SVG files. Nothing is loaded from anywhere;
//! scripts only add tooltips. Knows how figures look, not how they come about.
//!
//! Every text that comes in passes `maud`, which escapes it; characters that XML does not allow are replaced.

mod alone;
mod axis;
mod intervals;
mod metric;
mod number;
mod overview;
mod palette;
mod percentiles;
mod plot;
mod run_page;
mod section;
mod table;
mod timeline;

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::comparison::{Comparison, Moment};

const PLOT_CSS: &str = include_str!("html/plot.css");
const PAGE_CSS: &str = include_str!("html/page.css");
const PAGE_JS: &str = include_str!("html/page.js");

/// What the page of a single run shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunPage {
    /// What was loaded, in a few words.
    pub title: String,
    /// The command that repeats it.
    pub command: String,
    /// Where it ran; may be empty.
    pub environment: BTreeMap<String, String>,
    /// Requests a second that were due; `None` in a closed loop.
    pub offered_rps: Option<f64>,
    /// Successes a second.
    pub achieved_rps: f64,
    /// What was counted, in the order of showing: successes, errors by cause, drops.
    pub counts: Vec<(String, u64)>,
    /// Response time in microseconds at a percentile (0 to 100), ascending; 100 is the maximum.
    pub response_us: Vec<(f64, f64)>,
    /// Service time, likewise.
    pub service_us: Vec<(f64, f64)>,
    /// The run over time.
    pub timeline: Vec<Moment>,
    /// What a reader must know before believing the figures.
    pub warnings: Vec<String>,
}

/// A page of one or several comparisons.
pub fn comparison(comparisons: &[Comparison]) -> String {
    let title = match comparisons {
        [one] => format!("Load test: {}", one.scenario),
        several => format!("Load tests: {} scenarios", several.len()),
    };
    page(&title, &section::all(comparisons))
}

/// A page of a single run: response and service time side by side, and the run over time.
pub fn run(run: &RunPage) -> String {
    page(&run.title, &run_page::body(run))
}

/// The metric that the comparison's scenario is about; `None` without any.
pub fn headline(comparison: &Comparison) -> Option<&str> {
    overview::headline(comparison).map(|metric| metric.0)
}

/// Response time by percentile as a stand-alone SVG file; `None` if there is nothing to draw.
pub fn svg_percentiles(comparison: &Comparison) -> Option<String> {
    alone::percentiles(comparison).map(legal)
}

/// A metric of all subjects with its intervals as a stand-alone SVG file; `None` if no subject has the metric.
pub fn svg_intervals(comparison: &Comparison, metric: &str) -> Option<String> {
    alone::intervals(comparison, metric).map(legal)
}

fn page(title: &str, body: &Markup) -> String {
    let css = [PAGE_CSS, PLOT_CSS, &palette::css(), &palette::switches_css()].concat();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(css)) }
            }
            body {
                main { (body) }
                div #tip hidden {}
                script { (PreEscaped(PAGE_JS)) }
            }
        }
    };
    legal(page)
}

/// Ends of empty elements of a drawing, which both HTML and XML let a drawing write shorter.
const ENDS: [&str; 4] = ["></path>", "></rect>", "></polyline>", "></use>"];

/// The text with what XML 1.0 (2.2) does not allow replaced, which also keeps terminal escapes out of files.
fn legal(markup: Markup) -> String {
    let allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    let text =
        markup.into_string().replace(|c| !allowed(c) || matches!(c, '\u{fffe}' | '\u{ffff}'), "\u{fffd}");
    ENDS.iter().fold(text, |text, end| text.replace(end, "/>"))
}

#[cfg(test)]
mod tests;
