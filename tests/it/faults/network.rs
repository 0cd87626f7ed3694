//! Connections that break: at every byte of a request and of a reply, in every way, and a thousand of each kind at once
//! beside one that is in order. Between the server and Postgres, `postgres::outages` does the same.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::raw::{Connection, Reply, Request};
use crate::support::{Scrape, Server, SetsAtEnd, on_both_engines, wait_until};

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
/// How many of the crowd have a place at the server for as long as they stay: those that trickle, are silent, in a head, in
/// a body, or do not read. Whoever ends a side in a head is told goodbye.
const STAYING: u64 = 5 * CROWD as u64;
/// What would end them before all are there, on a busy machine.
const PATIENT: [(&str, &str); 3] = [
    ("limits.head_timeout_ms", "300000"),
    ("limits.body_timeout_ms", "300000"),
    ("limits.write_timeout_ms", "300000"),
];
/// Resets between two bytes of those that trickle.
const RESETS: usize = CROWD / 20;
/// How long the crowd may take until all of it has been accepted, on a busy machine.
const THERE_WITHIN: Duration = Duration::from_mins(1);
/// Requests of the client in order while the crowd comes and is there, at the least.
const SERVED: usize = 30;
/// How long what the crowd held may take to be given back.
const RELEASED_WITHIN: Duration = Duration::from_secs(20);

struct Setting {
    server: Server,
    books: Books,
}

impl Setting {
    fn new(engine: &str) -> Self {
        Self::with(engine, &[])
    }

    fn with(engine: &str, settings: &[(&str, &str)]) -> Self {
        ringledger::runtime::raise_file_limit().unwrap();
        let server = Server::start_set(&["--io", engine], settings);
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

/// What the crowd does beside being there, counted.
#[derive(Debug, Default)]
struct Pestering {
    stop: AtomicBool,
    /// Connections that were reset in the middle of a request.
    resets: AtomicUsize,
    /// Those that trickle and have never failed to.
    trickling: AtomicUsize,
}

impl Pestering {
    fn go_on(&self, address: SocketAddr, request: &[u8], trickling: &mut Vec<Connection>) {
        for byte in request.iter().cycle() {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            trickling.retain_mut(|connection| connection.try_send([*byte]).is_ok());
            self.trickling.store(trickling.len(), Ordering::Relaxed);
            let reset = || {
                let mut connection = Connection::try_open(address)?;
                connection.try_send(&request[..request.len() / 2])?;
                connection.reset();
                std::io::Result::Ok(())
            };
            let resets = (0..RESETS).filter(|_| reset().is_ok()).count();
            self.resets.fetch_add(resets, Ordering::Relaxed);
        }
    }

    /// Whether a thousand were reset, upon which as many must still trickle.
    fn is_whole(&self) -> bool {
        let is_whole = self.resets.load(Ordering::Relaxed) >= CROWD;
        assert!(!is_whole || self.trickling.load(Ordering::Relaxed) == CROWD, "some that trickle are gone");
        is_whole
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
    let setting = Setting::with(engine, &PATIENT);
    let mut good = setting.connect();
    // None but the good one, which has been accepted.
    wait_until(RELEASED_WITHIN, || match Scrape::on(&mut good).sum("connections", &[]) {
        1 => Ok(()),
        open => Err(format!("{open} connections")),
    });
    let files = setting.server.process().open_files();
    let mut trickling: Vec<_> = (0..CROWD).map(|_| setting.connect()).collect();
    let crowd = crowd(&setting);
    let pestering = Pestering::default();
    let (address, request) = (setting.server.address(), setting.request(CROWD_NUMBER));
    thread::scope(|scope| {
        let _ends = SetsAtEnd(&pestering.stop);
        scope.spawn(|| pestering.go_on(address, &request, &mut trickling));
        let all_there = Instant::now() + THERE_WITHIN;
        for number in 0.. {
            let begin = Instant::now();
            expect_created(&good.call(setting.request(number)));
            assert!(begin.elapsed() < SERVED_WITHIN, "request {number} took {:?}", begin.elapsed());
            let open = Scrape::on(&mut good).sum("connections", &[]);
            if number >= SERVED && pestering.is_whole() && open > STAYING {
                return;
            }
            assert!(Instant::now() < all_there, "{open} connections, and {pestering:?}");
        }
    });
    drop((crowd, trickling));
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
