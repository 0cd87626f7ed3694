//! The limit of open files: raised at the start, and survived when it is reached.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{LATE, assert_usable, rested};
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines, wait_until};

/// Files that the server may have open: enough for itself and some connections.
const FILES: usize = 80;
/// Connections that are served in any case.
const SERVED: usize = 12;
/// How long the server is watched while it is short of descriptors.
const WATCHED: Duration = Duration::from_secs(2);
/// The most CPU time that it may use meanwhile: a tenth of one core.
const CPU_TIME: Duration = Duration::from_millis(200);
/// How soon a new connection is served once there are descriptors again.
const RECOVERED: Duration = Duration::from_secs(1);

on_both_engines!(a_shortage_of_descriptors_neither_spins_nor_ends_what_is_served);

fn a_shortage_of_descriptors_neither_spins_nor_ends_what_is_served(engine: &str) {
    let server = Server::start_under(&format!("-n {FILES}"), &["--io", engine], &[]);
    let mut served: Vec<_> = (0..SERVED).map(|_| rested(&server)).collect();
    let mut more: Vec<_> = (0..FILES).map(|_| Connection::open(server.address())).collect();
    server.wait_for_line("cannot accept a connection", LATE);
    let process = server.process();
    let before = process.cpu_time();
    sleep(WATCHED);
    let used = process.cpu_time_since(before);
    assert!(used < CPU_TIME, "{used:?} of CPU time in {WATCHED:?}");
    let warnings = server.log_lines().iter().filter(|line| line.contains("cannot accept")).count();
    assert!(warnings > 0, "it was not short of descriptors all the time");
    served.iter_mut().for_each(assert_usable);
    more.clear();
    let begin = Instant::now();
    let mut newcomer = rested(&server);
    assert!(begin.elapsed() < RECOVERED + LATE / 4, "served after {:?} only", begin.elapsed());
    assert_usable(&mut newcomer);
    served.iter_mut().for_each(assert_usable);
}

#[test]
fn the_soft_limit_is_raised_to_the_hard_one_at_the_start() {
    let server = Server::start_under("-S -n 256", &[], &[]);
    let (soft, hard) = server.process().file_limits();
    assert!(hard > 256, "the hard limit of this machine, {hard}, leaves nothing to raise");
    assert_eq!(soft, hard);
    // And of use.
    let connections: Vec<_> = (0..300).map(|_| rested(&server)).collect();
    wait_until(LATE, || match server.process().open_files() {
        open if open > connections.len() => Ok(()),
        open => Err(format!("{open} open files")),
    });
}

#[test]
fn a_limit_below_the_bound_of_connections_is_told() {
    let settings = [("limits.connections_per_core", "1000")];
    let server = Server::start_under("-n 200", &[], &settings);
    assert_usable(&mut rested(&server));
    let lines = server.start_lines();
    assert!(lines.iter().any(|line| line.contains("limits.connections_per_core")), "{lines:#?}");
}
