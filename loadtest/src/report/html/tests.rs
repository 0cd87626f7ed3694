//! Pages of made-up figures, read back.

use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;
use crate::comparison::{Interval, Plot};

/// Elements without an end tag (HTML standard, 13.1.2).
const VOID: [&str; 3] = ["meta", "input", "br"];
/// What the report of everything may weigh: about 27 KiB a scenario of seven subjects, most of it in the two tables.
const PAGE_BYTES: usize = 400 * 1024;

const SUBJECTS: [(&str, f64); 7] = [
    ("ringledger", 1.0),
    ("ringledger-spin", 0.8),
    ("ringledger-epoll", 1.04),
    ("axum", 2.3),
    ("axum-lane", 1.9),
    ("axum-bare", 1.1),
    ("floor", 0.9),
];

fn around(median: f64) -> Interval {
    Interval { median, lo: median * 0.97, hi: median * 1.04 }
}

/// A distribution with a tail, at the percentiles that a comparison keeps.
fn tail(factor: f64) -> Vec<(f64, f64)> {
    const KEPT: [f64; 20] = [
        0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9,
        99.95, 99.99, 99.995, 99.999,
    ];
    let time = |n: f64| factor * (60.0 + 25.0 * n + (n * factor).powi(4) * (1.1 + (n * 9.0).sin() / 9.0));
    KEPT.iter().map(|percentile| (*percentile, time(-(1.0 - percentile / 100.0).log10()))).collect()
}

fn timeline(factor: f64) -> Vec<Moment> {
    let wave = |s: f64| 1.0 + (s * 1.7 + factor * 3.0).sin() / 20.0;
    (0_u32..6)
        .map(f64::from)
        .map(|at_s| Moment {
            at_s,
            ok_per_s: 120_000.0 / factor * wave(at_s),
            p50_us: 70.0 * factor * wave(at_s),
            p99_us: 400.0 * factor.powi(3) * wave(at_s * 2.0),
        })
        .collect()
}

fn metrics(factor: f64) -> BTreeMap<String, Interval> {
    let value = [
        ("achieved_rps", 120_345.6 / factor),
        ("client_cpu_share", 0.93),
        ("client_limited", 0.0),
        ("dropped", 0.0),
        ("errors", 0.0),
        ("ok", 601_728.0 / factor),
        ("pacer_late_us.p99", 12.0),
        ("response_us.max", 22_345.0 * factor),
        ("response_us.p50", 70.2 * factor),
        ("response_us.p90", 120.5 * factor),
        ("response_us.p99", 423.0 * factor.powi(3)),
        ("response_us.p999", 2_345.0 * factor.powi(3)),
        ("server.context_switches_per_request", 0.03 * factor),
        ("server.cpu_us_per_request", 6.4 * factor),
        ("server.rss_mib", 21.5 * factor),
        ("server.syscalls_per_request", 0.08 * factor.powi(4)),
        ("service_us.max", 22_000.0 * factor),
        ("service_us.p50", 60.0 * factor),
        ("service_us.p90", 110.0 * factor),
        ("service_us.p99", 400.0 * factor),
        ("service_us.p999", 2_300.0 * factor),
    ];
    value.into_iter().map(|(name, v)| (name.to_owned(), around(v))).collect()
}

