use std::sync::mpsc::Receiver;
use std::time::Instant;

use serde_json::{Value, json};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::super::log_writer::tests::observed;
use super::super::log_writer::{LineWriter, WriterThread};
use super::*;

fn line() -> Line<'static> {
    Line {
        id: "01a2053a-6f78-7282-a685-d3162f6f7057",
        trace: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        method: "GET",
        route: Some("/api/v1/accounts/{id}"),
        status: 200,
        duration: Duration::from_micros(118),
        at: Instant::now(),
    }
}

const JSON: Style = Style::Json;
const HUMAN: Style = Style::Human { color: false };

/// Lines of core 3 whose log can be read.
fn lines(style: Style, sampling: Sampling) -> (AccessLines, WriterThread, Receiver<Vec<u8>>) {
    let (queue, thread, written) = observed();
    let admission = Arc::new(Admission(AtomicBool::new(true)));
    (AccessLines::new(queue, admission, style, 3, sampling), thread, written)
}

fn record_all(lines: &AccessLines, statuses: impl IntoIterator<Item = u16>) {
    statuses.into_iter().for_each(|status| lines.record(&Line { status, ..line() }));
}

/// What the log holds once the lines and the writer have ended.
fn read((lines, thread, written): (AccessLines, WriterThread, Receiver<Vec<u8>>)) -> String {
    drop(lines);
    drop(thread);
    String::from_utf8(written.iter().collect::<Vec<_>>().concat()).unwrap()
}

/// The line that `tracing` writes of an event with the same fields.
fn by_tracing(style: Style, line: &Line<'_>) -> String {
    let (queue, thread, written) = observed();
    let layer = tracing_subscriber::fmt::layer().with_writer(LineWriter(queue));
    let layer = match style {
        Style::Human { color } => layer.with_ansi(color).boxed(),
        Style::Json => layer.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
        tracing::info!(
            target: TARGET,
            request_id = %line.id,
            trace_id = line.trace.map(display),
            method = %line.method,
            route = line.route.map(display),
            status = line.status,
            duration_us = duration_us(line.duration),
            core = 3,
        );
    });
    drop(thread);
    String::from_utf8(written.iter().collect::<Vec<_>>().concat()).unwrap()
}

fn duration_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

/// A line of each shape: with and without what may be absent, and with text that needs escapes.
fn shapes() -> [Line<'static>; 3] {
    let odd = Line { method: "a|`b'", id: "A-1_.z", duration: Duration::from_hours(1), ..line() };
    [line(), Line { trace: None, route: None, status: 404, ..line() }, odd]
}

#[test]
fn a_line_is_one_flat_object() {
    let rest = |line: &Line<'_>| {
        let ours = lines(JSON, Sampling::All);
        ours.0.record(line);
        read(ours).split_once("Z\",").unwrap().1.to_owned()
    };
    assert_eq!(
        rest(&line()),
        "\"level\":\"INFO\",\"request_id\":\"01a2053a-6f78-7282-a685-d3162f6f7057\",\
         \"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"method\":\"GET\",\
         \"route\":\"/api/v1/accounts/{id}\",\"status\":200,\"duration_us\":118,\"core\":3,\
         \"target\":\"ringledger::access\"}\n"
    );
    assert_eq!(
        rest(&Line { id: "a", trace: None, route: None, status: 404, ..line() }),
        "\"level\":\"INFO\",\"request_id\":\"a\",\"method\":\"GET\",\"status\":404,\"duration_us\":118,\
         \"core\":3,\"target\":\"ringledger::access\"}\n"
    );
}

/// What else is in the log has the same envelope.
#[test]
fn lines_are_those_of_tracing() {
    for style in [JSON, HUMAN] {
        for line in shapes() {
            let ours = lines(style, Sampling::All);
            ours.0.record(&line);
            let (ours, theirs) = (read(ours), by_tracing(style, &line));
            let stamp_ends = |text: &str| text.find('Z').unwrap();
            assert_eq!(stamp_ends(&ours), stamp_ends(&theirs), "{ours}{theirs}");
            assert_eq!(ours[stamp_ends(&ours)..], theirs[stamp_ends(&theirs)..]);
        }
    }
}

#[test]
fn one_line_does_not_repeat_the_one_before() {
    let line = Line { trace: None, ..line() };
    let other_status = Line { status: 404, ..line };
    let other_route = Line { route: Some("/health"), ..line };
    let other_method = Line { method: "POST", ..line };
    let all = [line, other_route, other_status, line, other_method, Line { route: None, ..line }, line];
    let ours = lines(JSON, Sampling::All);
    for line in &all {
        ours.0.record(line);
    }
    let (ours, theirs) = (read(ours), all.map(|line| by_tracing(JSON, &line)).concat());
    let ends =
        |text: &str| text.lines().map(|line| line[line.find('Z').unwrap()..].to_owned()).collect::<Vec<_>>();
    assert_eq!(ends(&ours), ends(&theirs));
}

