//! A server that is out of memory ends loudly, and the next one goes on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::{Duration, Instant};

use campaign::{Campaign, Options, Store};

use super::super::crash::options;
use super::ORDERS;
use crate::support::new_data;
use crate::support::raw::{Connection, Request};

/// Address space of the server, in KiB (`ulimit -v`): enough to serve, not for what is sent to it.
const MEMORY_KIB: u32 = 600_000;
/// Bodies that are sent at once, each as large as may be.
const BODIES: usize = 64;
const BODY_BYTES: usize = 64 << 20;
/// SIGABRT (signal(7)), by which a program ends that says what it lacks.
const ABORTED: i32 = 6;
/// How long the bodies may take to be too much.
const ENDS_WITHIN: Duration = Duration::from_secs(30);
/// How long the process may take to be gone, what it had written down of its memory included.
const ENDED_WITHIN: Duration = Duration::from_mins(1);

#[test]
fn a_server_out_of_memory_ends_loudly_and_the_next_one_has_everything() {
    let directory = new_data();
    let limited = directory.path().join("limited");
    let script =
        format!("#!/bin/sh\nulimit -v {MEMORY_KIB}\nexec '{}' \"$@\"\n", env!("CARGO_BIN_EXE_ringledger"));
    fs::write(&limited, script).unwrap();
    fs::set_permissions(&limited, fs::Permissions::from_mode(0o755)).unwrap();
    let settings =
        [("limits.batch_body_bytes", BODY_BYTES.to_string()), ("limits.batches_per_core", "1024".into())];
    let variables = settings.map(|(key, value)| (crate::support::variable(key), value)).to_vec();
    let options = Options { binary: limited, variables, ..options(Store::Sqlite) };
    let mut campaign = Campaign::begin(&options).unwrap();
    campaign.wait_for_more(ORDERS).unwrap();

    let ended = thread::scope(|scope| {
        for number in 0..BODIES {
            let (address, token) = (campaign.address(), campaign.token().to_owned());
            scope.spawn(move || fill(address, &token, number));
        }
        campaign.await_end_and_restart(ENDED_WITHIN).unwrap()
    });
    assert_eq!(ended.signal(), Some(ABORTED), "{ended:?}");
    campaign.wait_for_recovery(Instant::now()).unwrap();
    campaign.wait_for_more(ORDERS).unwrap();
    let report = campaign.finish().unwrap();
    assert!(report.holds(), "{report}");
}

/// Sends one body that is never whole, until the server has gone.
fn fill(address: std::net::SocketAddr, token: &str, number: usize) {
    let Ok(mut connection) = Connection::try_open(address) else { return };
    let key = format!("large-{number}");
    let request = Request::post("/api/v1/transfers/batch").bearer(token).field("Idempotency-Key", &key);
    let request = request.field("Content-Type", "application/json");
    let head = request.field("Content-Length", &BODY_BYTES.to_string()).head();
    let begin = Instant::now();
    let piece = vec![b' '; 1 << 20];
    let mut sent = connection.try_send(head);
    for _ in 1..BODY_BYTES / piece.len() {
        if sent.is_err() || begin.elapsed() > ENDS_WITHIN {
            return;
        }
        sent = connection.try_send(&piece);
    }
    // Held open: what has arrived is kept as long as more is to come.
    let _ = connection.skip();
}
