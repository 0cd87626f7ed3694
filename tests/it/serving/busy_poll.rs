//! How a worker waits: asleep, or turning (`runtime.busy_poll`).

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{LATE, assert_usable, rested};
use crate::support::{
    BAD_CONFIGURATION, Server, ledger_command, new_data, on_both_engines, run_command, wait_until,
};

const KEY: &str = "runtime.busy_poll";
/// How long an idle server is watched.
const WATCHED: Duration = Duration::from_secs(1);
/// The most CPU time of a server that sleeps: a fifth of one core.
const ASLEEP_BELOW: Duration = Duration::from_millis(200);
/// CPU time that no server that sleeps uses so soon, and that one that turns gets even from a crowded machine.
const TURNING: Duration = Duration::from_millis(300);
const TURNING_WITHIN: Duration = Duration::from_secs(10);

on_both_engines!(
    adaptive_serves_and_sleeps_when_idle,
    adaptive_turns_between_requests,
    always_turns_serves_and_drains,
    always_on_every_core_is_refused,
);

/// Cores of the machine, whichever of them the tests may use.
fn cores() -> usize {
    let is_core = |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| !rest.starts_with(' '));
    std::fs::read_to_string("/proc/stat").unwrap().lines().filter(is_core).count()
}

/// CPU time of an idle server.
fn idle_cpu_time(server: &Server) -> Duration {
    let before = server.process().cpu_time();
    sleep(WATCHED);
    server.process().cpu_time_since(before)
}

fn adaptive_serves_and_sleeps_when_idle(engine: &str) {
    let mut server = Server::start_set(&["--io", engine], &[(KEY, "adaptive")]);
    let mut connection = rested(&server);
    let used = idle_cpu_time(&server);
    assert!(used < ASLEEP_BELOW, "{used:?} of CPU time in {WATCHED:?}");
    assert_usable(&mut connection);
    server.terminate();
    assert_eq!(server.wait(LATE).code(), Some(0));
}

fn adaptive_turns_between_requests(engine: &str) {
    let settings = [(KEY, "adaptive"), ("runtime.busy_poll_us", "1000000")];
    let server = Server::start_set(&["--io", engine, "--workers", "1"], &settings);
    let mut connection = rested(&server);
    wait_until_turning(&server, || assert_usable(&mut connection));
}

/// Waits until the server has used more CPU time than it does when it sleeps; `meanwhile` goes on now and then.
fn wait_until_turning(server: &Server, mut meanwhile: impl FnMut()) {
    let before = server.process().cpu_time();
    let mut looked = Instant::now();
    wait_until(TURNING_WITHIN, || {
        if looked.elapsed() > WATCHED / 2 {
            looked = Instant::now();
            meanwhile();
        }
        let used = server.process().cpu_time_since(before);
        if used >= TURNING { Ok(()) } else { Err(format!("{used:?} of CPU time")) }
    });
}

fn always_turns_serves_and_drains(engine: &str) {
    assert!(cores() > 1, "with one core there is none to spare");
    let workers = (cores() - 1).to_string();
    for arguments in [&["--io", engine, "--workers", &workers][..], &["--io", engine]] {
        let mut server = Server::start_set(arguments, &[(KEY, "always")]);
        let mut connection = rested(&server);
        wait_until_turning(&server, || ());
        assert_usable(&mut connection);
        server.terminate();
        connection.assert_closed();
        assert_eq!(server.wait(LATE).code(), Some(0), "{arguments:?}");
    }
}

fn always_on_every_core_is_refused(engine: &str) {
    let data = new_data();
    for workers in [cores(), cores() + 1] {
        let mut command = ledger_command(data.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--io", engine, "--workers", &workers.to_string()]);
        command.env("RINGLEDGER__RUNTIME__BUSY_POLL", "always");
        let ran = run_command(command, "");
        let reason = &ran.fails(BAD_CONFIGURATION).stderr;
        for part in [KEY, "always", "runtime.workers", &format!("all {} cores", cores())] {
            assert!(reason.contains(part), "{part:?} is not in {reason}");
        }
    }
}
