use std::collections::BTreeMap;
use std::time::Duration;

use super::cells::{Histogram, ManyWriters, OneWriter};
use super::*;

const US: Duration = Duration::from_micros(1);

fn two_cores() -> (Metrics, Vec<CoreMetrics>) {
    let row = |method: &str, route: &str| RowLabels { method: method.into(), route: route.into() };
    let rows = vec![row("GET", "/health"), row("POST", "/api/v1/transfers")];
    Metrics::new(subject(rows, &["0", "5"]))
}

fn subject(rows: Vec<RowLabels>, cores: &[&str]) -> Subject {
    Subject {
        build: Build { version: "1.2.3", commit: "c0ffee", features: "" },
        rows,
        cores: cores.iter().map(|&name| name.to_owned()).collect(),
        results: &["posted", "insufficient_funds"],
        dropped_lines: DroppedLines::default(),
    }
}

/// The samples of a text by series. No series may come twice.
fn samples(text: &str) -> BTreeMap<&str, &str> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let samples: BTreeMap<_, _> = lines.iter().map(|line| line.rsplit_once(' ').unwrap()).collect();
    assert_eq!(samples.len(), lines.len(), "{text}");
    samples
}

#[test]
fn buckets_count_up_to_their_bound_inclusive() {
    let histogram = Histogram::<OneWriter>::default();
    for us in [0, 50, 51, 1_000, 10_000_000, 10_000_001] {
        histogram.observe(US * us);
    }
    let reading = histogram.read();
    assert_eq!(reading.cumulative, [2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 6]);
    assert_eq!(reading.sum, (50 + 51 + 1_000 + 20_000_001) * 1_000);
    assert_eq!(reading.count(), 6);
}

#[test]
fn labels_of_bounds_are_what_is_shown() {
    for scale in [&cells::SECONDS, &cells::THINGS] {
        for (bound, label) in scale.bounds {
            let shown: f64 = label.parse().unwrap();
            let exact = Duration::from_nanos(bound).as_secs_f64() * 1e9 / scale.per_unit;
            assert!((shown - exact).abs() < shown / 1e9, "{label}");
        }
        assert!(scale.bounds.is_sorted_by(|(lower, _), (higher, _)| lower < higher));
    }
}

#[test]
fn many_writers_lose_nothing() {
    let histogram = Histogram::<ManyWriters>::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10_000).for_each(|us| histogram.observe(US * us)));
        }
    });
    assert_eq!(histogram.read().count(), 40_000);
}

#[test]
fn requests_are_counted_by_row_status_and_core() {
    let (metrics, cores) = two_cores();
    cores[0].answered(Some(1), 201, US * 300);
    cores[0].answered(Some(1), 201, US * 20);
    cores[0].answered(Some(1), 422, US);
    cores[1].answered(Some(0), 200, US);
    cores[1].answered(None, 404, US);
    cores[1].answered(Some(99), 418, US);
    let text = metrics.render(Format::Prometheus);
    let samples = samples(&text);
    let counted: Vec<_> = samples.range("http_requests_total".."http_requests_total~").collect();
    assert_eq!(
        counted,
        [
            (&"http_requests_total{method=\"GET\",route=\"/health\",status=\"200\",core=\"5\"}", &"1"),
            (
                &"http_requests_total{method=\"POST\",route=\"/api/v1/transfers\",status=\"201\",core=\"0\"}",
                &"2"
            ),
            (
                &"http_requests_total{method=\"POST\",route=\"/api/v1/transfers\",status=\"422\",core=\"0\"}",
                &"1"
            ),
            (&"http_requests_total{method=\"other\",route=\"unmatched\",status=\"404\",core=\"5\"}", &"1"),
            (&"http_requests_total{method=\"other\",route=\"unmatched\",status=\"other\",core=\"5\"}", &"1"),
        ]
    );
    let of_transfers = |suffix: &str, le: &str| {
        let labels = "method=\"POST\",route=\"/api/v1/transfers\",status=\"201\",core=\"0\"";
        samples[format!("http_request_duration_seconds_{suffix}{{{labels}{le}}}").as_str()]
    };
    let buckets =
        ["5e-05", "0.00025", "0.0005", "+Inf"].map(|le| of_transfers("bucket", &format!(",le=\"{le}\"")));
    assert_eq!(buckets, ["1", "1", "2", "2"]);
    assert_eq!([of_transfers("sum", ""), of_transfers("count", "")], ["0.00032", "2"]);
}

#[test]
fn gauges_fall_when_their_guards_are_dropped() {
    let (metrics, cores) = two_cores();
    let gauges = || {
        let text = metrics.render(Format::Prometheus);
        let samples = samples(&text);
        let of_core_5 = |name: &str| samples[format!("{name}{{core=\"5\"}}").as_str()].to_owned();
        ["http_requests_in_flight", "connections", "connections_accepted_total"].map(of_core_5)
    };
    let open = cores[1].connection_opens();
    let closed = cores[1].connection_opens();
    let request = cores[1].request_begins();
    assert_eq!(gauges(), ["1", "2", "2"]);
    drop((closed, request));
    assert_eq!(gauges(), ["0", "1", "2"]);
    assert_eq!(cores[1].connections(), 1);
    drop(open);
    assert_eq!(gauges(), ["0", "0", "2"]);
}

