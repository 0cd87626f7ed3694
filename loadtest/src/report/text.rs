//! A run for people: response and service time side by side, then what went wrong.

use std::fmt::Write as _;

use super::RunReport;

/// The report as lines of text.
pub fn run(report: &RunReport) -> String {
    let mut text = format!("{}  {}\n\n", report.subject, report.scenario);
    let offered = report.offered_rps.map_or("as taken".to_owned(), |rate| format!("{rate:.0}/s"));
    let _ = writeln!(
        text,
        "  offered {offered}, achieved {:.0}/s, {:.2} s",
        report.achieved_rps, report.elapsed_s
    );
    let _ = writeln!(text, "  ok {}, errors {}, dropped {}\n", report.ok, report.errors, report.dropped);
    let _ = writeln!(text, "  {:<8}{:>14}{:>14}", "", "response", "service");
    let (response, service) = (&report.response_us, &report.service_us);
    let rows = [
        ("p50", response.p50, service.p50),
        ("p90", response.p90, service.p90),
        ("p99", response.p99, service.p99),
        ("p99.9", response.p999, service.p999),
        ("max", response.max, service.max),
    ];
    for (name, response, service) in rows {
        let _ = writeln!(text, "  {name:<8}{:>14}{:>14}", time(response), time(service));
    }
    text.push('\n');
    failures(&mut text, report);
    if let Some(late) = report.pacer_late_us.p99 {
        let _ = writeln!(text, "  pacer late at p99   {}", time(Some(late)));
    }
    let _ = writeln!(text, "  client CPU          {:.0} % of its cores", report.client_cpu_share * 100.0);
    if let Some(server) = report.server {
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
        let (cpu, rss) = (figure(server.cpu_us_per_request), figure(server.rss_mib));
        let _ = writeln!(text, "  server              {cpu} µs CPU a request, {rss} MiB");
    }
    if let Some(note) = report.late_note() {
        let _ = writeln!(text, "  NOTE: {note}");
    }
    if let Some(why) = &report.client_limited_because {
        let _ = writeln!(text, "  CLIENT-LIMITED: {why}");
    }
    text
}

fn failures(text: &mut String, report: &RunReport) {
    let errors = report.errors_by_cause;
    let causes = [
        ("other status", errors.status),
        ("timeout", errors.timeout),
        ("reset", errors.reset),
        ("malformed reply", errors.malformed),
        ("no connection", errors.connect),
        ("dropped", report.dropped),
    ];
    for (cause, count) in causes.into_iter().filter(|(_, count)| *count > 0) {
        let _ = writeln!(text, "  {cause:<20}{count}");
    }
}

/// Microseconds in the unit that reads best.
fn time(us: Option<f64>) -> String {
    match us {
        None => "-".to_owned(),
        Some(us) if us < 1_000.0 => format!("{us:.1} µs"),
        Some(us) if us < 1_000_000.0 => format!("{:.2} ms", us / 1e3),
        Some(us) => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn failures_and_the_verdict_are_told_and_the_unknown_is_a_dash() {
        let text = run(&report());
        assert!(text.contains("timeout             2"), "{text}");
        assert!(text.contains("dropped             3"), "{text}");
        assert!(text.contains("CLIENT-LIMITED: it was slow"), "{text}");
        assert!(text.contains("p99.9                -             -"), "{text}");
        assert!(text.contains("p50           500."), "{text}");
    }
}
