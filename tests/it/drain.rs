//! SIGTERM: everything that was accepted is answered, and the process ends in time.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::support::Server;
use crate::support::books::{Books, Order, expect_created};
use crate::support::on_both_engines;
use crate::support::raw::{Connection, Request};

/// Drains under load on each engine: twenty in all.
const ROUNDS: usize = 10;
/// Clients that keep one connection as long as they may.
const KEEPERS: usize = 28;
/// Clients that open a connection for each request, so that some are in the listener's queue at the signal.
const VISITORS: usize = 4;
/// Every so many keepers one pauses between requests, so that its connection rests at the signal.
const THINKERS: usize = 4;
/// That pause. A server that closes a resting connection sooner would race with the next request on it, which
/// no client can tell from a lost one.
const THINK: Duration = Duration::from_millis(20);
/// Connections that rest during the whole drain.
const IDLERS: usize = 4;

/// `shutdown.deadline_ms` of these tests.
const DEADLINE: Duration = Duration::from_secs(5);
/// How much later than a deadline a busy machine may be.
const LATE: Duration = Duration::from_millis(1500);
/// Least and most milliseconds of load before the signal.
const SIGNAL_AFTER_MS: (u64, u64) = (50, 250);
/// The pause between two looks at a state that must come.
const POLL: Duration = Duration::from_millis(5);

on_both_engines!(
    no_request_under_load_is_lost,
    ready_turns_503_while_the_rest_is_served,
    a_request_in_flight_is_finished,
    the_deadline_ends_what_does_not_end,
    a_second_signal_ends_at_once,
    a_second_signal_waits_for_no_running_job,
    a_signal_right_after_the_start_drains,
);

fn server_on(engine: &str, drain_delay_ms: &str, deadline: Duration) -> Server {
    let deadline_ms = deadline.as_millis().to_string();
    let settings = [("shutdown.drain_delay_ms", drain_delay_ms), ("shutdown.deadline_ms", &deadline_ms)];
    Server::start_set(&["--io", engine], &settings)
}

fn no_request_under_load_is_lost(engine: &str) {
    for round in 0..ROUNDS {
        let mut server = server_on(engine, "0", DEADLINE);
        let books = Books::open(&server, KEEPERS + VISITORS);
        let mut idlers: Vec<_> = (0..IDLERS).map(|_| rested(&server)).collect();
        let load = Load::new(&server, &books);
        let exit = load.run_until_signal(&mut server, round);
        assert_eq!(exit, Some(0), "round {round}");
        let lost = load.lost.into_inner().unwrap();
        assert!(lost.is_empty(), "round {round} lost {} requests: {lost:#?}", lost.len());
        for idler in &mut idlers {
            idler.assert_closed();
        }
        server.verify(None);
    }
}

/// A connection that has served a request and rests.
fn rested(server: &Server) -> Connection {
    let mut connection = Connection::open(server.address());
    assert_eq!(connection.call(Request::get("/health").bytes()).status, 200);
    connection
}

/// Clients under way, and what went wrong for them.
struct Load<'a> {
    address: SocketAddr,
    books: &'a Books,
    /// Set just before the signal is sent: from then on the server may refuse.
    signalled: AtomicBool,
    answered: AtomicUsize,
    lost: Mutex<Vec<String>>,
}

impl<'a> Load<'a> {
    fn new(server: &Server, books: &'a Books) -> Self {
        Self {
            address: server.address(),
            books,
            signalled: AtomicBool::new(false),
            answered: AtomicUsize::new(0),
            lost: Mutex::default(),
        }
    }

