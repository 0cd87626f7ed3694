//! Connections that break: at every byte of a request and of a reply, in every way, and a thousand of each kind at once
//! beside one that is in order. Between the server and Postgres, `postgres::outages` does the same.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::raw::{Connection, Reply, Request};
use crate::support::{Scrape, Server, on_both_engines, wait_until};

on_both_engines!(
    a_request_that_stalls_at_any_byte_goes_on_there,
    a_request_that_is_reset_at_any_byte_is_made_once,
    a_request_that_ends_at_any_byte_is_made_whole_or_not_at_all,
    a_reply_that_is_lost_at_any_byte_is_told_again,
    a_reply_goes_on_wherever_its_reader_pauses,
    a_thousand_of_each_kind_hold_nobody_up,
);

/// How long the client in order may wait for a reply. The work of some thousand others is done before, on a debug build.
const SERVED_WITHIN: Duration = Duration::from_secs(5);
/// Connections of each kind.
const CROWD: usize = 1_000;
/// The number of the one request that all of them begin.
const CROWD_NUMBER: usize = 999_999;
/// Requests of the client in order while the crowd is there.
const SERVED: usize = 30;
/// How long what the crowd held may take to be given back.
const RELEASED_WITHIN: Duration = Duration::from_secs(20);

struct Setting {
    server: Server,
    books: Books,
}

impl Setting {
    fn new(engine: &str) -> Self {
        ringledger::runtime::raise_file_limit().unwrap();
        let server = Server::start_with(&["--io", engine]);
        let books = Books::open(&server, 2);
        Self { server, books }
    }

    fn connect(&self) -> Connection {
        Connection::open(self.server.address())
    }

    /// A transfer of one cent; all of them are equally long.
    fn request(&self, number: usize) -> Vec<u8> {
        let order = Order { key: format!("number-{number:06}"), debit: 0, credit: 1, amount: 1 };
        self.books.request(&order).bytes()
    }

    /// A place in the request of each number: every byte, its beginning and end included.
    fn places(&self) -> std::ops::RangeInclusive<usize> {
        0..=self.request(0).len()
    }

    /// Checks that so many transfers were made, and that the ledger holds.
    fn assert_made(&self, transfers: usize) {
        let moved = i64::try_from(transfers).unwrap();
        assert_eq!(self.books.balances(&mut self.connect()), [FUNDS - moved, FUNDS + moved]);
        self.server.verify(None);
    }
}

fn is_replayed(reply: &Reply) -> bool {
    reply.field("idempotency-replayed") == Some("true")
}

fn a_request_that_stalls_at_any_byte_goes_on_there(engine: &str) {
    let setting = Setting::new(engine);
    let mut stalled: Vec<_> = setting.places().map(|place| (place, setting.connect())).collect();
    for (place, connection) in &mut stalled {
        connection.send(&setting.request(*place)[..*place]);
    }
    let health = setting.connect().call(Request::get("/health").bytes());
    assert_eq!(health.status, 200, "{health:?}");
    for (place, connection) in &mut stalled {
        connection.send(&setting.request(*place)[*place..]);
    }
    for (_, connection) in &mut stalled {
        expect_created(&connection.reply());
    }
    setting.assert_made(stalled.len());
}

fn a_request_that_is_reset_at_any_byte_is_made_once(engine: &str) {
    let setting = Setting::new(engine);
    for place in setting.places() {
        let mut connection = setting.connect();
        connection.send(&setting.request(place)[..place]);
        connection.reset();
    }
    let mut connection = setting.connect();
    for place in setting.places() {
        let reply = connection.call(setting.request(place));
        expect_created(&reply);
        assert!(!is_replayed(&reply) || place == *setting.places().end(), "{place} bytes made a transfer");
    }
    setting.assert_made(setting.places().count());
}

fn a_request_that_ends_at_any_byte_is_made_whole_or_not_at_all(engine: &str) {
    let setting = Setting::new(engine);
    let whole = *setting.places().end();
    for place in setting.places() {
        let mut connection = setting.connect();
        connection.send(&setting.request(place)[..place]);
        connection.finish_sending();
        match connection.try_reply() {
            Ok(reply) if place == whole => drop(expect_created(&reply)),
            Ok(reply) => assert!((400..500).contains(&reply.status), "{reply:?} to {place} bytes"),
            Err(error) => assert!(place < whole, "{error}"),
        }
    }
    setting.assert_made(1);
}

