//! The metrics of one block, from what client and kernel saw.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::probe::Spent;
use crate::report::{micros, percentile_us};
use crate::seen::Seen;

/// What was used in a block.
pub(super) struct Used {
    /// The subject's process.
    pub(super) server: Spent,
    /// CPU time of the database's processes, if it has a server of its own.
    pub(super) database_cpu: Option<Duration>,
}

/// A value for each metric of a block.
pub(super) type Values = BTreeMap<String, f64>;

/// The percentiles of the contract, by name.
const PERCENTILES: [(&str, f64); 4] = [("p50", 50.0), ("p90", 90.0), ("p99", 99.0), ("p999", 99.9)];

/// The metric that says whether the client set the figures; its mean over the rounds is the share of such rounds.
pub(super) const CLIENT_LIMITED: &str = "client_limited";

/// All metrics of a load. Percentiles are left out where there are too few samples; CPU time for each request is
/// left out where heavy work beside it would be counted with it.
pub(super) fn values(main: &Seen, beside: Option<&Seen>, used: &Used) -> Values {
    let mut values = Values::new();
    let mut put = |name: &str, value: f64| {
        values.insert(name.to_owned(), value);
    };
    put("achieved_rps", rate_per_s(main));
    put("ok", count(main.ok));
    put("errors", count(main.errors.total() + beside.map_or(0, |heavy| heavy.errors.total())));
    put("dropped", count(main.dropped));
    put(CLIENT_LIMITED, f64::from(u8::from(main.client_limited.is_some())));
    put("client_cpu_share", main.client_cpu_share);
    put("server.rss_mib", used.server.rss_mib);
    put("server.context_switches_per_request", each(used.server.context_switches, replies(main, beside)));
    match beside {
        Some(heavy) => put("heavy_rps", rate_per_s(heavy)),
        None => put("server.cpu_us_per_request", us_each(used.server.cpu, main.ok)),
    }
    if let Some(cpu) = used.database_cpu {
        put("database.cpu_us_per_request", us_each(cpu, main.ok));
    }
    percentiles(&mut put, "response_us", &main.response_ns);
    percentiles(&mut put, "service_us", &main.service_ns);
    if let Some(late_us) = percentile_us(&main.pacer_late_ns, 99.0) {
        put("pacer_late_us.p99", late_us);
    }
    values
}

fn percentiles(put: &mut impl FnMut(&str, f64), prefix: &str, times_ns: &Histogram<u64>) {
    for (name, percentile) in PERCENTILES {
        if let Some(time_us) = percentile_us(times_ns, percentile) {
            put(&format!("{prefix}.{name}"), time_us);
        }
    }
    if !times_ns.is_empty() {
        put(&format!("{prefix}.max"), micros(times_ns.max()));
    }
}

/// Successes a second.
pub(super) fn rate_per_s(seen: &Seen) -> f64 {
    count(seen.ok) / seen.elapsed.as_secs_f64().max(f64::EPSILON)
}

/// Adds the rate of transfers, where each request asks for several.
pub(super) fn count_transfers(values: &mut Values, seen: &Seen, a_request: usize) {
    let rate = rate_per_s(seen) * count(a_request as u64);
    values.insert("transfers_per_s".to_owned(), rate);
}

/// All successes, those of the work beside it included.
pub(super) fn replies(main: &Seen, beside: Option<&Seen>) -> u64 {
    main.ok + beside.map_or(0, |heavy| heavy.ok)
}

/// How many for each request.
pub(super) fn each(total: u64, requests: u64) -> f64 {
    count(total) / count(requests.max(1))
}

fn us_each(time: Duration, requests: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count(requests.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "counts and nanoseconds far below 2^52")]
const fn count(number: u64) -> f64 {
    number as f64
}

/// A line for a terminal and for a log.
pub(super) fn progress(round: usize, rounds: usize, subject: &str, values: &Values) -> String {
    let shown = [
        ("achieved_rps", "requests/s"),
        ("transfers_per_s", "transfers/s"),
        ("response_us.p99", "us p99"),
        ("heavy_rps", "heavy/s"),
        ("start_ms", "ms to start"),
        ("server.idle_bytes_per_connection", "bytes a connection"),
    ];
    let parts: Vec<_> = shown
        .iter()
        .filter_map(|(metric, unit)| values.get(*metric).map(|value| format!("{value:.0} {unit}")))
        .collect();
    format!("round {}/{rounds} {subject}: {}", round + 1, parts.join(", "))
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "exact in binary")]
pub(super) mod tests {
    use super::*;
    use crate::seen::Errors;

    /// A run of two seconds in which every reply took as many microseconds as given.
    pub(in crate::compare) fn seen(micros: impl IntoIterator<Item = u64>) -> Seen {
        let mut times = Histogram::new(3).expect("three digits");
        micros.into_iter().for_each(|time| times.record(time * 1_000).expect("within range"));
        Seen {
            service_ns: times.clone(),
            pacer_late_ns: Histogram::new(3).expect("three digits"),
            ok: times.len(),
            response_ns: times,
            errors: Errors::default(),
            dropped: 0,
            elapsed: Duration::from_secs(2),
            timeline: Vec::new(),
            client_cpu_share: 0.25,
            priority_raised: true,
            client_limited: None,
        }
    }

    const USED: Used = Used {
        server: Spent { cpu: Duration::from_millis(10), context_switches: 500, rss_mib: 12.5 },
        database_cpu: None,
    };

    #[test]
    fn a_block_has_rates_costs_and_percentiles() {
        let used = Used { database_cpu: Some(Duration::from_millis(30)), ..USED };
        let values = values(&seen(1..=1_000), None, &used);
        let near = |metric: &str, wanted: f64| {
            let got = values[metric];
            assert!((got / wanted - 1.0).abs() < 0.002, "{metric}: {got}");
        };
        near("achieved_rps", 500.0);
        near("server.cpu_us_per_request", 10.0);
        near("database.cpu_us_per_request", 30.0);
        near("server.context_switches_per_request", 0.5);
        near("server.rss_mib", 12.5);
        near("response_us.p50", 500.0);
        near("service_us.p99", 990.0);
        near("response_us.max", 1_000.0);
        assert_eq!(values[CLIENT_LIMITED], 0.0);
    }

    #[test]
    fn percentiles_without_enough_samples_are_left_out() {
        let values = values(&seen(1..=999), None, &USED);
        assert!(values.contains_key("response_us.p90"));
        assert!(!values.contains_key("response_us.p99"));
        assert!(!values.contains_key("pacer_late_us.p99"));
        assert!(!values.contains_key("database.cpu_us_per_request"), "no database of its own");
    }

    #[test]
    fn batches_tell_their_transfers() {
        let seen = seen([20_000; 100]);
        let mut values = values(&seen, None, &USED);
        count_transfers(&mut values, &seen, 1_000);
        assert_eq!((values["achieved_rps"], values["transfers_per_s"]), (50.0, 50_000.0));
    }

    #[test]
    fn heavy_work_is_told_and_not_counted_as_the_cost_of_light_requests() {
        let mut heavy = seen([20_000; 100]);
        heavy.errors.timeout = 3;
        let values = values(&seen([100; 400]), Some(&heavy), &USED);
        assert_eq!(values["heavy_rps"], 50.0);
        assert_eq!(values["errors"], 3.0);
        assert_eq!(values["server.context_switches_per_request"], 1.0);
        assert!(!values.contains_key("server.cpu_us_per_request"));
    }
}
