//! Clients that leave: what they have asked for is not done any more, unless only their sending side has ended.

use std::thread::available_parallelism;
use std::time::Duration;

use super::{BODY, LATE, health};
use crate::support::books::Books;
use crate::support::raw::{Connection, Request};
use crate::support::{Scrape, Server, on_both_engines, wait_until};

/// Clients that leave.
const GONE: u32 = 60;
/// CPU time of the job that each of them has asked for.
const JOB: Duration = Duration::from_millis(500);
/// How often a job is asked for by a client that half-closes. A client whose sending side has ended is given up
/// after a second or two, and on a busy machine the idle class may not get to its job in time.
const ATTEMPTS: usize = 5;

on_both_engines!(jobs_of_clients_that_have_gone_are_skipped, a_client_that_half_closes_gets_its_reply);

fn cpu(time: Duration) -> Vec<u8> {
    Request::get(&format!("/cpu?ms={}", time.as_millis())).bytes()
}

/// CPU time and not time is measured, since others may use the machine.
fn jobs_of_clients_that_have_gone_are_skipped(engine: &str) {
    // Clients are looked after as often as the shortest deadline asks for.
    let settings = [("limits.head_timeout_ms", "500")];
    let server = Server::start_set(&["--io", engine, "--bench-endpoints"], &settings);
    let open = || Connection::open(server.address());
    let cores = available_parallelism().unwrap().get();
    let ask = |_| {
        let mut connection = open();
        connection.send(cpu(JOB));
        connection
    };
    let running: Vec<_> = (0..cores).map(ask).collect();
    let gone: Vec<_> = (0..GONE as usize).map(ask).collect();
    let mut watcher = open();
    let mut in_flight = || Scrape::on(&mut watcher).sum("http_requests_in_flight", &[]);
    wait_until(LATE, || match in_flight() {
        requests if requests > u64::from(GONE) / 2 => Ok(()),
        requests => Err(format!("{requests} requests in flight")),
    });
    drop(gone);
    wait_until(LATE + LATE, || match in_flight() {
        requests if requests <= cores as u64 => Ok(()),
        requests => Err(format!("{requests} requests in flight")),
    });
    assert_eq!(open().call(cpu(Duration::from_millis(1))).status, 200);
    let (used, asked) = (server.process().cpu_time(), JOB * GONE);
    assert!(used < asked / 2, "jobs of {asked:?} were abandoned, and {used:?} were used");
    for mut connection in running {
        assert_eq!(connection.reply().status, 200);
    }
}

fn a_client_that_half_closes_gets_its_reply(engine: &str) {
    let server = Server::start_with(&["--io", engine, "--bench-endpoints"]);
    let books = Books::open(&server, 0);
    let ask = |request: Vec<u8>| {
        let mut connection = Connection::open(server.address());
        connection.send(request);
        connection.finish_sending();
        let reply = connection.try_reply();
        if reply.is_ok() {
            connection.assert_closed();
        }
        reply
    };
    assert_eq!(ask(health()).unwrap().status, 200);
    assert_eq!(ask(books.account_request().json(BODY).bytes()).unwrap().status, 201);
    let replies: Vec<_> = (0..ATTEMPTS).map(|_| ask(cpu(Duration::from_millis(50)))).collect();
    let answered = replies.iter().flatten().any(|reply| reply.status == 200);
    assert!(answered, "{replies:#?}");
}