    /// Lets all clients call until the server, told to end, lets none in. Returns its exit code.
    fn run_until_signal(&self, server: &mut Server, round: usize) -> Option<i32> {
        thread::scope(|scope| {
            let client = |client| scope.spawn(move || self.call_until_refused(client));
            let clients: Vec<_> = (0..KEEPERS + VISITORS).map(client).collect();
            // A client that has ended already has left a note.
            while self.answered.load(Ordering::Relaxed) < clients.len()
                && !clients.iter().any(ScopedJoinHandle::is_finished)
            {
                thread::sleep(POLL);
            }
            let (least, most) = SIGNAL_AFTER_MS;
            thread::sleep(Duration::from_millis(least + RandomState::new().hash_one(round) % (most - least)));
            self.signalled.store(true, Ordering::SeqCst);
            let begin = Instant::now();
            server.terminate();
            let status = server.wait(DEADLINE + LATE);
            assert!(begin.elapsed() < DEADLINE, "round {round} took {:?}", begin.elapsed());
            status.code()
        })
    }

    fn call_until_refused(&self, client: usize) {
        let mut number = 0;
        while let Some(mut connection) = self.connect() {
            loop {
                number += 1;
                let goes_on = self.call(&mut connection, client, number);
                if !goes_on || client >= KEEPERS {
                    break;
                }
                if client.is_multiple_of(THINKERS) {
                    thread::sleep(THINK);
                }
            }
        }
    }

    /// A connection, or `None` when the server lets nobody in any more.
    fn connect(&self) -> Option<Connection> {
        match Connection::try_open(self.address) {
            Ok(connection) => Some(connection),
            Err(error) => {
                self.note_unless_signalled(&format!("connect: {error}"));
                None
            }
        }
    }

    /// One request; whether the connection can take another.
    fn call(&self, connection: &mut Connection, client: usize, number: usize) -> bool {
        if connection.is_over() {
            self.note_unless_signalled("closed at rest");
            return false;
        }
        let request = self.request(client, number);
        if let Err(error) = connection.try_send(request) {
            // The server has closed since, and has not taken the request.
            self.note_unless_signalled(&format!("send: {error}"));
            return false;
        }
        match connection.try_reply() {
            Ok(reply) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                let refused = reply.status == 503 && self.signalled.load(Ordering::SeqCst);
                if !matches!(reply.status, 200 | 201) && !refused {
                    self.note(format!("client {client}, request {number}: {reply:?}"));
                }
                !reply.closes()
            }
            Err(error) => {
                self.note(format!("client {client}, request {number}: sent, then {error}"));
                false
            }
        }
    }

    /// The mix: a request that touches nothing, a read, a write that has to wait for its commit.
    fn request(&self, client: usize, number: usize) -> Vec<u8> {
        match number % 3 {
            0 => Request::get("/health").bytes(),
            1 => self.books.get(&format!("/api/v1/accounts/{}", self.books.accounts[client])).bytes(),
            _ => {
                let credit = (client + number) % (self.books.accounts.len() - 1);
                let credit = if credit >= client { credit + 1 } else { credit };
                let key = format!("{client}-{number}");
                self.books.request(&Order { key, debit: client, credit, amount: 1 }).bytes()
            }
        }
    }

    fn note(&self, what: String) {
        self.lost.lock().unwrap().push(what);
    }

    fn note_unless_signalled(&self, what: &str) {
        if !self.signalled.load(Ordering::SeqCst) {
            self.note(format!("before the signal: {what}"));
        }
    }
}

/// Waits until `connection` reads a 503 from `/ready`.
fn wait_until_not_ready(connection: &mut Connection) {
    let deadline = Instant::now() + LATE;
    loop {
        let reply = connection.call(Request::get("/ready").bytes());
        if reply.status == 503 {
            assert!(reply.json()["checks"].is_object(), "{reply:?}");
            return;
        }
        assert!(Instant::now() < deadline, "still ready: {reply:?}");
        thread::sleep(POLL);
    }
}

fn ready_turns_503_while_the_rest_is_served(engine: &str) {
    let delay = Duration::from_secs(1);
    let mut server = server_on(engine, "1000", DEADLINE);
    let books = Books::open(&server, 2);
    let mut connection = rested(&server);
    let begin = Instant::now();
    server.terminate();
    wait_until_not_ready(&mut connection);
    // The load balancer has not looked away yet: who comes now is still served.
    let mut newcomer = rested(&server);
    let order = Order { key: "late".to_owned(), debit: 0, credit: 1, amount: 1 };
    expect_created(&newcomer.call(books.request(&order).bytes()));
    assert!(begin.elapsed() < delay, "too slow to have seen the delay");
    assert_eq!(server.wait(delay + DEADLINE).code(), Some(0));
    assert!(begin.elapsed() >= delay, "the delay was cut short");
    newcomer.assert_closed();
}

