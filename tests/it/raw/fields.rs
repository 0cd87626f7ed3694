//! Lines and fields of a head (RFC 9112 §2, §3, §5; RFC 9110 §5.5, §7.6.1, §7.8): what may stand in them, and
//! what those that ask for another connection or protocol do.

use super::{assert_usable, health, only_reply, server_on};
use crate::support::on_both_engines;
use crate::support::raw::{Connection, Request};

on_both_engines!(
    empty_lines_before_a_request_are_skipped,
    a_request_line_has_three_parts_and_two_spaces,
    other_versions_are_refused,
    a_preface_of_http_2_is_the_end,
    a_line_ends_in_no_bare_cr,
    a_value_holds_any_octet_but_controls,
    a_name_is_a_token,
    close_beats_keep_alive,
    an_upgrade_is_ignored,
    a_reply_has_its_own_fields_only,
);

/// What a reply is made in goes from one to the next.
fn a_reply_has_its_own_fields_only(engine: &str) {
    const ASSET: [&str; 4] = ["content-type", "cache-control", "x-content-type-options", "etag"];
    const PROBLEM: [&str; 2] = ["content-type", "cache-control"];
    let cases: [(&str, &str, u16, &[&str]); 6] = [
        ("GET", "/openapi.json", 200, &ASSET),
        ("GET", "/nowhere", 404, &PROBLEM),
        ("OPTIONS", "/health", 204, &["allow"]),
        ("HEAD", "/openapi.json", 200, &ASSET),
        ("GET", "/api/v1/users/me", 401, &[PROBLEM[0], PROBLEM[1], "www-authenticate"]),
        ("OPTIONS", "/health", 204, &["allow"]),
    ];
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    // All at once, then one after the other.
    for together in cases.chunks(cases.len()).chain(cases.chunks(1)) {
        let requests = together.iter().map(|(method, target, ..)| Request::new(method, target).bytes());
        connection.send(requests.collect::<Vec<_>>().concat());
        for &(method, target, status, fields) in together {
            let reply = if method == "HEAD" { connection.reply_to_head() } else { connection.reply() };
            let framed: &[&str] = if status == 204 { &[] } else { &["content-length"] };
            let names = [fields, &["x-request-id"], framed, &["date"]].concat();
            assert_eq!(reply.names(), names, "{method} {target}");
            assert_eq!(
                (reply.status, reply.body.is_empty()),
                (status, status == 204 || method == "HEAD"),
                "{method} {target}"
            );
        }
    }
}

/// RFC 9112 §2.2: at least one, for clients that send a line end too many after a body.
fn empty_lines_before_a_request_are_skipped(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    for lead in ["\r\n", "\r\n\r\n\r\n"] {
        assert_eq!(connection.call([lead.as_bytes(), &health()].concat()).status, 200, "{lead:?}");
    }
    let post = Request::post("/nowhere").json("{}").bytes();
    connection.send([&post, b"\r\n".as_slice(), &health()].concat());
    assert_eq!((connection.reply().status, connection.reply().status), (404, 200));
    assert_usable(&mut connection);
}

fn assert_400(engine: &str, heads: &[&[u8]]) {
    let server = server_on(engine);
    for head in heads {
        let reply = only_reply(&server, head);
        assert_eq!(reply.status, 400, "{} made {reply:?}", head.escape_ascii());
    }
}

fn a_request_line_has_three_parts_and_two_spaces(engine: &str) {
    assert_400(
        engine,
        &[
            b" GET /health HTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"\tGET /health HTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"\rGET /health HTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"GET  /health HTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"GET\t/health HTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"GET /health  HTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"GET /health\tHTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP/1.1 \r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP/1.1\t\r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP /1.1\r\nHost: ledger\r\n\r\n",
            b"/health HTTP/1.1\r\nHost: ledger\r\n\r\n",
            b"\xc7ET /health HTTP/1.1\r\nHost: ledger\r\n\r\n",
        ],
    );
}

fn other_versions_are_refused(engine: &str) {
    assert_400(
        engine,
        &[
            b"GET /health\r\n\r\n",
            b"GET /health HTTP/0.9\r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP/1.2\r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP/1.10\r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP/1\r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP/01.1\r\nHost: ledger\r\n\r\n",
            b"GET /health HTTP/2.0\r\nHost: ledger\r\n\r\n",
            b"GET /health http/1.1\r\nHost: ledger\r\n\r\n",
            b"GET /health ICE/1.1\r\nHost: ledger\r\n\r\n",
        ],
    );
}

