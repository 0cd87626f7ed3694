//! `loadtest run` from outside: what it writes, what it refuses, and what it ends with. The servers are scripted.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod server;

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use loadtest::report::RunReport;
use rustix::process::{Resource, getrlimit};
use server::{Answer, reply, serve};
use tempfile::TempDir;

fn loadtest(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.arg("run").args(arguments.split_whitespace());
    command
}

/// Heads and bodies.
type Requests = Arc<Mutex<Vec<(String, String)>>>;

/// A short closed loop on `address`; what a test adds comes behind.
fn closed(address: SocketAddr, duration: &str) -> Command {
    loadtest(&format!("--url http://{address}/ --connections 2 --closed --duration {duration}"))
}

/// Exit code, standard output, standard error.
fn end(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// Keeps the head and the body of each request and answers with 200.
fn recorder() -> (SocketAddr, Requests) {
    let requests = Requests::default();
    let kept = Arc::clone(&requests);
    let address = serve(move |head, body| {
        kept.lock().unwrap().push((head.to_owned(), String::from_utf8(body.to_vec()).unwrap()));
        reply(200)
    });
    (address, requests)
}

#[test]
fn a_run_without_errors_ends_with_0_and_prints_a_table() {
    let address = serve(|_, _| reply(200));
    let (code, stdout, stderr) = end(&mut closed(address, "100ms"));
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for part in ["closed loop, 2 connections, depth 1", "response       service", "errors 0, dropped 0"] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
}

#[test]
fn errors_end_with_1_and_are_told_by_cause() {
    for (answer, cause) in [
        ((|| reply(503)) as fn() -> Answer, "other status"),
        (|| Answer::End, "reset"),
        (|| Answer::Silence, "timeout"),
    ] {
        let address = serve(move |_, _| answer());
        let (code, stdout, _) = end(closed(address, "100ms").args(["--timeout", "50ms"]));
        assert_eq!(code, Some(1), "{stdout}");
        assert!(stdout.contains(cause), "{cause}: {stdout}");
        assert!(stdout.contains("  ok 0, "), "{stdout}");
    }
}

#[test]
fn the_expected_status_is_a_success() {
    let address = serve(|_, _| reply(404));
    assert_eq!(end(closed(address, "50ms").args(["--expect", "404"])).0, Some(0));
}

#[test]
fn a_server_that_is_not_there_ends_with_1() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (code, stdout, stderr) = end(&mut closed(address, "50ms"));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains(&format!("no connection to {address}")), "{stderr}");
}

#[test]
fn what_is_no_command_line_ends_with_2() {
    let closed = "--closed --connections 1 --duration 1s";
    for (arguments, reason) in [
        (format!("--url https://a/ {closed}"), "`https://a/` is no URL"),
        (format!("--url http:// {closed}"), "`http://` is no URL"),
        (format!("--url http://127.0.0.1:1/ {closed} --header nonsense"), "`nonsense` is no header"),
        (format!("--url http://127.0.0.1:1/ {closed} --header :a"), "cannot carry"),
        (format!("--url http://127.0.0.1:1/ {closed} --method G\u{1}"), "cannot carry"),
        (format!("--url http://127.0.0.1:1/ {closed} --rate 1"), "cannot be used with"),
        (format!("--url http://127.0.0.1:1/ {closed} --timeout x"), "invalid value"),
        ("--url http://127.0.0.1:1/ --connections 1 --duration 1s".to_owned(), "required"),
        ("--url http://127.0.0.1:1/ --closed --connections 0 --duration 1s".to_owned(), "no connections"),
        (
            "--url http://127.0.0.1:1/ --rate 0 --connections 1 --duration 1s".to_owned(),
            "the rate is not above 0",
        ),
        (
            "--url http://127.0.0.1:1/ --rate 1 --poisson --depth 2 --connections 1 --duration 1s".to_owned(),
            "--closed",
        ),
    ] {
        let (code, stdout, stderr) = end(&mut loadtest(&arguments));
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments}: {stderr}");
        assert!(stderr.contains(reason), "{arguments}: {stderr}");
    }
}

