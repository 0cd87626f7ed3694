//! The page of a single run.

use maud::{Markup, html};

use super::number::{NONE, number, time_us};
use super::section::{command, environment, figure, key, keys, warnings};
use super::{RunPage, percentiles, timeline};

/// Looks that differ most.
const RESPONSE: usize = 0;
const SERVICE: usize = 3;
/// Rows of the table.
const ROWS: [(f64, &str); 6] = [
    (50.0, "50 %"),
    (90.0, "90 %"),
    (99.0, "99 %"),
    (99.9, "99.9 %"),
    (99.99, "99.99 %"),
    (100.0, "maximum"),
];

/// All that stands in the page.
pub(super) fn body(run: &RunPage) -> Markup {
    let host = run.environment.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    html! {
        (keys([RESPONSE, SERVICE].into_iter()))
        header { h1 { (run.title) } }
        section {
            (warnings(&run.warnings))
            (rates(run))
            (times(run))
            (plots(run))
            (environment("Environment", &host))
            (command(&run.command))
        }
    }
}

fn rates(run: &RunPage) -> Markup {
    html! {
        dl.figures {
            @if let Some(offered) = run.offered_rps { div { dt { "Offered" } dd { (number(offered)) "/s" } } }
            div { dt { "Achieved" } dd { (number(run.achieved_rps)) "/s" } }
            @for (label, count) in &run.counts { div { dt { (label) } dd { (grouped(*count)) } } }
        }
    }
}

fn times(run: &RunPage) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Times by percentile" {
            table {
                caption { "Response time counts from the moment a request was due, service time from when it was sent" }
                thead {
                    tr {
                        th scope="col" { "Percentile" }
                        th scope="col" { "Response time" }
                        th scope="col" { "Service time" }
                    }
                }
                tbody {
                    @for (percentile, label) in ROWS {
                        tr {
                            th scope="row" { (label) }
                            td { (at(&run.response_us, percentile)) }
                            td { (at(&run.service_us, percentile)) }
                        }
                    }
                }
            }
        }
    }
}

fn plots(run: &RunPage) -> Markup {
    let sources = [
        percentiles::Source { name: "response time", look: RESPONSE, percentiles: &run.response_us },
        percentiles::Source { name: "service time", look: SERVICE, percentiles: &run.service_us },
    ];
    let over_time = [timeline::Source { name: "responses", look: RESPONSE, timeline: &run.timeline }];
    html! {
        div.legend {
            @for source in &sources { label { input class={ "t" (source.look) } type="checkbox" checked; (key(source.look)) (source.name) } }
        }
        div.plots {
            @if let Some(drawing) = percentiles::plot("Times by percentile", &sources) {
                (figure("Response time and service time by percentile", &drawing))
            }
            div.stack {
                @for shown in timeline::Figure::ALL {
                    @if let Some(drawing) = timeline::plot(shown, &over_time) { (figure(shown.title(), &drawing)) }
                }
            }
        }
    }
}

/// The time that at least this percentage of the requests kept; none if samples do not reach so far. The maximum
/// stands for itself only.
fn at(percentiles: &[(f64, f64)], percentile: f64) -> String {
    let reached =
        percentiles.iter().find(|(p, _)| *p >= percentile - 1e-9 && (*p < 100.0 || percentile >= 100.0));
    reached.map_or_else(|| NONE.to_owned(), |(_, us)| time_us(*us))
}

/// A count is exact, however large.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let groups: Vec<_> =
        digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_beyond_the_samples_is_not_invented() {
        let times = [(50.0, 10.0), (99.0, 20.0), (100.0, 90.0)];
        assert_eq!((at(&times, 90.0), at(&times, 99.9)), ("20.0\u{a0}µs".to_owned(), NONE.to_owned()));
    }

    #[test]
    fn counts_are_exact() {
        assert_eq!(grouped(18_446_744_073_709_551_615), "18,446,744,073,709,551,615");
        assert_eq!(grouped(7), "7");
    }
}
