//! Where one message ends and the next begins: pipelining, chunks, interim replies, half-close, versions.

use std::thread::sleep;
use std::time::Duration;

use super::{assert_usable, health, server_on};
use crate::support::books::{Books, expect_created};
use crate::support::on_both_engines;
use crate::support::raw::{Connection, Request};

/// Time for the server to take a first part before the rest comes. Too short only makes the test weaker:
/// no event tells a client what the peer has read.
const APART: Duration = Duration::from_micros(500);

const ACCOUNT: &str = r#"{"currency":"EUR"}"#;
/// Refused for its last member only, so the whole body must have come; writes nothing.
const NO_SUCH_CURRENCY: &str = r#"{"name":"purse","currency":"QQQ"}"#;

on_both_engines!(
    a_hundred_pipelined_requests_are_answered_in_order,
    a_body_between_two_requests_is_not_a_request,
    a_request_may_be_split_anywhere,
    a_request_may_come_byte_by_byte,
    a_body_may_be_chunked_in_any_way,
    a_chunked_body_may_be_split_anywhere,
    a_broken_chunk_is_400_and_the_end,
    continue_comes_before_the_body_is_sent,
    a_refused_body_is_never_asked_for,
    an_old_client_gets_no_interim_reply,
    a_half_closed_connection_gets_its_replies,
    a_half_closed_connection_gets_what_is_still_being_stored,
    http_10_closes_unless_it_is_asked_not_to,
    close_is_honoured,
    head_has_the_length_and_no_body,
    a_4xx_leaves_the_connection_usable,
);

fn a_hundred_pipelined_requests_are_answered_in_order(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    let targets = ["/health", "/nowhere", "/ready", "/api/v1/users/me"];
    let expected = [200, 404, 200, 401];
    let numbered = |n: usize| Request::get(targets[n % 4]).field("X-Request-Id", &format!("n-{n}")).bytes();
    connection.send((0..100).flat_map(numbered).collect::<Vec<_>>());
    for n in 0..100 {
        let reply = connection.reply();
        assert_eq!(reply.field("x-request-id"), Some(format!("n-{n}").as_str()));
        assert_eq!(reply.status, expected[n % 4], "{reply:?}");
    }
    assert_usable(&mut connection);
}

fn a_body_between_two_requests_is_not_a_request(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let post = books.account_request().json(ACCOUNT).bytes();
    // The body of the second looks like a request and must not be taken for one.
    let decoy = books.account_request().json("GET /ready HTTP/1.1\r\nHost: ledger\r\n\r\n").bytes();
    connection.send([health(), post, decoy, health()].concat());
    let statuses: Vec<_> = (0..4).map(|_| connection.reply().status).collect();
    assert_eq!(statuses, [200, 201, 400, 200]);
    assert_usable(&mut connection);
}

fn a_request_may_be_split_anywhere(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let request = books.account_request().json(NO_SUCH_CURRENCY).bytes();
    for split in 1..request.len() {
        connection.send(&request[..split]);
        sleep(APART);
        let reply = connection.call(&request[split..]);
        assert_eq!((reply.status, reply.problem_code().as_str()), (422, "currency_unknown"), "at {split}");
    }
    assert_usable(&mut connection);
}

fn a_request_may_come_byte_by_byte(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    for byte in books.account_request().json(ACCOUNT).bytes() {
        connection.send([byte]);
    }
    expect_created(&connection.reply());
    assert_usable(&mut connection);
}

/// The head of a request whose body comes in chunks.
fn chunked(books: &Books) -> Vec<u8> {
    let request = books.account_request().field("Content-Type", "application/json");
    request.field("Transfer-Encoding", "chunked").head()
}

fn a_body_may_be_chunked_in_any_way(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let bodies = [
        "12\r\n{\"currency\":\"EUR\"}\r\n0\r\n\r\n",
        "1\r\n{\r\n3\r\n\"cu\r\n7\r\nrrency\"\r\n7\r\n:\"EUR\"}\r\n0\r\n\r\n",
        "0000012\r\n{\"currency\":\"EUR\"}\r\n0000\r\n\r\n",
        "C\r\n{\"currency\":\r\n6\r\n\"EUR\"}\r\n0\r\n\r\n",
        "c\r\n{\"currency\":\r\n6\r\n\"EUR\"}\r\n0\r\n\r\n",
        "12;a;b=c;d=\"e f\"\r\n{\"currency\":\"EUR\"}\r\n0;last\r\n\r\n",
    ];
    for body in bodies {
        connection.send([chunked(&books).as_slice(), body.as_bytes()].concat());
        let reply = connection.reply();
        assert_eq!(reply.status, 201, "{body:?} made {reply:?}");
    }
    assert_usable(&mut connection);
}

fn a_chunked_body_may_be_split_anywhere(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let body =
        format!("8;x=y\r\n{}\r\n19\r\n{}\r\n0;z\r\n\r\n", &NO_SUCH_CURRENCY[..8], &NO_SUCH_CURRENCY[8..]);
    for split in 1..body.len() {
        connection.send([&chunked(&books), &body.as_bytes()[..split]].concat());
        sleep(APART);
        let reply = connection.call(&body[split..]);
        assert_eq!((reply.status, reply.problem_code().as_str()), (422, "currency_unknown"), "at {split}");
    }
    assert_usable(&mut connection);
}

