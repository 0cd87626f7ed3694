//! `loadtest compare` from outside: what it writes, what it refuses, and that it leaves nothing behind. Runs the
//! programs that `cargo test --workspace` builds beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use loadtest::comparison::Comparison;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A comparison whose scratch directories, and so whose processes, can be told from all others.
fn loadtest(scratch: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments.split_whitespace()).env("TMPDIR", scratch);
    command
}

/// No process has this directory in its environment, and nothing is in it.
fn expect_nothing_left(scratch: &Path) {
    let mark = format!("TMPDIR={}", scratch.display());
    let environs = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let entry = entry.ok()?;
        Some((entry.file_name(), fs::read(entry.path().join("environ")).ok()?))
    });
    let left: Vec<_> = environs
        .filter(|(_, environ)| environ.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes()))
        .map(|(pid, _)| pid)
        .collect();
    assert!(left.is_empty(), "still running: {left:?}");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0, "files in {}", scratch.display());
}

#[test]
fn two_subjects_are_compared_and_nothing_is_left() {
    let (scratch, results) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [json, html] = ["c.json", "c.html"].map(|name| results.path().join(name));
    let mut command = loadtest(
        scratch.path(),
        "compare --scenario plaintext --subjects ringledger,floor --rounds 2 --duration 300ms --no-build",
    );
    let output = command.arg("--json").arg(&json).arg("--html").arg(&html).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "build the subjects with `cargo build --workspace`:\n{stderr}");
    assert!(stderr.contains("round 2/2 floor"), "{stderr}");
    assert!(stdout.contains("floor / ringledger"), "{stdout}");
    assert!(fs::read_to_string(html).unwrap().contains("plaintext"));

    let comparison: Comparison = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((comparison.scenario.as_str(), comparison.rounds), ("plaintext", 2));
    for name in ["ringledger", "floor"] {
        let metrics = &comparison.subjects[name];
        for metric in [
            "achieved_rps",
            "response_us.p50",
            "service_us.max",
            "server.cpu_us_per_request",
            "server.rss_mib",
        ] {
            let value = metrics[metric];
            assert!(
                value.median > 0.0 && value.lo <= value.median && value.median <= value.hi,
                "{metric} {value:?}"
            );
        }
        assert!(metrics["errors"].hi < 1.0, "{name}");
    }
    let ratios = &comparison.ratios["floor/ringledger"];
    assert!(ratios["server.rss_mib"].hi < 1.0, "a canned reply takes less memory than a ledger: {ratios:?}");
    assert!(comparison.environment["engine of ringledger"].starts_with("io_uring"));
    expect_nothing_left(scratch.path());
}

#[test]
fn several_scenarios_make_one_report() {
    let (scratch, results) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let [json, html, markdown] = ["c.json", "c.html", "c.md"].map(|name| results.path().join(name));
    let drawings = results.path().join("svg");
    let mut command = loadtest(
        scratch.path(),
        "compare --scenario ping1,json --subjects ringledger,floor --base floor --rounds 1 --duration 300ms --no-build",
    );
    command.arg("--json").arg(&json).arg("--html").arg(&html);
    let output = command.arg("--markdown").arg(&markdown).arg("--svg").arg(&drawings).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "build the subjects with `cargo build --workspace`:\n{stderr}");

    let comparisons: Vec<Comparison> = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    let names: Vec<_> = comparisons.iter().map(|comparison| comparison.scenario.as_str()).collect();
    assert_eq!(names, ["ping1", "json"]);
    assert!(comparisons.iter().all(|comparison| comparison.ratios.contains_key("ringledger/floor")));
    let [html, markdown] = [html, markdown].map(|path| fs::read_to_string(path).unwrap());
    for name in names {
        assert!(html.contains(&format!("id=\"scenario-{name}\"")), "{name}");
        assert!(markdown.contains(&format!("### {name}\n")), "{markdown}");
        for kind in ["percentiles", "intervals"] {
            let drawing = drawings.join(format!("{name}-{kind}.svg"));
            assert!(fs::read_to_string(&drawing).unwrap().starts_with("<svg"), "{}", drawing.display());
        }
    }
    expect_nothing_left(scratch.path());
}

#[test]
fn an_interrupt_ends_the_subjects_too() {
    let scratch = TempDir::new().unwrap();
    let mut command = loadtest(
        scratch.path(),
        "compare --scenario plaintext --subjects ringledger --rounds 1000 --duration 50ms --no-build",
    );
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<_> = lines.by_ref().take_while(|line| !line.contains("round 1/1000")).collect();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "build the subjects with `cargo build --workspace`: {said:?}");
    expect_nothing_left(scratch.path());
}

#[test]
fn what_cannot_be_compared_is_refused_with_2() {
    let scratch = TempDir::new().unwrap();
    for (arguments, reason) in [
        ("compare --scenario hot --store postgres", "no Postgres store yet"),
        ("compare --scenario transfer --subjects ringledger,floor", "floor cannot take part in transfer"),
        ("compare --scenario batch", "no scenario is called \"batch\""),
    ] {
        let output = loadtest(scratch.path(), arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {stderr}");
        assert!(stderr.contains(reason), "{arguments}: {stderr}");
    }
    expect_nothing_left(scratch.path());
}