fn sample(scenario: &str) -> Comparison {
    let ratios = |factor: f64| {
        let compared = |name: &String| {
            !["client_cpu_share", "client_limited", "dropped", "errors", "ok"].contains(&name.as_str())
        };
        metrics(factor).into_iter().filter(move |(name, _)| compared(name)).map(move |(name, i)| {
            let base = metrics(1.0)[&name].median;
            (name, Interval { median: i.median / base, lo: i.lo / base, hi: i.hi / base })
        })
    };
    Comparison {
        scenario: scenario.to_owned(),
        about: "64 connections ask for a short text, as fast as they get it (closed loop).".to_owned(),
        rounds: 5,
        duration_s: 5.0,
        command: format!(
            "cargo run --release -p loadtest -- compare --scenario {scenario} --rounds 5 --duration 5s"
        ),
        environment: [
            ("kernel", "6.1.0-18-amd64 SMP PREEMPT_DYNAMIC"),
            ("cpu", "Some Vendor CPU @ 2.60GHz, 2 cores"),
            ("mitigations", "spectre_v2: IBRS; meltdown: not affected; mds: cleared buffers"),
            ("load at start", scenario),
        ]
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .into(),
        abouts: SUBJECTS
            .map(|(name, _)| {
                (
                    name.to_owned(),
                    format!("What {name} is, with its runtime and its layers, said in one sentence."),
                )
            })
            .into(),
        subjects: SUBJECTS.map(|(name, factor)| (name.to_owned(), metrics(factor))).into(),
        ratios: SUBJECTS[1..]
            .iter()
            .map(|(name, factor)| (format!("{name}/ringledger"), ratios(*factor).collect()))
            .collect(),
        plots: SUBJECTS
            .map(|(name, factor)| {
                (name.to_owned(), Plot { percentiles: tail(factor), timeline: timeline(factor) })
            })
            .into(),
        warnings: vec!["axum: 3 replies had another status than 200 in round 2".to_owned()],
    }
}

fn sample_run() -> RunPage {
    RunPage {
        title: "GET http://127.0.0.1:8080/plaintext".to_owned(),
        command:
            "loadtest run --url http://127.0.0.1:8080/plaintext --connections 64 --rate 20000 --duration 30s"
                .to_owned(),
        environment: [("kernel".to_owned(), "6.1.0".to_owned())].into(),
        offered_rps: Some(20_000.0),
        achieved_rps: 19_998.4,
        counts: vec![("Successes".to_owned(), 599_952), ("Errors".to_owned(), 48), ("Dropped".to_owned(), 0)],
        response_us: tail(1.7).into_iter().chain([(100.0, 90_000.0)]).collect(),
        service_us: tail(1.0).into_iter().chain([(100.0, 30_000.0)]).collect(),
        timeline: timeline(1.0),
        warnings: vec!["48 requests failed".to_owned()],
    }
}