#[test]
fn a_file_that_cannot_be_read_or_written_ends_with_1_and_its_name() {
    let address = serve(|_, _| reply(200));
    for option in ["--body-file", "--json", "--hgrm", "--html"] {
        let (code, _, stderr) = end(closed(address, "20ms").args([option, "/nowhere/file"]));
        assert_eq!(code, Some(1), "{option}");
        assert!(stderr.contains("/nowhere/file"), "{option}: {stderr}");
    }
}

#[test]
fn headers_and_a_body_are_sent_with_a_key_of_their_own_each() {
    let directory = TempDir::new().unwrap();
    let body = directory.path().join("body.json");
    fs::write(&body, r#"{"key": "{unique}"}"#).unwrap();
    let (address, requests) = recorder();
    let mut command = closed(address, "50ms");
    command.args([
        "--method",
        "PUT",
        "--header",
        "X-Time:  12:30 ",
        "--header",
        "Accept: a/b",
        "--body-file",
    ]);
    let (code, stdout, stderr) = end(command.arg(&body));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let requests = requests.lock().unwrap();
    for (head, body) in requests.iter() {
        assert!(head.starts_with("PUT / HTTP/1.1\r\n"), "{head}");
        for line in [format!("Host: {address}"), "X-Time: 12:30".to_owned(), "Accept: a/b".to_owned()] {
            assert!(head.lines().any(|each| each == line), "{line} in {head}");
        }
        assert!(body.starts_with(r#"{"key": ""#) && !body.contains("unique"), "{body}");
    }
    assert!(requests.len() > 1);
    assert_eq!(requests.iter().map(|(_, body)| body).collect::<HashSet<_>>().len(), requests.len());
}

#[test]
fn reports_are_written_as_json_hgrm_and_html() {
    let address = serve(|_, _| reply(200));
    let directory = TempDir::new().unwrap();
    let [json, hgrm, html] = ["r.json", "r.hgrm", "r.html"].map(|name| directory.path().join(name));
    let mut command =
        loadtest(&format!("--url http://{address}/ --connections 2 --rate 500 --poisson --duration 300ms"));
    command.args(["--header", "Authorization: Bearer secret"]);
    command.arg("--json").arg(&json).arg("--hgrm").arg(&hgrm).arg("--html").arg(&html);
    let (code, _, stderr) = end(&mut command);
    assert_eq!(code, Some(0), "{stderr}");

    let report: RunReport = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
    assert_eq!((report.offered_rps, report.errors), (Some(500.0), 0));
    assert!(report.ok > 0 && report.response_us.p50.is_some(), "{report:?}");
    let hgrm = fs::read_to_string(hgrm).unwrap();
    let total = hgrm.lines().find(|line| line.starts_with("#[Max")).unwrap();
    assert!(total.trim_end_matches(']').ends_with(&format!(" {}", report.ok)), "{total}, ok {}", report.ok);
    let page = fs::read_to_string(html).unwrap();
    assert!(page.contains("500/s Poisson") && page.contains("--poisson"), "{page}");
    assert!(!page.contains("secret"), "a page that is passed on holds no token");
}

#[test]
fn progress_in_a_pipe_is_a_line_now_and_then() {
    let address = serve(|_, _| reply(200));
    let (code, _, stderr) = end(closed(address, "5200ms").args(["--warm-up", "10ms"]));
    assert_eq!(code, Some(0));
    assert_eq!(stderr, "run: 5 s of 5 s\n");
}

/// Started with a soft limit of open files that the connections do not fit under, where the hard one lets them.
#[test]
fn the_limit_of_open_files_is_raised() {
    assert!(
        getrlimit(Resource::Nofile).maximum.is_none_or(|hard| hard >= 256),
        "the host allows too few files"
    );
    let address = serve(|_, _| reply(200));
    let run = format!("--url http://{address}/ --connections 100 --closed --duration 50ms");
    let script = format!("ulimit -Sn 50; exec \"$0\" run {run}");
    let mut command = Command::new("sh");
    let (code, stdout, stderr) = end(command.args(["-c", &script, env!("CARGO_BIN_EXE_loadtest")]));
    assert_eq!(code, Some(0), "{stdout}{stderr}");
}
