//! Comparisons as Markdown tables for pages that are read on their own: what matters most of each scenario, with its
//! intervals and ratios. Only shows; computes nothing.

use std::fmt::Write;

use super::{GROUPS, Metric, grouped, interval, subjects, times};
use crate::comparison::{Comparison, Interval};
use crate::stats::spans_one;

/// Metrics of the text report that would make the tables too wide for a page.
const LEFT_OUT: [&str; 3] = ["response_us.p999", "server.context_switches_per_request", "server.rss_mib"];

/// A table for each scenario: subjects down, main metrics across, each with its interval and its ratio to the base.
pub fn markdown(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        section(&mut text, comparison);
    }
    text
}

fn section(text: &mut String, comparison: &Comparison) {
    let Comparison { scenario, about, rounds, duration_s, .. } = comparison;
    let length = if *duration_s > 0.0 { format!(" of {duration_s} s") } else { String::new() };
    let start = if text.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{start}### {scenario}\n\n{}.", escaped(about));
    let _ =
        writeln!(text, "{rounds} rounds{length}; median [95 % interval], ratio to {}.\n", base(comparison));
    table(text, comparison);
    for (place, warning) in comparison.warnings.iter().enumerate() {
        let _ = writeln!(text, "{}- {}", if place == 0 { "\n" } else { "" }, escaped(warning));
    }
    let _ = writeln!(text, "\n```\n{}\n```", comparison.command);
}

fn table(text: &mut String, comparison: &Comparison) {
    let has = |metric: &&Metric| comparison.subjects.values().any(|row| row.contains_key(metric.name));
    let metrics: Vec<&Metric> = GROUPS
        .iter()
        .flat_map(|(_, group)| *group)
        .filter(|metric| !LEFT_OUT.contains(&metric.name))
        .filter(has)
        .collect();
    let headings: Vec<_> = metrics.iter().map(|metric| heading(metric)).collect();
    let _ = writeln!(text, "| | {} |\n|---|{}", headings.join(" | "), "---:|".repeat(metrics.len()));
    for (name, values) in subjects(comparison) {
        let cells: Vec<_> = metrics
            .iter()
            .map(|metric| {
                values
                    .get(metric.name)
                    .map_or_else(String::new, |value| cell(comparison, name, metric, *value))
            })
            .collect();
        let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
    }
}

/// With the unit, where the text report tells it once for a whole table.
fn heading(metric: &Metric) -> String {
    match metric.name {
        name if name.contains("_us.") => format!("{}, us", metric.heading),
        name if name.ends_with("start_ms") => format!("start, {}, ms", metric.heading),
        _ => metric.heading.to_owned(),
    }
}

fn cell(comparison: &Comparison, name: &str, metric: &Metric, value: Interval) -> String {
    let mut cell = interval(value, |number| grouped(number, metric.digits));
    let pair =
        comparison.ratios.iter().find(|(pair, _)| pair.split_once('/').is_some_and(|(of, _)| of == name));
    if let Some(ratio) = pair.and_then(|(_, ratios)| ratios.get(metric.name)) {
        let said = if spans_one(*ratio) { "no difference shown".to_owned() } else { interval(*ratio, times) };
        let _ = write!(cell, "<br>{said}");
    }
    cell
}

fn base(comparison: &Comparison) -> &str {
    let pair = comparison.ratios.keys().find_map(|pair| pair.split_once('/'));
    pair.map_or("nothing", |(_, base)| base)
}

/// Text that Markdown leaves alone (GitHub Flavored Markdown 2.4 lets a backslash stand before any punctuation).
fn escaped(text: &str) -> String {
    let special = |c: char| matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '#');
    text.chars().fold(String::new(), |mut text, c| {
        if special(c) {
            text.push('\\');
        }
        text.push(c);
        text
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::comparison;
    use super::*;

    #[test]
    fn each_scenario_is_a_table_with_intervals_and_ratios() {
        let one = comparison();
        let section = "\
### mixed

light beside heavy.
5 rounds of 5 s; median [95 % interval], ratio to ringledger.

| | requests/s | p99, us |
|---|---:|---:|
| `ringledger` | 4,000 | 212 [200, 231] |
| `axum` | 4,000 [3,999, 4,001]<br>no difference shown | 6,900 [6,500, 7,400]<br>32.50x [30.00x, 36.10x] |

- axum: errors: 2 reset

```
cargo run
```
";
        assert_eq!(markdown(std::slice::from_ref(&one)), section);
        assert_eq!(markdown(&[one.clone(), one]), format!("{section}\n{section}"));
    }

    #[test]
    fn a_warning_is_no_markup() {
        assert_eq!(escaped("a_b <c> | `d`"), r"a\_b \<c\> \| \`d\`");
    }
}
