//! Request smuggling (RFC 9112 §11.2): bytes in which a front and we might see different requests.
//!
//! Each vector hides a second request where only one of the two readings would find it. Where both readings
//! could be defended, the outer request gets the one reply and the connection ends, so that nothing behind it
//! is ever taken for a request. Where RFC 9112 leaves one reading, that one is held and the connection goes on.

mod chunks;

use super::{assert_usable, health, server_on};
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines};

on_both_engines!(
    length_or_chunks_end_after_one_reply,
    disguised_transfer_codings_end_after_one_reply,
    disguised_lengths_end_after_one_reply,
    a_refused_head_hides_nothing_behind_it,
    what_came_before_a_refused_request_is_answered,
    a_body_that_nobody_asked_for_is_no_request,
    fields_that_only_look_like_framing_frame_nothing,
);

/// The hidden request. Its id comes back in its reply, should it ever get one.
const HIDDEN: &str = "GET /health HTTP/1.1\r\nHost: ledger\r\nX-Request-Id: hidden\r\n\r\n";
/// An empty object is well-formed and refused (422), which tells that a body was framed as it is meant here from
/// one that was not (400). Needs no user and writes nothing.
const OUTER: &str = concat!(
    "POST /api/v1/tokens HTTP/1.1\r\n",
    "Host: ledger\r\n",
    "X-Request-Id: outer\r\n",
    "Content-Type: application/json\r\n"
);
/// `{}` in chunks.
const CHUNKS: &str = "2\r\n{}\r\n0\r\n\r\n";

/// The outer request, its framing in `fields`, each without its line end.
fn outer(fields: &[&str], rest: &str) -> String {
    let fields: String = fields.iter().flat_map(|field| [*field, "\r\n"]).collect();
    format!("{OUTER}{fields}\r\n{rest}")
}

fn length(bytes: usize) -> String {
    format!("Content-Length: {bytes}")
}

/// One reply, to the outer request, and the end: neither the hidden request nor a good one behind gets any.
fn assert_only_outer(server: &Server, status: u16, bytes: &str) {
    let mut connection = Connection::open(server.address());
    connection.send([bytes.as_bytes(), &health()].concat());
    let reply = connection.try_reply().unwrap_or_else(|error| panic!("{bytes:?}: {error}"));
    // hyper's own refusals have no id.
    assert!(matches!(reply.field("x-request-id"), None | Some("outer")), "{bytes:?} made {reply:?}");
    assert_eq!((reply.status, reply.closes()), (status, true), "{bytes:?} made {reply:?}");
    connection.assert_over();
}

/// Two replies, to the outer request and to a good one right behind; the hidden one is part of a body.
fn assert_outer_and_next(server: &Server, status: u16, bytes: &str) {
    let mut connection = Connection::open(server.address());
    connection.send([bytes.as_bytes(), &health()].concat());
    let outer = if bytes.starts_with("HEAD") { connection.reply_to_head() } else { connection.reply() };
    assert_eq!((outer.status, outer.field("x-request-id")), (status, Some("outer")), "{bytes:?}");
    let next = connection.reply();
    assert_eq!(next.status, 200, "{bytes:?}");
    assert_ne!(next.field("x-request-id"), Some("hidden"), "{bytes:?}");
    assert_usable(&mut connection);
}

/// CL.TE and TE.CL. Chunks overrule the length (RFC 9112 §6.3), and the connection ends in any case (§6.1).
fn length_or_chunks_end_after_one_reply(engine: &str) {
    let server = server_on(engine);
    let chunked = "Transfer-Encoding: chunked";
    // The length covers the hidden request, the chunks end before it.
    let covering = length(CHUNKS.len() + HIDDEN.len());
    let behind = format!("{CHUNKS}{HIDDEN}");
    // The length ends before the hidden request, the chunks cover it.
    let size_line = format!("{:x}\r\n", HIDDEN.len());
    let (before, inside) = (length(size_line.len()), format!("{size_line}{HIDDEN}\r\n0\r\n\r\n"));
    let vectors = [
        (422, outer(&[&covering, chunked], &behind)),
        (422, outer(&[chunked, &covering], &behind)),
        (422, outer(&[chunked, "Content-Length: none"], &behind)),
        (400, outer(&[&before, chunked], &inside)),
        (400, outer(&[chunked, &before], &inside)),
        (400, outer(&[chunked, "Content-Length: 0"], &inside)),
        (400, outer(&["Content-Length: 0", chunked], &inside)),
    ];
    for (status, bytes) in vectors {
        assert_only_outer(&server, status, &bytes);
    }
}