/// A client that already speaks HTTP/2 would not understand a reply.
fn a_preface_of_http_2_is_the_end(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    connection.send([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &health()].concat());
    connection.assert_over();
}

fn a_line_ends_in_no_bare_cr(engine: &str) {
    assert_400(
        engine,
        &[
            b"GET /health HTTP/1.1\rHost: ledger\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: ledger\rX: y\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: ledger\r\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: ledger\r\nX:\ry\r\n\r\n",
            b"GET /health HTTP/1.1\r\nHost: ledger\r\n\rX: y\r\n\r\n",
        ],
    );
}

fn a_value_holds_any_octet_but_controls(engine: &str) {
    let server = server_on(engine);
    let with = |value: &[u8]| {
        [b"GET /health HTTP/1.1\r\nHost: ledger\r\nX: ".as_slice(), value, b"\r\n\r\n"].concat()
    };
    let mut connection = Connection::open(server.address());
    for value in [b"".as_slice(), b"\t a\tb \t", b"\x80\xa0\xff", "é".as_bytes(), b":;,\"\\"] {
        assert_eq!(connection.call(with(value)).status, 200, "{}", value.escape_ascii());
    }
    assert_usable(&mut connection);
    for control in (0..0x20).chain([0x7f]).filter(|byte| !b"\t\n".contains(byte)) {
        let reply = only_reply(&server, &with(&[b'a', control, b'b']));
        assert_eq!(reply.status, 400, "{control:#04x} made {reply:?}");
    }
}

fn a_name_is_a_token(engine: &str) {
    let server = server_on(engine);
    let with = |byte: u8| {
        [b"GET /health HTTP/1.1\r\nHost: ledger\r\nX".as_slice(), &[byte], b"Y: z\r\n\r\n"].concat()
    };
    let mut connection = Connection::open(server.address());
    for &byte in b"!#$%&'*+-.^_`|~09AZaz" {
        assert_eq!(connection.call(with(byte)).status, 200, "{}", byte.escape_ascii());
    }
    for &byte in b"\0\t \"(),/;<=>?@[\\]{}\x7f\x80\xff" {
        let reply = only_reply(&server, &with(byte));
        assert_eq!(reply.status, 400, "{} made {reply:?}", byte.escape_ascii());
    }
}

fn close_beats_keep_alive(engine: &str) {
    let server = server_on(engine);
    let lines = ["close, keep-alive", "keep-alive, close", "close, close", "x,CLOSE ,y", ",close,"];
    for line in lines {
        let request = Request::get("/health").field("Connection", line).bytes();
        assert_eq!(only_reply(&server, &request).status, 200, "{line}");
    }
    let twice = Request::get("/health").field("Connection", "close").field("Connection", "keep-alive");
    assert_eq!(only_reply(&server, &twice.bytes()).status, 200);
    let mut connection = Connection::open(server.address());
    for line in ["keep-alive", "closed", "x-close", "\"close\"", ""] {
        let reply = connection.call(Request::get("/health").field("Connection", line).bytes());
        assert_eq!((reply.status, reply.closes()), (200, false), "{line}");
    }
}

/// RFC 9110 §7.8: a server may ignore an upgrade and answer in the protocol of the request.
fn an_upgrade_is_ignored(engine: &str) {
    let server = server_on(engine);
    let upgrade =
        |protocol: &str| Request::get("/health").field("Connection", "Upgrade").field("Upgrade", protocol);
    let key = "AQIDBAUGBwgJCgsMDQ4PEA==";
    let requests = [
        upgrade("websocket").field("Sec-WebSocket-Version", "13").field("Sec-WebSocket-Key", key),
        upgrade("h2c").field("HTTP2-Settings", "AAMAAABkAAQAAP__"),
        upgrade("HTTP/2.0, websocket"),
        upgrade(""),
        Request::get("/health").field("Upgrade", "websocket"),
    ];
    let mut connection = Connection::open(server.address());
    for request in requests {
        // What follows at once is a request and not the first bytes of the other protocol.
        connection.send([request.bytes(), Request::get("/nowhere").bytes()].concat());
        let reply = connection.reply();
        assert_eq!((reply.status, reply.field("upgrade")), (200, None), "{reply:?}");
        assert_eq!(connection.reply().status, 404);
    }
    assert_usable(&mut connection);
}
