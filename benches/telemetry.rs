//! What is noted of each request: `cargo bench --bench telemetry`.
//!
//! `request_id` makes an id. `access_line` formats a line and, once in some 500, hands the buffer to the log's
//! writer. `count` takes a request into the gauge, out of it and into its histogram. `request_id` looks at the clock,
//! which a request does once or twice for all of them. `render` writes out what a scrape asks for.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use ringledger::api::routes;
use ringledger::app::build::BUILD;
use ringledger::telemetry::access::{Line, Sampling};
use ringledger::telemetry::logging::{self, Format};
use ringledger::telemetry::metrics::{Format as Text, Metrics, RowLabels, Subject};
use ringledger::telemetry::{DroppedLines, request_id};

// The allocator of the binary: the writer is given buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DURATION: Duration = Duration::from_micros(118);

fn make_request_id(criterion: &mut Criterion) {
    criterion.bench_function("telemetry/request_id", |bench| {
        let mut buffer = [0; request_id::MADE_BYTES];
        bench.iter(|| {
            black_box(request_id::take_or_make(None, Instant::now(), &mut buffer));
        });
    });
}

fn record_line(criterion: &mut Criterion) {
    let log = logging::start_to(io::sink(), Format::Json, "info", None, || ()).expect("a log");
    let lines = log.access_lines(0, Sampling::All);
    let mut line = Line {
        id: "01a2053a-6f78-7282-a685-d3162f6f7057",
        trace: None,
        method: "GET",
        route: Some("/api/v1/accounts/{id}"),
        status: 200,
        duration: DURATION,
        at: Instant::now(),
    };
    criterion.bench_function("telemetry/access_line", |bench| {
        bench.iter(|| {
            // No two requests end at one moment.
            line.at += Duration::from_nanos(1);
            lines.record(black_box(&line));
        });
    });
    assert_eq!(log.dropped_lines(), 0, "the writer did not keep up, and dropping is cheap");
}

fn count(criterion: &mut Criterion) {
    let rows = routes::labels(true);
    let row = rows.iter().position(|row| row.route == "/api/v1/accounts/{id}");
    let (_metrics, tallies) = Metrics::new(subject(rows, 1));
    let tally = &tallies[0];
    criterion.bench_function("telemetry/count", |bench| {
        bench.iter(|| {
            let _in_flight = tally.request_begins();
            tally.answered(black_box(row), black_box(200), black_box(DURATION));
        });
    });
}

fn subject(rows: Vec<RowLabels>, cores: usize) -> Subject {
    Subject {
        build: BUILD,
        rows,
        cores: (0..cores).map(|core| core.to_string()).collect(),
        results: &[],
        dropped_lines: DroppedLines::default(),
    }
}

/// Every row of two cores with three statuses each, which is 150 series of requests and 6,500 lines.
fn render(criterion: &mut Criterion) {
    let rows = routes::labels(true);
    let (metrics, tallies) = Metrics::new(subject(rows.clone(), 2));
    for tally in &tallies {
        for (row, status) in (0..rows.len()).flat_map(|row| [200, 401, 422].map(|status| (row, status))) {
            tally.answered(Some(row), status, DURATION);
        }
    }
    criterion.bench_function("telemetry/render", |bench| bench.iter(|| metrics.render(Text::OpenMetrics)));
}

criterion_group!(benches, make_request_id, record_line, count, render);
criterion_main!(benches);