/// TE.TE: codings that one reader knows for `chunked` and another does not, with a length and without.
fn disguised_transfer_codings_end_after_one_reply(engine: &str) {
    let server = server_on(engine);
    let disguises = [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        "Transfer-Encoding\r\n: chunked",
        "Transfer-Encoding:\r\n chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: \0chunked",
        "Transfer-Encoding: chunked\u{7f}",
        "Transfer-Encoding: \u{a0}chunked",
        "Transfer\u{130}-Encoding: chunked",
        "Transfer-Encoding",
        "Transfer-Encoding:",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: chunked chunked",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    ];
    let (covering, behind) = (length(CHUNKS.len() + HIDDEN.len()), format!("{CHUNKS}{HIDDEN}"));
    for disguise in disguises {
        assert_only_outer(&server, 400, &outer(&[disguise], &behind));
        assert_only_outer(&server, 400, &outer(&[disguise, &covering], &behind));
        assert_only_outer(&server, 400, &outer(&[&covering, disguise], &behind));
    }
    // A line end that is only one to some (RFC 9112 §2.2) makes a second field for us, beside the length.
    assert_only_outer(&server, 422, &outer(&[&covering, "X: y\nTransfer-Encoding: chunked"], &behind));
    let old = outer(&["Connection: keep-alive", "Transfer-Encoding: chunked"], &behind);
    assert_only_outer(&server, 400, &old.replacen("HTTP/1.1", "HTTP/1.0", 1));
}

/// Lengths that a reader may repair, cut short or choose between: 2, so that the hidden request is one, or more.
fn disguised_lengths_end_after_one_reply(engine: &str) {
    let server = server_on(engine);
    let more = length(2 + HIDDEN.len());
    let disguises = [
        format!("Content-Length: 2\r\n{more}"),
        format!("{more}\r\nContent-Length: 2"),
        format!("Content-Length: 2\r\nContent-Length: 2\r\n{more}"),
        format!("Content-Length: 2, {}", 2 + HIDDEN.len()),
        format!("Content-Length : 2\r\n{more}"),
        format!("{more}\r\n Content-Length: 2"),
        format!("X: y\n{more}\r\nContent-Length: 2"),
        format!("X: y\r{more}"),
        "Content-Length: 2, 2".to_owned(),
        "Content-Length: 2,".to_owned(),
        "Content-Length: 2 2".to_owned(),
        "Content-Length: +2".to_owned(),
        "Content-Length: -2".to_owned(),
        "Content-Length: 0x2".to_owned(),
        "Content-Length: 2.0".to_owned(),
        "Content-Length: 2e0".to_owned(),
        "Content-Length: \"2\"".to_owned(),
        "Content-Length: 2;".to_owned(),
        "Content-Length: \u{ff12}".to_owned(),
        "Content-Length: 2\u{b}".to_owned(),
        "Content-Length: 2\0".to_owned(),
        "Content-Length:\r\n 2".to_owned(),
        "Content-Length:".to_owned(),
        // 2 modulo 2^64
        "Content-Length: 18446744073709551618".to_owned(),
    ];
    for disguise in disguises {
        assert_only_outer(&server, 400, &outer(&[&disguise], &format!("{{}}{HIDDEN}")));
    }
    // 2 modulo 2^32, and the largest; both are numbers, only too large.
    for number in ["4294967298", "18446744073709551613"] {
        let field = format!("Content-Length: {number}");
        assert_only_outer(&server, 413, &outer(&[&field], &format!("{{}}{HIDDEN}")));
    }
}

/// A refused head says nothing for sure about where its body ends, or whether what follows is a tunnel.
fn a_refused_head_hides_nothing_behind_it(engine: &str) {
    let server = server_on(engine);
    let heads = [
        "GET /health HTTP/1.1\r\n",
        "GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "GET * HTTP/1.1\r\nHost: ledger\r\n",
        "GET http://user@ledger/health HTTP/1.1\r\nHost: ledger\r\n",
        "CONNECT ledger:80 HTTP/1.1\r\nHost: ledger\r\n",
        "GET /health HTTP/1.2\r\nHost: ledger\r\n",
        "GET /health HTTP/1.1\r\nHost: ledger\r\nX\r\n",
        "GET /health\r\n",
    ];
    for head in heads {
        let head = format!("{head}X-Request-Id: outer\r\n");
        assert_only_outer(&server, 400, &format!("{head}\r\n{HIDDEN}"));
        let with_body = format!("{head}{}\r\n\r\n{HIDDEN}", length(HIDDEN.len()));
        assert_only_outer(&server, 400, &with_body);
    }
}

fn what_came_before_a_refused_request_is_answered(engine: &str) {
    let server = server_on(engine);
    let chunked = outer(&["Transfer-Encoding: chunked"], "2\n{}\r\n0\r\n\r\n");
    for refused in [outer(&["Transfer-Encoding : chunked"], CHUNKS), outer(&["Host: other"], ""), chunked] {
        let mut connection = Connection::open(server.address());
        connection.send([health(), health(), refused.into_bytes(), HIDDEN.into()].concat());
        let statuses: Vec<_> = (0..3).map(|_| connection.reply().status).collect();
        assert_eq!(statuses, [200, 200, 400]);
        connection.assert_over();
    }
}

/// CL.0 and 0.CL: a body that a method or a route has no use for is still a body.
fn a_body_that_nobody_asked_for_is_no_request(engine: &str) {
    let server = server_on(engine);
    let lines = [
        (200, "GET /health"),
        (200, "HEAD /health"),
        (204, "OPTIONS /health"),
        (204, "OPTIONS *"),
        (405, "DELETE /health"),
        (405, "get /health"),
        (405, "TRACE /health"),
        (404, "GET /nowhere"),
        (404, "POST /nowhere"),
        (401, "GET /api/v1/users/me"),
        (401, "POST /api/v1/accounts"),
        (400, "POST /api/v1/tokens"),
    ];
    let chunks = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    for (status, line) in lines {
        let head = format!("{line} HTTP/1.1\r\nHost: ledger\r\nX-Request-Id: outer\r\n");
        let head = format!("{head}Content-Type: application/json\r\nUpgrade: h2c\r\n");
        let sized = format!("{head}{}\r\n\r\n{HIDDEN}", length(HIDDEN.len()));
        assert_outer_and_next(&server, status, &sized);
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}");
        assert_outer_and_next(&server, status, &chunked);
    }
}

/// One reading is left, and it is the length's. A length that is said twice alike is one (RFC 9110 §8.6).
fn fields_that_only_look_like_framing_frame_nothing(engine: &str) {
    let server = server_on(engine);
    let covering = length(CHUNKS.len() + HIDDEN.len());
    let alike = format!("{covering}\r\n{covering}");
    let padded = format!("Content-Length: 000{}", CHUNKS.len() + HIDDEN.len());
    let looks = [
        "Transfer_Encoding: chunked",
        "X-Transfer-Encoding: chunked",
        "Transfer-Encodin: chunked",
        "TE: chunked, trailers",
        "Content-Encoding: identity",
        "X: Transfer-Encoding: chunked",
        "Connection: Content-Length, Transfer-Encoding",
        "Content_Length: 2",
        "Trailer: Content-Length",
    ];
    for look in looks {
        for length in [&covering, &alike, &padded] {
            assert_outer_and_next(&server, 400, &outer(&[look, length], &format!("{CHUNKS}{HIDDEN}")));
        }
    }
}
