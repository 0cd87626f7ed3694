//! Memory of the server: what a connection at rest keeps, and what clients can make it hold.
//!
//! Resident memory of the whole process, so each case has a server of its own.

use std::net::SocketAddr;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use super::{assert_usable, health, rested};
use crate::support::raw::{Connection, Request};
use crate::support::{Process, Server, on_both_engines, wait_until};

/// Connections at rest.
const RESTING: usize = 2_000;
/// Most resident memory of each of them. An optimised build keeps less than 2 KiB.
const RESTING_BYTES: u64 = 4 * 1024;
/// How long they may take to be parked and their memory to go back.
const SETTLED: Duration = Duration::from_secs(8);
/// Descriptors of the tests beside those of [`RESTING`], of other tests mostly.
const OTHER_FILES: u64 = 600;

/// Clients that send and never read, of each kind.
const DEAF: usize = 16;
/// Most resident memory of all of them: what is queued for each, twice over, and what the allocator sets aside
/// for blocks of sizes that it has not met before.
const DEAF_BYTES: u64 = 8 * 1024 * 1024;
/// The pause between two looks at the memory.
const LOOK: Duration = Duration::from_millis(10);
/// How long they push.
const PUSH: Duration = Duration::from_secs(2);

on_both_engines!(
    clients_that_pipeline_and_never_read_are_bounded,
    clients_that_stream_bodies_without_end_are_bounded,
);

fn server_on(engine: &str) -> Server {
    let server = Server::start_set(&["--io", engine], &[("log.access", "off")]);
    // Pages of the program and of the allocator that every server touches sooner or later.
    let warm: Vec<_> = (0..64).map(|_| rested(&server)).collect();
    drop(warm);
    server
}

#[test]
fn a_connection_at_rest_keeps_next_to_nothing() {
    let (soft, hard) = Process::own().file_limits();
    let wanted = RESTING as u64 + OTHER_FILES;
    assert!(
        soft >= wanted,
        "needs {wanted} open files and may have {soft} (of {hard}): `ulimit -n {wanted}`"
    );
    let server = server_on("uring");
    let process = server.process();
    let before = process.resident_bytes();
    let mut connections: Vec<_> = (0..RESTING).map(|_| rested(&server)).collect();
    wait_until(SETTLED, || {
        let each = process.resident_bytes().saturating_sub(before) / RESTING as u64;
        if each < RESTING_BYTES { Ok(()) } else { Err(format!("{each} bytes a connection")) }
    });
    assert_usable(&mut connections[RESTING / 2]);
}

/// Runs `push` for [`DEAF`] clients, until the server is gone, and bounds what it holds for them. A neighbour is
/// served meanwhile.
fn assert_bounded(engine: &str, push: fn(SocketAddr)) {
    let server = server_on(engine);
    let (process, address) = (server.process(), server.address());
    let before = process.resident_bytes();
    let mut most = before;
    let mut neighbour = Connection::open(address);
    let pushing: Vec<_> = (0..DEAF).map(|_| thread::spawn(move || push(address))).collect();
    let begin = Instant::now();
    while begin.elapsed() < PUSH {
        assert_usable(&mut neighbour);
        most = most.max(process.resident_bytes());
        sleep(LOOK);
    }
    drop(server);
    for client in pushing {
        client.join().unwrap();
    }
    let more = most - before;
    assert!(more < DEAF_BYTES, "{} KiB more for {DEAF} clients", more / 1024);
}

fn clients_that_pipeline_and_never_read_are_bounded(engine: &str) {
    assert_bounded(engine, |address| {
        let mut connection = Connection::open_narrow(address);
        let requests = health().repeat(1_000);
        while connection.try_send(&requests).is_ok() {}
    });
}

/// Each body is refused once it is too long, so these clients come again and again.
fn clients_that_stream_bodies_without_end_are_bounded(engine: &str) {
    assert_bounded(engine, |address| {
        let head = Request::post("/api/v1/tokens").field("Content-Type", "application/json");
        let head = head.field("Transfer-Encoding", "chunked").head();
        let chunk = [b"1000\r\n", [b' '; 0x1000].as_slice(), b"\r\n"].concat();
        while let Ok(mut connection) = Connection::try_open(address) {
            let _ = connection.try_send(&head);
            while connection.try_send(&chunk).is_ok() {}
        }
    });
}