/// All text and attribute values of a document that is well-formed; panics where it is not.
fn read_back(document: &str) -> String {
    let mut reader = Reader::from_str(document);
    reader.config_mut().check_end_names = false;
    let (mut open, mut found) = (Vec::new(), String::new());
    loop {
        match reader.read_event().unwrap() {
            Event::Start(tag) => {
                let name = tag.name().as_ref().to_owned();
                for attribute in tag.html_attributes() {
                    found +=
                        &attribute.unwrap().normalized_value(quick_xml::XmlVersion::Explicit1_0).unwrap();
                    found.push('\n');
                }
                if !VOID.contains(&name.as_str()) {
                    open.push(name);
                }
            }
            Event::End(tag) => assert_eq!(open.pop().as_deref(), Some(tag.name().as_ref())),
            Event::Text(text) => found += &text,
            Event::GeneralRef(entity) => {
                found += &quick_xml::escape::unescape(&format!("&{};", &*entity)).unwrap();
            }
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    found
}

/// With `LOADTEST_HTML_DIR` set, the documents are also written there, to be looked at in a browser.
#[test]
fn pages_and_drawings_are_well_formed() {
    let (one, several) = (sample("plaintext"), ["plaintext", "mixed", "hot"].map(sample));
    let documents = [
        ("comparison.html", comparison(&several)),
        ("one.html", comparison(std::slice::from_ref(&one))),
        ("none.html", comparison(&[])),
        ("run.html", run(&sample_run())),
        ("empty-run.html", run(&RunPage::default())),
        ("percentiles.svg", svg_percentiles(&one).unwrap()),
        ("intervals.svg", svg_intervals(&one, "response_us.p99").unwrap()),
    ];
    for (name, document) in documents {
        if let Some(directory) = std::env::var_os("LOADTEST_HTML_DIR") {
            std::fs::write(std::path::Path::new(&directory).join(name), &document).unwrap();
        }
        read_back(&document);
    }
    assert_eq!(svg_intervals(&one, "no_such_metric"), None);
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    for page in [comparison(&[sample("plaintext"), sample("mixed")]), run(&sample_run())] {
        for start in ["src=", "@import", "url(", "<link", "fetch(", "href=\"http"] {
            assert!(!page.contains(start), "{start}");
        }
    }
    let drawing = svg_percentiles(&sample("plaintext")).unwrap();
    assert_eq!(drawing.matches("http").count(), 1, "the namespace alone");
}

#[test]
fn the_report_of_everything_stays_small() {
    let scenarios: Vec<_> = crate::scenario::SCENARIOS.iter().map(|scenario| sample(scenario.name)).collect();
    let page = comparison(&scenarios);
    let bytes = page.len();
    if let Some(directory) = std::env::var_os("LOADTEST_HTML_DIR") {
        std::fs::write(std::path::Path::new(&directory).join("everything.html"), &page).unwrap();
    }
    assert!(bytes < PAGE_BYTES, "{bytes} bytes");
}

#[test]
fn a_page_says_what_was_found() {
    let page = read_back(&comparison(&[sample("plaintext"), sample("mixed")]));
    for text in [
        "120,346/s",
        "no difference shown",
        "2.3 times as much",
        "12 times as long",
        "axum: 3 replies had another status",
        "--scenario mixed --rounds 5",
        "What floor is",
        "spectre_v2: IBRS",
        "×2.30 (2.23–2.39)",
    ] {
        assert!(page.contains(text), "{text}");
    }
}

#[test]
fn what_did_not_happen_has_no_row() {
    let mut one = sample("plaintext");
    assert!(!comparison(&[one.clone()]).contains("<code>errors"));
    one.subjects.get_mut("axum").unwrap().insert("errors".to_owned(), around(3.0));
    assert!(comparison(&[one]).contains("<code>errors"));
}

#[test]
fn subjects_without_plots_or_metrics_do_no_harm() {
    let mut bare = sample("start");
    bare.plots.clear();
    bare.subjects.insert("another".to_owned(), [("start_ms".to_owned(), around(f64::NAN))].into());
    read_back(&comparison(&[bare.clone()]));
    assert_eq!(svg_percentiles(&bare), None);
}

proptest! {
    #[test]
    fn whatever_comes_in_comes_out_as_text(text in "[ -~äµ\u{0}\u{1b}\u{fffe}]{0,40}|</?(script|style|svg|td)>|\"'>&lt;") {
        let mut hostile = sample("plaintext");
        let value = Interval { median: 1.0, lo: 1.0, hi: 1.0 };
        hostile.warnings.push(text.clone());
        hostile.abouts.insert(text.clone(), text.clone());
        hostile.environment.insert(text.clone(), text.clone());
        hostile.subjects.insert(text.clone(), [(text.clone(), value)].into());
        hostile.plots.insert(text.clone(), Plot { percentiles: tail(1.0), timeline: timeline(1.0) });
        for field in [&mut hostile.scenario, &mut hostile.about, &mut hostile.command] {
            field.clone_from(&text);
        }
        let shown = legal(PreEscaped(text.clone()));
        for document in [comparison(&[hostile.clone()]), svg_percentiles(&hostile).unwrap()] {
            prop_assert!(read_back(&document).contains(&shown));
            prop_assert!(!document.chars().any(|c| c.is_control() && c != '\n' && c != '\t' && c != '\r'));
        }
        let page = run(&RunPage { title: text.clone(), command: text.clone(), ..sample_run() });
        prop_assert!(read_back(&page).contains(&shown));
    }
}