fn a_broken_chunk_is_400_and_the_end(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let bodies = [
        "zz\r\n{}\r\n0\r\n\r\n",
        "\r\n{}\r\n0\r\n\r\n",
        "-2\r\n{}\r\n0\r\n\r\n",
        "0x2\r\n{}\r\n0\r\n\r\n",
        "2\r\n{}XX0\r\n\r\n",
        "10000000000000000\r\n{}\r\n0\r\n\r\n",
    ];
    for body in bodies {
        let mut connection = Connection::open(server.address());
        connection.send([chunked(&books).as_slice(), body.as_bytes(), &health()].concat());
        let reply = connection.try_reply().unwrap_or_else(|error| panic!("{body:?}: {error}"));
        assert_eq!(reply.status, 400, "{body:?} made {reply:?}");
        connection.assert_over();
    }
}

fn continue_comes_before_the_body_is_sent(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let request = books.account_request().field("Expect", "100-continue").json(ACCOUNT);
    let interim = connection.call(request.head());
    assert_eq!(interim.status, 100, "{interim:?}");
    expect_created(&connection.call(ACCOUNT));

    let chunked = books.account_request().field("Content-Type", "application/json");
    let chunked = chunked.field("Transfer-Encoding", "chunked").field("Expect", "100-continue");
    assert_eq!(connection.call(chunked.head()).status, 100);
    expect_created(&connection.call(format!("{:x}\r\n{ACCOUNT}\r\n0\r\n\r\n", ACCOUNT.len())));
    assert_usable(&mut connection);
}

fn a_refused_body_is_never_asked_for(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let too_large = books.account_request().field("Content-Type", "application/json");
    let too_large = too_large.field("Content-Length", "1000000").field("Expect", "100-continue");
    let nobody = Request::post("/api/v1/accounts").field("Expect", "100-continue").json(ACCOUNT);
    for (request, expected) in [(too_large, 413), (nobody, 401)] {
        let reply = Connection::open(server.address()).call(request.head());
        assert_eq!(reply.status, expected, "{reply:?}");
    }
}

fn an_old_client_gets_no_interim_reply(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let request = books.account_request().field("Expect", "100-continue").json(ACCOUNT).bytes();
    let request = String::from_utf8(request).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1);
    expect_created(&connection.call(request));
    connection.assert_closed();
}

fn a_half_closed_connection_gets_its_replies(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    connection.send(health().repeat(3));
    connection.finish_sending();
    for _ in 0..3 {
        assert_eq!(connection.reply().status, 200);
    }
    connection.assert_closed();
}

fn a_half_closed_connection_gets_what_is_still_being_stored(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    connection.send(books.account_request().json(ACCOUNT).bytes());
    connection.finish_sending();
    expect_created(&connection.reply());
    connection.assert_closed();
}

fn http_10_closes_unless_it_is_asked_not_to(engine: &str) {
    let server = server_on(engine);
    let mut plain = Connection::open(server.address());
    let reply = plain.call("GET /health HTTP/1.0\r\n\r\n");
    assert_eq!((reply.status, reply.closes()), (200, true), "{reply:?}");
    assert_eq!(reply.field("transfer-encoding"), None, "HTTP/1.0 knows no chunks");
    plain.assert_closed();

    let mut kept = Connection::open(server.address());
    for _ in 0..2 {
        let reply = kept.call("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!((reply.status, reply.closes()), (200, false), "{reply:?}");
        assert!(reply.field("content-length").is_some(), "{reply:?}");
    }
    assert_usable(&mut kept);
}

fn close_is_honoured(engine: &str) {
    let server = server_on(engine);
    for value in ["close", "Close", "foo, close"] {
        let mut connection = Connection::open(server.address());
        let reply = connection.call(Request::get("/health").field("Connection", value).bytes());
        assert_eq!((reply.status, reply.closes()), (200, true), "{value}: {reply:?}");
        connection.assert_closed();
    }
    let mut connection = Connection::open(server.address());
    connection.send([Request::get("/health").field("Connection", "close").bytes(), health()].concat());
    assert_eq!(connection.reply().status, 200);
    connection.assert_over();
}

fn head_has_the_length_and_no_body(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    for target in ["/health", "/ready", "/nowhere"] {
        let get = connection.call(Request::get(target).bytes());
        connection.send(Request::new("HEAD", target).bytes());
        let head = connection.reply_to_head();
        assert_eq!(head.status, get.status, "{target}");
        let length = head.field("content-length").and_then(|length| length.parse::<usize>().ok());
        if target != "/nowhere" {
            assert_eq!(length, Some(get.body.len()), "{target}: {head:?}");
        }
        // A body would be in the way of the next reply.
        assert_usable(&mut connection);
    }
}

fn a_4xx_leaves_the_connection_usable(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let refused = [
        (Request::get("/nowhere"), 404),
        (Request::get("/api/v1/users/me"), 401),
        (Request::new("DELETE", "/health"), 405),
        (Request::post("/nowhere").json(ACCOUNT), 404),
        (Request::post("/api/v1/accounts").json(ACCOUNT), 401),
        (books.account_request().json("{"), 400),
        (books.account_request().json("{}"), 422),
        (books.account_request().json(NO_SUCH_CURRENCY), 422),
        (books.account_request().body("text/plain", ACCOUNT), 415),
    ];
    for (request, expected) in refused {
        let reply = connection.call(request.bytes());
        assert_eq!((reply.status, reply.closes()), (expected, false), "{reply:?}");
        assert_usable(&mut connection);
    }
}
