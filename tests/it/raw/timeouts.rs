//! Deadlines of a connection. Time is the subject here, so some of it must pass.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::{assert_usable, health};
use crate::support::Server;
use crate::support::books::Books;
use crate::support::on_both_engines;
use crate::support::raw::Connection;

/// Pipelined requests whose replies fill every buffer between server and client.
const PIPELINED: usize = 60_000;

/// The deadline that each test sets.
const DEADLINE: Duration = Duration::from_millis(400);
/// How much sooner a coarse timer may fire.
const EARLY: Duration = Duration::from_millis(50);
/// How much later a busy machine may notice.
const LATE: Duration = Duration::from_secs(2);
/// The pause between bytes or requests of a client that is slow and not silent.
const PAUSE: Duration = Duration::from_millis(100);

on_both_engines!(
    an_unfinished_head_is_closed_silently,
    a_dribbled_head_does_not_live_longer,
    a_second_head_has_the_same_deadline,
    a_head_begun_behind_another_request_has_the_same_deadline,
    a_connection_that_never_speaks_is_closed_silently,
    a_stalled_body_is_408,
    a_stalled_chunked_body_is_408,
    a_trickled_body_is_408_at_its_deadline,
    a_large_body_has_time_by_its_size,
    an_idle_connection_is_closed_silently,
    use_keeps_a_connection_alive,
    a_slow_reader_gets_every_pipelined_reply,
    the_deadline_of_a_head_does_not_bind_an_idle_connection,
);

/// A server with one deadline set to [`DEADLINE`].
fn server_with(engine: &str, key: &str) -> Server {
    let deadline_ms = DEADLINE.as_millis().to_string();
    Server::start_set(&["--io", engine], &[(key, &deadline_ms)])
}

fn assert_in_time(begin: Instant) {
    let elapsed = begin.elapsed();
    assert!(elapsed + EARLY >= DEADLINE, "ended after {elapsed:?} already");
    assert!(elapsed < DEADLINE + LATE, "ended after {elapsed:?} only");
}

fn an_unfinished_head_is_closed_silently(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    for part in ["G", "GET /health HTTP/1.1\r\n", "GET /health HTTP/1.1\r\nHost: ledger\r\n"] {
        let mut connection = Connection::open(server.address());
        let begin = Instant::now();
        connection.send(part);
        connection.assert_closed();
        assert_in_time(begin);
    }
}

fn a_dribbled_head_does_not_live_longer(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let mut connection = Connection::open(server.address());
    let begin = Instant::now();
    // A client that never ends its head, and cannot come to an end before the test has failed.
    let mut bytes = b"GET /health HTTP/1.1\r\nX-Slow: ".iter().chain(std::iter::repeat(&b's'));
    while !connection.is_over() {
        assert!(begin.elapsed() < DEADLINE + LATE, "slow bytes kept the connection open");
        let _ = connection.try_send([*bytes.next().expect("endless")]);
        sleep(PAUSE / 2);
    }
    assert_in_time(begin);
    connection.assert_over();
}

fn a_second_head_has_the_same_deadline(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let mut connection = Connection::open(server.address());
    assert_usable(&mut connection);
    let begin = Instant::now();
    connection.send("GET /heal");
    connection.assert_closed();
    assert_in_time(begin);
}

fn a_head_begun_behind_another_request_has_the_same_deadline(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let mut connection = Connection::open(server.address());
    let begin = Instant::now();
    assert_eq!(connection.call([&health(), b"GET /heal".as_slice()].concat()).status, 200);
    connection.assert_closed();
    assert_in_time(begin);
}

fn a_connection_that_never_speaks_is_closed_silently(engine: &str) {
    // Whether it counts as idle or as late with its first head is not promised.
    let deadline_ms = DEADLINE.as_millis().to_string();
    let settings = [("limits.head_timeout_ms", &*deadline_ms), ("limits.idle_timeout_ms", &*deadline_ms)];
    let server = Server::start_set(&["--io", engine], &settings);
    let begin = Instant::now();
    Connection::open(server.address()).assert_closed();
    assert_in_time(begin);
}

