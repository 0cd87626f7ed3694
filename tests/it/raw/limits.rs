//! Bounds of a request: just within is served, just beyond is a problem reply that arrives in full.

use super::{assert_usable, health, server_on};
use crate::support::books::{Books, expect_created};
use crate::support::on_both_engines;
use crate::support::raw::{Connection, Reply, Request};

/// `limits.target_bytes`
const TARGET_BYTES: usize = 8 * 1024;
/// `limits.head_bytes`
const HEAD_BYTES: usize = 16 * 1024;
/// `limits.fields`
const FIELDS: usize = 64;
/// `limits.body_bytes`
const BODY_BYTES: usize = 64 * 1024;
/// What a client sends beyond a bound before it looks for a reply.
const MUCH_MORE: usize = 1024 * 1024;

on_both_engines!(
    a_long_target_is_414,
    many_fields_are_431,
    a_large_head_is_431,
    a_head_beyond_every_buffer_is_refused,
    a_body_of_the_bound_is_taken_and_one_more_byte_is_413,
    a_refusal_arrives_although_much_more_was_sent,
    an_endless_body_is_refused,
);

fn assert_problem(reply: &Reply, status: u16, code: &str) {
    assert_eq!((reply.status, reply.problem_code().as_str()), (status, code), "{reply:?}");
    assert!(reply.field("x-request-id").is_some(), "{reply:?}");
}

fn a_long_target_is_414(engine: &str) {
    let server = server_on(engine);
    let target = |length: usize| Request::get(&format!("/{}", "a".repeat(length - 1))).bytes();
    let mut connection = Connection::open(server.address());
    assert_problem(&connection.call(target(TARGET_BYTES)), 404, "not_found");
    assert_usable(&mut connection);
    assert_problem(&connection.call(target(TARGET_BYTES + 1)), 414, "uri_too_long");
}

fn many_fields_are_431(engine: &str) {
    let server = server_on(engine);
    // One field, Host, is there already.
    let fields =
        |count: usize| (1..count).fold(Request::get("/health"), |request, _| request.field("X", "y"));
    let mut connection = Connection::open(server.address());
    assert_eq!(connection.call(fields(FIELDS).bytes()).status, 200);
    assert_problem(&connection.call(fields(FIELDS + 1).bytes()), 431, "headers_too_large");
    // Beyond the parser's own bound.
    assert_eq!(Connection::open(server.address()).call(fields(300).bytes()).status, 431);
}

fn a_large_head_is_431(engine: &str) {
    let server = server_on(engine);
    let head = |bytes: usize| {
        let bare = Request::get("/health").field("X-Filler", "").bytes().len();
        Request::get("/health").field("X-Filler", &"f".repeat(bytes - bare)).bytes()
    };
    let mut connection = Connection::open(server.address());
    // Whether white space and line ends count is not promised, so both sides keep some distance.
    assert_eq!(connection.call(head(HEAD_BYTES - 256)).status, 200);
    assert_problem(&connection.call(head(HEAD_BYTES + 256)), 431, "headers_too_large");
}

fn a_head_beyond_every_buffer_is_refused(engine: &str) {
    let server = server_on(engine);
    let filler = "f".repeat(MUCH_MORE);
    for request in [Request::get("/health").field("X-Filler", &filler), Request::get(&format!("/{filler}"))] {
        let mut connection = Connection::open(server.address());
        // The server need not read it all.
        let _ = connection.try_send(request.bytes());
        let reply = connection.reply();
        assert!(matches!(reply.status, 414 | 431), "{reply:?}");
        connection.assert_over();
    }
}

/// An account that is larger only by white space.
fn padded_account(bytes: usize) -> Vec<u8> {
    let mut body = br#"{"currency":"EUR"}"#.to_vec();
    body.resize(bytes, b' ');
    body
}

/// A chunked request with `body` in chunks of 4 KiB.
fn in_chunks(request: Request, body: &[u8]) -> Vec<u8> {
    let head = request.field("Content-Type", "application/json").field("Transfer-Encoding", "chunked").head();
    let chunks = body
        .chunks(4096)
        .flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    [head, chunks.collect(), b"0\r\n\r\n".to_vec()].concat()
}

fn a_body_of_the_bound_is_taken_and_one_more_byte_is_413(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let declared = |body: Vec<u8>| books.account_request().json(body).bytes();
    let chunked = |body: Vec<u8>| in_chunks(books.account_request(), &body);
    let framings: [&dyn Fn(Vec<u8>) -> Vec<u8>; 2] = [&declared, &chunked];
    for framed in framings {
        let mut connection = Connection::open(server.address());
        expect_created(&connection.call(framed(padded_account(BODY_BYTES))));
        assert_usable(&mut connection);
        assert_problem(&connection.call(framed(padded_account(BODY_BYTES + 1))), 413, "payload_too_large");
    }
    assert_usable(&mut Connection::open(server.address()));
}

/// Unread bytes make the kernel answer a close with a reset, which must not overtake the reply.
fn a_refusal_arrives_although_much_more_was_sent(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let body = padded_account(BODY_BYTES + MUCH_MORE);
    let requests = [books.account_request().json(&body).bytes(), in_chunks(books.account_request(), &body)];
    for request in requests {
        let mut connection = Connection::open(server.address());
        let _ = connection.try_send(&request);
        assert_problem(&connection.reply(), 413, "payload_too_large");
        // Whether the server reads on or closes, no part of the body may pass for a request.
        if !connection.is_over() && connection.try_send(health()).is_ok() {
            let next = connection.try_reply();
            assert!(next.as_ref().map_or(true, |reply| reply.status == 200), "{next:?}");
        }
    }
    assert_usable(&mut Connection::open(server.address()));
}

fn an_endless_body_is_refused(engine: &str) {
    let server = server_on(engine);
    let books = Books::open(&server, 0);
    let mut connection = Connection::open(server.address());
    let request = books.account_request().field("Content-Type", "application/json");
    connection.send(request.field("Transfer-Encoding", "chunked").head());
    let chunk = [b"1000\r\n".as_slice(), &[b' '; 4096], b"\r\n"].concat();
    // 64 MiB at most: a server that takes it all fails here and not by memory.
    let taken = (0..16_384).take_while(|_| connection.try_send(&chunk).is_ok()).count();
    assert!(taken < 16_384, "the server read on without end");
    assert_problem(&connection.reply(), 413, "payload_too_large");
}
