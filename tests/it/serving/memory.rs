//! Memory of the server: what a connection at rest keeps.
//!
//! Resident memory of the whole process, so each case has a server of its own.

use std::time::Duration;

use super::{assert_usable, rested};
use crate::support::{Process, Server, wait_until};

/// Connections at rest.
const RESTING: usize = 2_000;
/// Most resident memory of each of them. An optimised build keeps less than 2 KiB.
const RESTING_BYTES: u64 = 4 * 1024;
/// How long they may take to be parked and their memory to go back.
const SETTLED: Duration = Duration::from_secs(8);
/// Descriptors of the tests beside those of [`RESTING`], of other tests mostly.
const OTHER_FILES: u64 = 600;

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