fn a_stalled_body_is_408(engine: &str) {
    let server = server_with(engine, "limits.body_timeout_ms");
    let books = Books::open(&server, 0);
    let request = books.account_request().json(r#"{"currency":"EUR"}"#).bytes();
    for missing in [1, 18] {
        let mut connection = Connection::open(server.address());
        let begin = Instant::now();
        let reply = connection.call(&request[..request.len() - missing]);
        assert_eq!((reply.status, reply.problem_code().as_str()), (408, "request_timeout"));
        assert!(reply.closes(), "{reply:?}");
        connection.assert_closed();
        assert_in_time(begin);
    }
}

fn a_stalled_chunked_body_is_408(engine: &str) {
    let server = server_with(engine, "limits.body_timeout_ms");
    let books = Books::open(&server, 0);
    let head = books.account_request().field("Content-Type", "application/json");
    let head = head.field("Transfer-Encoding", "chunked").head();
    let mut connection = Connection::open(server.address());
    let begin = Instant::now();
    let reply = connection.call([head.as_slice(), b"12\r\n{\"currency\""].concat());
    assert_eq!((reply.status, reply.problem_code().as_str()), (408, "request_timeout"));
    assert_in_time(begin);
}

fn a_trickled_body_is_408_at_its_deadline(engine: &str) {
    let server = server_with(engine, "limits.body_timeout_ms");
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    connection.send(books.account_request().json(" ".repeat(1_000)).head());
    let mut sender = connection.sender();
    let begin = Instant::now();
    std::thread::spawn(move || {
        while sender.try_send(" ").is_ok() {
            sleep(PAUSE / 2);
        }
    });
    let reply = connection.reply();
    assert_eq!((reply.status, reply.problem_code().as_str()), (408, "request_timeout"));
    assert_in_time(begin);
}

/// Some 50 KB a second: slower than the deadline, faster than what earns a body its time.
fn a_large_body_has_time_by_its_size(engine: &str) {
    let server = server_with(engine, "limits.body_timeout_ms");
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let body = format!("{}{}", " ".repeat(60_000), r#"{"currency":"EUR"}"#);
    connection.send(books.account_request().json(&body).head());
    let begin = Instant::now();
    for part in body.as_bytes().chunks(body.len() / 8) {
        sleep(PAUSE);
        connection.send(part);
    }
    assert!(begin.elapsed() > 2 * DEADLINE);
    assert_eq!(connection.reply().status, 201);
}

fn an_idle_connection_is_closed_silently(engine: &str) {
    let server = server_with(engine, "limits.idle_timeout_ms");
    let mut connection = Connection::open(server.address());
    assert_usable(&mut connection);
    let begin = Instant::now();
    connection.assert_closed();
    assert_in_time(begin);
}

fn use_keeps_a_connection_alive(engine: &str) {
    let server = server_with(engine, "limits.idle_timeout_ms");
    let mut connection = Connection::open(server.address());
    let begin = Instant::now();
    while begin.elapsed() < 2 * DEADLINE {
        assert_eq!(connection.call(health()).status, 200);
        sleep(PAUSE);
    }
    let begin = Instant::now();
    connection.assert_closed();
    assert!(begin.elapsed() < DEADLINE + LATE);
}

fn the_deadline_of_a_head_does_not_bind_an_idle_connection(engine: &str) {
    let server = server_with(engine, "limits.head_timeout_ms");
    let mut connection = Connection::open(server.address());
    assert_usable(&mut connection);
    sleep(3 * DEADLINE);
    assert_usable(&mut connection);
}

/// The client reads nothing for longer than both deadlines: the connection is neither idle nor in a head.
fn a_slow_reader_gets_every_pipelined_reply(engine: &str) {
    let deadline_ms = DEADLINE.as_millis().to_string();
    for key in ["limits.head_timeout_ms", "limits.idle_timeout_ms"] {
        let server = Server::start_set(&["--io", engine], &[(key, &deadline_ms), ("log.access", "off")]);
        let mut connection = Connection::open(server.address());
        let mut sender = connection.sender();
        let sending = std::thread::spawn(move || sender.send(health().repeat(PIPELINED)));
        sleep(3 * DEADLINE);
        for number in 0..PIPELINED {
            let reply = connection.try_reply().unwrap_or_else(|error| panic!("reply {number}: {error}"));
            assert_eq!(reply.status, 200, "{reply:?}");
        }
        sending.join().unwrap();
    }
}
