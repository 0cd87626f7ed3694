//! A panic in a thread that the whole server needs, in the program as it is shipped: the process drains, says what has
//! ended, and ends with 1, so that a supervisor starts it again; the next one has everything.

use std::time::Duration;

use crate::postgres::{ask, assert_unavailable, payment, settle};
use crate::support::books::{Books, FUNDS, expect_created};
use crate::support::postgres::shared_cluster;
use crate::support::preload::Preload;
use crate::support::raw::Connection;
use crate::support::{Scrape, Server, ledger_command, new_data, on_both_engines, wait_until};

on_both_engines!(a_panic_on_a_worker_ends_the_process_with_1);

/// How long the process may take to end: less than the deadline of its drain, since nobody has a request under way.
const ENDS_WITHIN: Duration = Duration::from_secs(9);

/// A clock of `clock_gettime(2)`.
#[derive(Clone, Copy)]
enum Clock {
    Realtime = 0,
    Monotonic = 1,
}

/// A server of which one thread can be made to panic.
struct Patient {
    clock: Preload,
    server: Server,
    settings: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Patient {
    fn start(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let clock = Preload::new("faults/panics/failing_clock.c", &[0; 24]);
        let data = new_data();
        let mut command = ledger_command(data.path());
        command.envs(clock.variables());
        let server = Server::start_by(command, data, arguments, settings);
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Self {
            clock,
            server,
            settings: settings.iter().map(owned).collect(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        }
    }

    /// Has the thread panic when it next reads this clock.
    fn panic_at(&self, thread: &str, clock: Clock) {
        let mut name = [0; 16];
        name[..thread.len()].copy_from_slice(thread.as_bytes());
        // First all the rest, so that it is there when the failure is armed.
        let armed =
            |is_armed: i32| [&is_armed.to_ne_bytes()[..], &(clock as i32).to_ne_bytes(), &name].concat();
        self.clock.tell(&armed(0));
        self.clock.tell(&armed(1));
    }

    /// Waits for the end that a panic brings, and starts the server again without a reason for another.
    fn assert_ends(&mut self, said: &str) {
        let status = self.server.wait(ENDS_WITHIN);
        assert_eq!(self.clock.content()[..4], [0; 4], "nobody has read the clock");
        let log = self.server.remaining_lines();
        assert_eq!(status.code(), Some(1), "{status}: {log:#?}");
        assert!(log.iter().any(|line| line.contains(said)), "{said:?} was not said: {log:#?}");
        let settings: Vec<_> =
            self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let arguments: Vec<_> = self.arguments.iter().map(String::as_str).collect();
        let data = self.server.take_data();
        self.server = Server::start_set_in(data, &arguments, &settings);
    }

    /// The lane is asked for a payment and panics in the midst of it.
    fn assert_survives_a_panic_of_the_lane(mut self) {
        let books = Books::open(&self.server, 2);
        expect_created(&ask(self.server.address(), &books.request(&payment("before"))).0);
        let past = self.server.verify(None);
        self.panic_at("posting-lane", Clock::Realtime);
        let order = payment("meanwhile");
        assert_unavailable(&ask(self.server.address(), &books.request(&order)).0);
        self.assert_ends("the posting lane panicked");
        for order in [payment("before"), order] {
            settle(&self.server, &books, &order);
        }
        let balances = books.balances(&mut Connection::open(self.server.address()));
        assert_eq!(balances, [FUNDS - 2, FUNDS + 2]);
        self.server.verify(Some(&past));
    }
}

#[test]
fn a_panic_in_the_lane_ends_the_process_with_1_on_sqlite() {
    Patient::start(&[], &[]).assert_survives_a_panic_of_the_lane();
}

#[test]
fn a_panic_in_the_lane_ends_the_process_with_1_on_postgres() {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    Patient::start(&[], &[("store.url", &url)]).assert_survives_a_panic_of_the_lane();
}

/// A follower of events on that worker has its feed look at the clock, beside its connections; so does its loop.
fn a_panic_on_a_worker_ends_the_process_with_1(engine: &str) {
    let mut patient = Patient::start(&["--io", engine, "--workers", "2"], &[]);
    let address = patient.server.address();
    let books = Books::open(&patient.server, 2);
    expect_created(&ask(address, &books.request(&payment("before"))).0);
    let past = patient.server.verify(None);
    let followers = follow_on_both_cores(&patient.server, &books);
    patient.panic_at("worker-1", Clock::Monotonic);
    patient.assert_ends("a worker panicked");
    drop(followers);
    settle(&patient.server, &books, &payment("before"));
    patient.server.verify(Some(&past));
}

/// Followers of events, as many as it takes until the second core has one: the kernel spreads connections as it likes.
fn follow_on_both_cores(server: &Server, books: &Books) -> Vec<Connection> {
    let handshake = books.get("/api/v1/events").field("Connection", "upgrade").field("Upgrade", "websocket");
    let handshake = handshake.field("Sec-WebSocket-Version", "13");
    let handshake = handshake.field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").bytes();
    let mut followers = Vec::new();
    wait_until(ENDS_WITHIN, || {
        let mut follower = Connection::open(server.address());
        assert_eq!(follower.call(&handshake).status, 101);
        followers.push(follower);
        let scrape = Scrape::on(&mut Connection::open(server.address()));
        match scrape.sum("events_readers", &[("core", "1")]) {
            0 => Err(format!("{} followers, none on the second core", followers.len())),
            1.. => Ok(()),
        }
    });
    followers
}
