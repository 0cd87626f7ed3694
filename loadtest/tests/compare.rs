//! `loadtest compare` from outside: what it writes, what it refuses, and that it leaves nothing behind. Runs the
//! programs that `cargo test --workspace` builds beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use loadtest::comparison::Comparison;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A comparison whose scratch directories, and so whose processes, can be told from all others.
fn loadtest(scratch: &Path, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments.split_whitespace()).env("TMPDIR", scratch);
    command
}

/// No process has this directory in its environment, and nothing is in it. Waits for the guards of clusters, which clean
/// up once the tester has ended.
fn expect_nothing_left(scratch: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !processes(scratch).is_empty() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(processes(scratch), Vec::<String>::new(), "still running");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0, "files in {}", scratch.display());
}

/// The command lines of processes that were started with this directory for temporary files.
fn processes(scratch: &Path) -> Vec<String> {
    let mark = format!("TMPDIR={}", scratch.display());
    let started = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let process = entry.ok()?.path();
        let environ = fs::read(process.join("environ")).ok()?;
        let marked = environ.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes());
        marked.then(|| fs::read_to_string(process.join("cmdline")).unwrap_or_default().replace('\0', " "))
    });
    started.collect()
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
fn batches_are_counted_by_their_transfers() {
    let (scratch, results) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let json = results.path().join("c.json");
    let mut command =
        loadtest(scratch.path(), "compare --scenario batch --rounds 1 --duration 500ms --no-build");
    let output = command.arg("--json").arg(&json).output().unwrap();
    let [stdout, stderr] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "build the subjects with `cargo build --workspace`:\n{stderr}");
    assert!(stdout.contains("transfers/s"), "{stdout}");
    let comparison: Comparison = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    for name in ["ringledger", "ringledger-epoll", "axum", "axum-lane"] {
        let metrics = &comparison.subjects[name];
        assert!(metrics["errors"].hi < 1.0, "{name}: {:?}", comparison.warnings);
        let (batches, transfers) = (metrics["achieved_rps"].median, metrics["transfers_per_s"].median);
        assert!(
            batches > 0.0 && (transfers / batches - 1_000.0).abs() < 1e-6,
            "{name}: {transfers} {batches}"
        );
    }
    expect_nothing_left(scratch.path());
}

#[test]
fn an_interrupt_ends_the_subjects_too() {
    let scratch = TempDir::new().unwrap();
    interrupt(scratch.path(), "compare --scenario plaintext --subjects ringledger");
}

/// Ends a comparison in its second round.
fn interrupt(scratch: &Path, arguments: &str) {
    let mut command = loadtest(scratch, &format!("{arguments} --rounds 1000 --duration 50ms --no-build"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let said: Vec<_> = lines.by_ref().take_while(|line| !line.contains("round 1/1000")).collect();
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "build the subjects with `cargo build --workspace`: {said:?}");
    expect_nothing_left(scratch);
}

/// One for clusters: who runs them when this is root must get to it.
fn scratch_of_clusters() -> TempDir {
    let scratch = TempDir::new().unwrap();
    fs::set_permissions(scratch.path(), fs::Permissions::from_mode(0o711)).unwrap();
    scratch
}

#[test]
fn every_subject_has_a_postgres_cluster_of_its_own() {
    let (scratch, results) = (scratch_of_clusters(), TempDir::new().unwrap());
    let json = results.path().join("c.json");
    let mut command = loadtest(
        scratch.path(),
        "compare --scenario transfer-rate --rate 20 --store postgres --rounds 1 --duration 500ms --no-build",
    );
    let output = command.arg("--json").arg(&json).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "build the subjects with `cargo build --workspace`:\n{stderr}");
    let comparison: Comparison = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    for name in ["ringledger", "ringledger-epoll", "axum", "axum-lane", "axum-unordered"] {
        let metrics = &comparison.subjects[name];
        assert!(metrics["errors"].hi < 1.0, "{name}: {:?}", comparison.warnings);
        assert!(metrics["database.cpu_us_per_request"].median > 0.0, "{name}");
    }
    let environment = &comparison.environment;
    assert!(environment["store"].starts_with("Postgres 1"), "{environment:?}");
    for setting in ["shared_buffers 1GB", "fsync on", "synchronous_commit on"] {
        assert!(environment["Postgres settings"].contains(setting), "{environment:?}");
    }
    for option in ["--store postgres", "--rate 20 "] {
        assert!(comparison.command.contains(option), "{}", comparison.command);
    }
    expect_nothing_left(scratch.path());
}

#[test]
fn an_interrupt_ends_the_cluster_too() {
    let scratch = scratch_of_clusters();
    interrupt(scratch.path(), "compare --scenario hot --store postgres --subjects ringledger");
}

#[test]
fn what_cannot_be_compared_is_refused_with_2() {
    let scratch = TempDir::new().unwrap();
    for (arguments, reason) in [
        ("compare --scenario hot --rate 100", "none of these scenarios has a rate"),
        ("compare --scenario transfer --subjects ringledger,floor", "floor cannot take part in transfer"),
        ("compare --scenario batches", "no scenario is called \"batches\""),
        (
            "compare --scenario batch --store postgres --subjects axum-unordered",
            "axum-unordered cannot take part in batch",
        ),
    ] {
        let output = loadtest(scratch.path(), arguments).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments}: {stderr}");
        assert!(stderr.contains(reason), "{arguments}: {stderr}");
    }
    expect_nothing_left(scratch.path());
}
