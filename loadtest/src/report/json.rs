//! A run as JSON. The shape is [`RunReport`]'s; here is only how it is written.

use super::RunReport;

/// The report as one JSON object, over several lines.
///
/// # Errors
/// As `serde_json` says; a report has nothing that JSON cannot carry.
pub fn run(report: &RunReport) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report)
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn the_members_are_those_that_programs_rely_on() {
        let value: serde_json::Value = serde_json::from_str(&run(&report()).unwrap()).unwrap();
        for member in
            ["subject", "scenario", "offered_rps", "achieved_rps", "ok", "errors", "dropped", "server"]
        {
            assert!(value.get(member).is_some(), "{member}");
        }
        for times in ["response_us", "service_us"] {
            for percentile in ["p50", "p90", "p99", "p999", "max"] {
                assert!(value[times].get(percentile).is_some(), "{times}.{percentile}");
            }
        }
        assert!(value["pacer_late_us"].get("p99").is_some());
        assert_eq!(value["client_limited"], true);
        assert_eq!(value["response_us"]["p999"], serde_json::Value::Null);
    }
}