#[test]
fn a_scrape_reads_while_a_core_counts() {
    let (metrics, mut cores) = two_cores();
    let core = cores.remove(0);
    let counting = std::thread::spawn(move || {
        (0..200_000).for_each(|_| core.answered(Some(0), 200, US));
    });
    let total = || metrics.cores[0].cells.rows().next().unwrap()[1].read().count();
    let mut last = 0;
    while !counting.is_finished() {
        let now = total();
        assert!(now >= last);
        last = now;
    }
    counting.join().unwrap();
    assert_eq!(total(), 200_000);
}

#[test]
fn the_formats_differ_where_their_specifications_do() {
    let (metrics, cores) = two_cores();
    cores[0].answered(Some(0), 200, US);
    metrics.cpu_pool_run.observe(US);
    let [prometheus, open_metrics] =
        [Format::Prometheus, Format::OpenMetrics].map(|format| metrics.render(format));
    for (line, in_prometheus, in_open_metrics) in [
        ("# TYPE http_requests_total counter", true, false),
        ("# TYPE http_requests counter", false, true),
        ("# TYPE build_info gauge", true, false),
        ("# TYPE build info", false, true),
        ("build_info{version=\"1.2.3\",commit=\"c0ffee\",features=\"\"} 1", true, true),
        ("# TYPE cpu_pool_run_seconds histogram", true, true),
        ("cpu_pool_run_seconds_bucket{le=\"+Inf\"} 1", true, true),
        ("cpu_pool_run_seconds_sum 0.000001", true, true),
        ("cpu_pool_queue_seconds_count 0", true, true),
        ("log_lines_dropped_total 0", true, true),
        ("# EOF", false, true),
    ] {
        let has = |text: &str| text.lines().any(|found| found == line);
        assert_eq!((has(&prometheus), has(&open_metrics)), (in_prometheus, in_open_metrics), "{line}");
    }
    assert!(open_metrics.ends_with("\n# EOF\n"));
    assert!(samples(&prometheus).keys().eq(samples(&open_metrics).keys()));
}

#[test]
fn label_values_are_escaped() {
    let rows = vec![RowLabels { method: "G\"E\\T\n".into(), route: "/ä".into() }];
    let (metrics, cores) = Metrics::new(subject(rows, &["0"]));
    cores[0].answered(Some(0), 200, US);
    let series = r#"http_requests_total{method="G\"E\\T\n",route="/ä",status="200",core="0"} 1"#;
    assert!(metrics.render(Format::Prometheus).lines().any(|line| line == series));
}

#[test]
fn a_core_that_is_off_counts_only_what_is_open() {
    let (metrics, mut cores) = two_cores();
    let core = cores.remove(0).off();
    let _open = core.connection_opens();
    let _request = core.request_begins();
    core.answered(Some(0), 200, US);
    core.settle(Box::new(|| unreachable!("nobody asks")));
    here::store_answered(US, true);
    let text = metrics.render(Format::Prometheus);
    let samples = samples(&text);
    assert!(!text.contains("http_requests_total{"), "{text}");
    assert_eq!(samples["connections{core=\"0\"}"], "1");
    assert_eq!(samples["http_requests_in_flight{core=\"0\"}"], "1");
    assert_eq!(samples["store_seconds_count{operation=\"read\"}"], "0");
}

#[test]
fn a_settled_thread_counts_for_its_core() {
    let (metrics, mut cores) = two_cores();
    let core = cores.remove(1);
    metrics.last_seq.tell(30);
    metrics.last_seq.tell(20);
    std::thread::spawn(move || {
        let busy = Duration::from_millis(1_500);
        core.settle(Box::new(move || Turning { wakeups: 7, busy, idle_turns: 3, ..Turning::default() }));
        here::store_answered(US * 60, true);
        here::store_answered(US, false);
        here::pool_waited(US);
        here::events_given(2, 25);
        core.answered(None, 401, US);
        core.answered(Some(0), 429, US);
    })
    .join()
    .unwrap();
    here::store_answered(US, true);
    let text = metrics.render(Format::Prometheus);
    let samples = samples(&text);
    for (series, value) in [
        ("core_wakeups_total{core=\"5\"}", "7"),
        ("core_busy_seconds_total{core=\"5\"}", "1.5"),
        ("busy_poll_turns_total{core=\"5\",found=\"nothing\"}", "3"),
        ("store_seconds_bucket{operation=\"read\",le=\"5e-05\"}", "1"),
        ("store_seconds_count{operation=\"read\"}", "2"),
        ("store_errors_total{operation=\"read\"}", "1"),
        ("store_pool_wait_seconds_count", "1"),
        ("events_readers{core=\"5\"}", "2"),
        ("events_lag{core=\"5\"}", "5"),
        ("events_lag{core=\"0\"}", "0"),
        ("auth_failures_total{core=\"5\"}", "1"),
        ("rate_limited_total{core=\"5\"}", "1"),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}: {text}");
    }
    assert!(!text.contains("core_wakeups_total{core=\"0\"}"), "{text}");
}

#[test]
fn what_the_lane_does_is_shown() {
    let (metrics, _) = two_cores();
    metrics.lane_batch.observe(3);
    metrics.lane_batch.observe(70_000);
    metrics.transfers.count("posted");
    let text = metrics.render(Format::Prometheus);
    let samples = samples(&text);
    for (series, value) in [
        ("lane_batch_size_bucket{le=\"2.0\"}", "0"),
        ("lane_batch_size_bucket{le=\"4.0\"}", "1"),
        ("lane_batch_size_bucket{le=\"+Inf\"}", "2"),
        ("lane_batch_size_sum", "70003"),
        ("transfers_posted_total{result=\"posted\"}", "1"),
        ("transfers_posted_total{result=\"insufficient_funds\"}", "0"),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series}: {text}");
    }
}