/// A request of which the server has asked for the body, which is still to come.
fn begun(server: &Server, books: &Books, body: &str) -> Connection {
    let mut connection = Connection::open(server.address());
    let request = books.account_request().field("Expect", "100-continue").json(body);
    assert_eq!(connection.call(request.head()).status, 100);
    connection
}

fn wait_until_refused(address: SocketAddr) {
    let deadline = Instant::now() + DEADLINE;
    while Connection::try_open(address).is_ok() {
        assert!(Instant::now() < deadline, "new connections are still let in");
        thread::sleep(POLL);
    }
}

fn a_request_in_flight_is_finished(engine: &str) {
    let body = r#"{"currency":"EUR"}"#;
    let mut server = server_on(engine, "0", DEADLINE);
    let books = Books::open(&server, 0);
    let mut connection = begun(&server, &books, body);
    connection.send(&body[..5]);
    server.terminate();
    wait_until_refused(server.address());
    connection.send(&body[5..]);
    let reply = connection.reply();
    expect_created(&reply);
    assert!(reply.closes(), "{reply:?}");
    connection.assert_closed();
    assert_eq!(server.wait(DEADLINE).code(), Some(0));
}

fn the_deadline_ends_what_does_not_end(engine: &str) {
    let deadline = Duration::from_millis(500);
    let mut server = server_on(engine, "0", deadline);
    let books = Books::open(&server, 0);
    let stalled = begun(&server, &books, r#"{"currency":"EUR"}"#);
    let begin = Instant::now();
    server.terminate();
    let status = server.wait(deadline + LATE);
    assert!(status.code().is_some(), "ended by a signal: {status}");
    assert!(begin.elapsed() + POLL >= deadline, "the request had only {:?}", begin.elapsed());
    drop(stalled);
    server.verify(None);
}

fn a_second_signal_ends_at_once(engine: &str) {
    let mut server = server_on(engine, "60000", DEADLINE);
    let mut connection = rested(&server);
    server.terminate();
    wait_until_not_ready(&mut connection);
    server.terminate();
    server.wait(LATE);
    server.verify(None);
}

/// The first request is answered by a server that no signal kills any more.
fn a_signal_right_after_the_start_drains(engine: &str) {
    for _ in 0..10 {
        let mut server = server_on(engine, "0", DEADLINE);
        server.terminate();
        assert_eq!(server.wait(DEADLINE + LATE).code(), Some(0));
    }
}

/// Jobs run in the idle class, so beside busy cores they would take far longer than their CPU time. (So does the
/// kernel to end their threads, which is why the log is asked and not the process.)
fn a_second_signal_waits_for_no_running_job(engine: &str) {
    let settings = [("shutdown.drain_delay_ms", "60000")];
    let mut server = Server::start_set(&["--io", engine, "--bench-endpoints"], &settings);
    let mut connection = rested(&server);
    let busy = AtomicBool::new(true);
    let stopping = thread::scope(|scope| {
        let _jobs = [(); 2].map(|()| {
            let mut job = Connection::open(server.address());
            job.send(Request::get("/cpu?ms=1000").bytes());
            job
        });
        for _ in 0..4 {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        server.terminate();
        wait_until_not_ready(&mut connection);
        server.terminate();
        let deadline = Instant::now() + LATE;
        let mut stopping = false;
        while !stopping && Instant::now() < deadline {
            thread::sleep(POLL);
            stopping = server.log_lines().iter().any(|line| line.contains("while draining: stopping now"));
        }
        busy.store(false, Ordering::Relaxed);
        stopping
    });
    assert!(stopping, "the server waits for a job");
    assert_eq!(server.wait(DEADLINE).code(), Some(1));
}