fn a_reply_that_is_lost_at_any_byte_is_told_again(engine: &str) {
    let setting = Setting::new(engine);
    let mut connection = setting.connect();
    let first = connection.call(setting.request(0));
    let id = expect_created(&first);
    // Status line, fields and body: some bytes more than the body alone.
    let bytes = first.body.len() + 100;
    for place in 1..=bytes {
        let mut lost = setting.connect();
        lost.send(setting.request(place));
        lost.bytes(place);
        lost.reset();
    }
    for place in 1..=bytes {
        let reply = connection.call(setting.request(place));
        assert!(is_replayed(&reply), "a byte of the reply was there, so it had been made: {reply:?}");
        assert_ne!(expect_created(&reply), id);
    }
    setting.assert_made(bytes + 1);
}

/// More than the server keeps of a reply and the kernel of a connection, so that the server has to wait as well.
fn a_reply_goes_on_wherever_its_reader_pauses(engine: &str) {
    const PLACES: usize = 60;
    let setting = Setting::new(engine);
    let request = Request::get("/openapi.json").bytes();
    let body = setting.connect().call(&request).body;
    let mut whole = Vec::new();
    let mut connection = setting.connect();
    connection.send(&request);
    while !whole.ends_with(&body) {
        whole.extend(connection.read_some().unwrap());
    }
    let mut pausing: Vec<_> = (0..PLACES)
        .map(|number| {
            let mut connection = Connection::open_narrow(setting.server.address());
            connection.send(&request);
            let read = connection.bytes(whole.len() * number / PLACES);
            (read, connection)
        })
        .collect();
    expect_created(&setting.connect().call(setting.request(0)));
    for (read, connection) in &mut pausing {
        // Fields differ in their values, not in their length.
        let rest = connection.bytes(whole.len() - read.len());
        assert!([&read[..], &rest].concat().ends_with(&body), "after {} bytes", read.len());
    }
    setting.assert_made(1);
}

/// What the crowd does beside being there.
fn pester(address: SocketAddr, request: &[u8], stop: &AtomicBool, dribbling: &mut [Connection]) {
    for byte in request.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        for connection in &mut *dribbling {
            // Those whose request was answered, or whose time was up, are over some day.
            let _ = connection.try_send([*byte]);
        }
        for _ in 0..CROWD / 20 {
            if let Ok(mut connection) = Connection::try_open(address) {
                let _ = connection.try_send(&request[..request.len() / 2]);
                connection.reset();
            }
        }
    }
}

/// Every kind of connection that takes a place and gives nothing for it.
fn crowd(setting: &Setting) -> Vec<Connection> {
    let request = setting.request(CROWD_NUMBER);
    let large = Request::get("/openapi.json").bytes();
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(setting.connect());
        let mut in_head = setting.connect();
        in_head.send(&request[..40]);
        let mut in_body = setting.connect();
        in_body.send(&request[..request.len() - 1]);
        let mut half_closed = setting.connect();
        half_closed.send(&request[..40]);
        half_closed.finish_sending();
        let mut unread = Connection::open_narrow(setting.server.address());
        unread.send(&large);
        crowd.extend([in_head, in_body, half_closed, unread]);
    }
    crowd
}

fn a_thousand_of_each_kind_hold_nobody_up(engine: &str) {
    let setting = Setting::new(engine);
    let mut good = setting.connect();
    let files = setting.server.process().open_files();
    let mut dribbling: Vec<_> = (0..CROWD).map(|_| setting.connect()).collect();
    let crowd = crowd(&setting);
    let stop = AtomicBool::new(false);
    let (address, request) = (setting.server.address(), setting.request(CROWD_NUMBER));
    thread::scope(|scope| {
        let pestering = scope.spawn(|| pester(address, &request, &stop, &mut dribbling));
        for number in 0..SERVED {
            let begin = Instant::now();
            expect_created(&good.call(setting.request(number)));
            assert!(begin.elapsed() < SERVED_WITHIN, "request {number} took {:?}", begin.elapsed());
        }
        stop.store(true, Ordering::Relaxed);
        pestering.join().unwrap();
    });
    drop((crowd, dribbling));
    wait_until(RELEASED_WITHIN, || {
        let open = Scrape::on(&mut good).sum("connections", &[]);
        let held = setting.server.process().open_files();
        // The good one stays.
        if open == 1 && held <= files {
            Ok(())
        } else {
            Err(format!("{open} connections, {held} of {files} files"))
        }
    });
    drop(good);
    setting.server.verify(None);
}
