//! `io_uring` taken away by a seccomp filter: what the server says and does, and what `doctor` blames; `doctor` and
//! `health` as people call them.

use std::thread;

use serde_json::Value;

use crate::support::{Ran, Server, forbid_rings, new_data, run};

/// Runs `action` where `io_uring_setup` answers with `errno`: the filter is the thread's and what it starts inherits
/// it, the other tests do without.
fn without_rings<T: Send + 'static>(errno: i32, action: impl FnOnce() -> T + Send + 'static) -> T {
    let filtered = thread::spawn(move || {
        forbid_rings(errno);
        action()
    });
    filtered.join().unwrap()
}

const FORBIDDEN: [(i32, &str); 2] =
    [(libc::EPERM, "io_uring is forbidden here"), (libc::ENOSYS, "io_uring is not to be had here")];

/// What ends in its way whatever the error number is.
const BLAME: &str = "a seccomp or container filter refuses it; allow the calls io_uring_setup, io_uring_enter and \
                     io_uring_register";

#[test]
fn auto_serves_by_epoll_and_says_why_and_what_to_do() {
    for (errno, words) in FORBIDDEN {
        without_rings(errno, move || {
            let server = Server::start_with(&["--io", "auto"]);
            let line = server.wait_for_line("I/O engine", std::time::Duration::from_secs(10));
            assert!(line.contains("epoll") && line.contains(words) && line.contains(BLAME), "{line}");
            let health = ask(&server, "/health");
            assert_eq!((health.code, &*health.stdout), (Some(0), "ok\n"), "{health:?}");
        });
    }
}

#[test]
fn uring_ends_with_the_same_words() {
    for (errno, words) in FORBIDDEN {
        let ran = without_rings(errno, || {
            let data = new_data();
            run(data.path(), &["serve", "--listen", "127.0.0.1:0", "--io", "uring"])
        });
        ran.fails(1);
        assert!(ran.stderr.contains(words) && ran.stderr.contains(BLAME), "{ran:?}");
    }
}

/// The report of `doctor --json` and its exit code.
fn report(arguments: &[&str]) -> (Option<i32>, Value) {
    let data = new_data();
    let ran = run(data.path(), &[&["doctor", "--json"], arguments].concat());
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let made: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
    assert!(made.is_empty(), "a report left {made:?}");
    (ran.code, report)
}

fn line<'a>(report: &'a Value, check: &str) -> &'a Value {
    let lines = report["checks"].as_array().unwrap();
    lines.iter().find(|line| line["check"] == check).unwrap_or_else(|| panic!("no {check}: {report:#}"))
}

#[test]
fn the_doctor_names_the_filter_and_not_the_kernel() {
    for (errno, _) in FORBIDDEN {
        let (code, report) = without_rings(errno, || report(&["--profile", "container"]));
        assert_eq!((code, &report["verdict"]), (Some(1), &Value::from("warnings")));
        assert_eq!(line(&report, "io_uring")["now"], "a seccomp or container filter refuses it");
        assert!(line(&report, "io_uring")["how"].as_str().unwrap().contains("io_uring_register"));
        assert_eq!(line(&report, "seccomp")["level"], "warning");
        assert_eq!(line(&report, "kernel")["level"], "ok");
    }
}

#[test]
fn every_line_of_the_doctor_says_what_why_and_how() {
    let (code, report) = report(&["--profile", "dev"]);
    let verdicts = [("ok", 0), ("warnings", 1), ("blocker", 2)];
    let expected = verdicts.iter().find(|(word, _)| report["verdict"] == *word).map(|(_, code)| *code);
    assert_eq!(code, expected);
    let lines = report["checks"].as_array().unwrap();
    assert!(lines.len() > 30, "{} checks", lines.len());
    for line in lines {
        for field in ["group", "check", "level", "now", "wanted", "why", "how", "source"] {
            assert!(!line[field].as_str().unwrap().is_empty(), "{field} of {line}");
        }
    }
}

#[test]
fn settings_that_are_wrong_are_a_blocker_and_the_rest_is_still_told() {
    let data = new_data();
    std::fs::write(data.path().join("c.yaml"), "limits: {body_bites: 1}").unwrap();
    let ran = run(data.path(), &["doctor", "--config", "c.yaml"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stdout.contains("body_bites") && ran.stdout.contains("net.core.somaxconn"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\x1b'), "colours in a pipe: {}", ran.stdout);
}

fn ask(server: &Server, path: &str) -> Ran {
    run(server.data(), &["health", "--url", &server.url(path)])
}

#[test]
fn health_fails_unless_the_answer_is_200() {
    let mut server = Server::start();
    assert_eq!(ask(&server, "/ready").ok(), "ok\n");
    assert!(ask(&server, "/nothing").fails(1).stderr.contains("404"));
    server.kill();
    ask(&server, "/ready").fails(1);
}