/// Every part of a line is its own, whatever the one before had in the same place.
#[test]
fn a_line_tells_its_own_time_and_id() {
    let (made, longest) = ("01a2053a-6f78-7282-a685-d3162f6f7057", "x".repeat(128));
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let moments = [
        (Duration::new(1_770_091_506, 7_999), "2026-02-03T04:05:06.000007Z"),
        (Duration::new(1_770_091_506, 999_999_999), "2026-02-03T04:05:06.999999Z"),
        (Duration::new(1_770_091_507, 0), "2026-02-03T04:05:07.000000Z"),
        (Duration::new(1_770_091_506, 120_000_000), "2026-02-03T04:05:06.120000Z"),
        (Duration::new(1 << 40, 5_000), "1970-01-01T00:00:00.000005Z"),
    ];
    let json = |time: &str, id: &str, trace: Option<&str>| {
        let trace = trace.map(|trace| format!("\"trace_id\":\"{trace}\",")).unwrap_or_default();
        format!(
            "{{\"timestamp\":\"{time}\",\"level\":\"INFO\",\"request_id\":\"{id}\",{trace}\"method\":\"GET\",\
             \"route\":\"/api/v1/accounts/{{id}}\",\"status\":200,\"duration_us\":118,\"core\":3,\
             \"target\":\"ringledger::access\"}}\n"
        )
    };
    let human = |[dim, green, plain]: [&str; 3], time: &str, id: &str, trace: Option<&str>| {
        let trace = trace.map(|trace| format!(" trace_id={trace}")).unwrap_or_default();
        format!(
            "{dim}{time}{plain} {green} INFO{plain} {dim}ringledger::access:{plain} request_id={id}{trace} \
             method=GET route=/api/v1/accounts/{{id}} status=200 duration_us=118 core=3\n"
        )
    };
    for style in [JSON, HUMAN, Style::Human { color: true }] {
        let (mut format, mut out) = (LineFormat::new(style, 3), Vec::new());
        let codes = if style == HUMAN { [""; 3] } else { ["\x1b[2m", "\x1b[32m", "\x1b[0m"] };
        for (since_epoch, time) in moments {
            for (id, trace) in [(made, None), ("a", None), (made, Some(trace)), (&longest, Some(trace))] {
                let before = out.len();
                format.append(&Line { id, trace, ..line() }, since_epoch, &mut out);
                let expected =
                    if style == JSON { json(time, id, trace) } else { human(codes, time, id, trace) };
                assert_eq!(String::from_utf8_lossy(&out[before..]), expected);
            }
        }
    }
}

#[test]
fn a_few_lines_wait_in_a_small_buffer() {
    let (queue, thread, written) = observed();
    let admission = Arc::new(Admission(AtomicBool::new(true)));
    let lines = AccessLines::new(queue, admission, JSON, 3, Sampling::All);
    lines.record(&line());
    lines.flush();
    drop(thread);
    let text = written.recv().unwrap();
    assert!(text.capacity() < 2 * text.len(), "{} bytes hold {}", text.capacity(), text.len());
}

#[test]
fn values_cannot_break_out_of_json() {
    let ours = lines(JSON, Sampling::All);
    ours.0.record(&Line { method: "\"\\\n\u{1}ä", ..line() });
    let text = read(ours);
    let line: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(line["method"], json!("\"\\\n\u{1}ä"));
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn color_marks_a_line_without_changing_it() {
    let [colored, bare] = [true, false].map(|color| {
        let ours = lines(Style::Human { color }, Sampling::All);
        ours.0.record(&line());
        read(ours)
    });
    let stripped =
        ["\x1b[2m", "\x1b[32m", "\x1b[0m"].iter().fold(colored.clone(), |text, code| text.replace(code, ""));
    assert!(colored.contains("\x1b[32m INFO\x1b[0m"));
    assert_eq!(stripped.split_once('Z').unwrap().1, bare.split_once('Z').unwrap().1);
}

#[test]
fn the_filter_holds_for_access_lines() {
    for (directives, passes) in [
        ("info", true),
        ("warn", false),
        ("off,ringledger::access=info", true),
        ("info,ringledger::access=off", false),
        ("info,ringledger=warn", false),
    ] {
        let ours = lines(JSON, Sampling::All);
        let filter: Targets = directives.parse().unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
            ours.0.admission.ask();
            ours.0.record(&line());
        });
        assert_eq!(read(ours).lines().count(), usize::from(passes), "{directives}");
    }
}

#[test]
fn sampling_chooses_requests() {
    let statuses = || (0..250).map(|nth| if nth % 50 == 7 { 500 } else { 200 });
    let counts = [Sampling::All, Sampling::OneInHundred, Sampling::Errors, Sampling::Off].map(|sampling| {
        let ours = lines(HUMAN, sampling);
        record_all(&ours.0, statuses());
        let text = read(ours);
        (text.lines().count(), text.lines().filter(|line| line.contains("status=500")).count())
    });
    assert_eq!(counts, [(250, 5), (3 + 5, 5), (5, 5), (0, 0)]);
}

#[test]
fn full_buffers_go_to_the_writer_by_themselves() {
    let ours = lines(JSON, Sampling::All);
    record_all(&ours.0, std::iter::repeat_n(200, 1_000));
    let handed_over = String::from_utf8(ours.2.recv().unwrap()).unwrap();
    assert!((BUFFER_BYTES..BUFFER_BYTES + 512).contains(&handed_over.len()), "{}", handed_over.len());
    assert!(handed_over.ends_with("}\n"));
    let rest = read(ours);
    assert_eq!(handed_over.lines().count() + rest.lines().count(), 1_000);
}

#[test]
fn lines_that_the_writer_refuses_are_counted() {
    let (lines, thread, written) = lines(JSON, Sampling::All);
    drop(thread);
    // The writer has ended once its side of the channel has.
    assert_eq!(written.iter().count(), 0);
    record_all(&lines, [200, 200, 404]);
    assert_eq!(lines.queue.dropped().count(), 0);
    lines.flush();
    assert_eq!(lines.queue.dropped().count(), 3);
}

#[tokio::test]
async fn a_lone_line_is_written_in_time() {
    let (lines, _thread, written) = lines(JSON, Sampling::All);
    let (tell, arrival) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || tell.send(written.recv()));
    record_all(&lines, [200]);
    let text = tokio::select! {
        arrived = arrival => arrived.unwrap().unwrap(),
        never = lines.keep_flushed() => match never {},
    };
    assert_eq!(String::from_utf8(text).unwrap().lines().count(), 1);
}
