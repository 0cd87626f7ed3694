//! Connections that rest are parked: off hyper, without buffers, and still bound by every deadline.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{LATE, assert_usable, health, rested};
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines, wait_until};

/// Connections that must have been parked before the server says so.
const WAVE: usize = 64;
/// How long a connection rests before it is parked.
const PARK_AFTER: Duration = Duration::from_secs(1);
/// A deadline longer than [`PARK_AFTER`], so that it ends parked connections.
const DEADLINE: Duration = Duration::from_millis(2_500);
/// How much sooner a coarse timer may fire.
const EARLY: Duration = Duration::from_millis(50);

on_both_engines!(
    a_parked_connection_ends_at_its_idle_deadline,
    a_parked_connection_closes_at_once_when_the_server_drains,
    a_client_that_leaves_a_parked_connection_frees_its_descriptor,
    a_head_begun_on_a_parked_connection_has_its_deadline,
    a_dribbled_head_on_a_parked_connection_does_not_live_longer,
    a_head_begun_before_the_rest_ends_has_its_deadline,
    a_head_begun_behind_a_request_has_its_deadline,
);

/// A server of one worker that tells when connections are parked.
fn server_with(engine: &str, deadline: &str) -> Server {
    let deadline_ms = DEADLINE.as_millis().to_string();
    let settings = [(deadline, &*deadline_ms), ("log.filter", "info,ringledger_server::parking=debug")];
    Server::start_set(&["--io", engine, "--workers", "1"], &settings)
}

/// Connections that are parked, each with the time of its reply.
fn parked(server: &Server) -> Vec<(Connection, Instant)> {
    let connections = (0..WAVE).map(|_| (rested(server), Instant::now())).collect();
    let line = server.wait_for_line("gave memory back", PARK_AFTER + LATE);
    assert!(line.contains(&format!(r#""parked":{WAVE}"#)), "{line}");
    connections
}

/// Asserts that the connection ends silently, [`DEADLINE`] after `begin`.
#[track_caller]
fn assert_ends_in_time(mut connection: Connection, begin: Instant) {
    connection.assert_closed();
    let elapsed = begin.elapsed();
    assert!(elapsed + EARLY >= DEADLINE, "ended after {elapsed:?} already");
    assert!(elapsed < DEADLINE + LATE, "ended after {elapsed:?} only");
}

fn a_parked_connection_ends_at_its_idle_deadline(engine: &str) {
    let server = server_with(engine, "limits.idle_timeout_ms");
    let mut connections = parked(&server);
    // One is used again, so its deadline begins anew.
    let (mut renewed, _) = connections.pop().unwrap();
    assert_usable(&mut renewed);
    connections.push((renewed, Instant::now()));
    for (connection, since) in connections {
        assert_ends_in_time(connection, since);
    }
}

fn a_parked_connection_closes_at_once_when_the_server_drains(engine: &str) {
    let mut server = server_with(engine, "limits.idle_timeout_ms");
    let connections = parked(&server);
    let begin = Instant::now();
    server.terminate();
    for (mut connection, _) in connections {
        connection.assert_closed();
    }
    assert!(begin.elapsed() < LATE, "closed after {:?} only", begin.elapsed());
    assert_eq!(server.wait(LATE).code(), Some(0));
}

fn a_client_that_leaves_a_parked_connection_frees_its_descriptor(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let mut connections = parked(&server);
    let (process, all_open) = (server.process(), server.process().open_files());
    let closed = connections.split_off(WAVE * 2 / 3);
    let reset = connections.split_off(WAVE / 3);
    let left = all_open - closed.len() - reset.len();
    drop(closed);
    for (connection, _) in reset {
        connection.reset();
    }
    wait_until(LATE, || match process.open_files() {
        open if open == left => Ok(()),
        open => Err(format!("{open} open descriptors of {all_open}, and not {left}")),
    });
    for (mut connection, _) in connections {
        assert_usable(&mut connection);
    }
}

fn a_head_begun_on_a_parked_connection_has_its_deadline(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let (mut connection, _) = parked(&server).remove(0);
    let begin = Instant::now();
    connection.send(&health()[..9]);
    assert_ends_in_time(connection, begin);
}

fn a_dribbled_head_on_a_parked_connection_does_not_live_longer(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let (mut connection, _) = parked(&server).remove(0);
    let begin = Instant::now();
    connection.send("GET /health HTTP/1.1\r\nX-Slow: ");
    while !connection.is_over() {
        assert!(begin.elapsed() < DEADLINE + LATE, "slow bytes kept the connection open");
        let _ = connection.try_send("s");
        sleep(PARK_AFTER / 8);
    }
    assert!(begin.elapsed() + EARLY >= DEADLINE, "ended after {:?} already", begin.elapsed());
    connection.assert_over();
}

fn a_head_begun_before_the_rest_ends_has_its_deadline(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let mut connection = rested(&server);
    sleep(PARK_AFTER / 2);
    let begin = Instant::now();
    connection.send(&health()[..9]);
    assert_ends_in_time(connection, begin);
}

fn a_head_begun_behind_a_request_has_its_deadline(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let mut connection = Connection::open(server.address());
    assert_eq!(connection.call([&health(), &health()[..9]].concat()).status, 200);
    let begin = Instant::now();
    assert_ends_in_time(connection, begin);
}
