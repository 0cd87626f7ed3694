//! Heads that RFC 9112 forbids. What follows one cannot be told apart from its body, so the connection ends.

use super::{only_reply, server_on};
use crate::support::Server;
use crate::support::on_both_engines;
use crate::support::raw::Connection;

on_both_engines!(
    a_malformed_head_is_400_and_the_end,
    exactly_one_valid_host_is_needed,
    a_length_that_is_none_is_400_and_the_end,
    an_unknown_transfer_coding_ends_the_connection,
    noise_is_400_and_the_end,
);

fn assert_400(server: &Server, heads: &[&str]) {
    for head in heads {
        let reply = only_reply(server, head.as_bytes());
        assert_eq!(reply.status, 400, "{head:?} made {reply:?}");
    }
}

fn a_malformed_head_is_400_and_the_end(engine: &str) {
    let server = server_on(engine);
    assert_400(
        &server,
        &[
            "GET /health\r\nHost: ledger\r\n\r\n",
            "GET\r\nHost: ledger\r\n\r\n",
            "G@T /health HTTP/1.1\r\nHost: ledger\r\n\r\n",
            "GET /health HTTP/x.y\r\nHost: ledger\r\n\r\n",
            "GET /health HTTP/1.1 extra\r\nHost: ledger\r\n\r\n",
            "GET /he\0alth HTTP/1.1\r\nHost: ledger\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: ledger\r\nNo colon\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: ledger\r\nBad name: x\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: ledger\r\nName : x\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: ledger\r\n: x\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: ledger\r\nName: a\0b\r\n\r\n",
            "GET /health HTTP/1.1\r\nHost: ledger\r\nName: a\r\n folded\r\n\r\n",
            "GET /health HTTP/1.1\r\n Host: ledger\r\n\r\n",
        ],
    );
}

fn exactly_one_valid_host_is_needed(engine: &str) {
    let server = server_on(engine);
    let heads = [
        "GET /health HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /health HTTP/1.1\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: ledger\r\nHost: ledger\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: ledger\r\nHost: other\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: ledger, other\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: led ger\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: ledger/path\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: user@ledger\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: ledger:port\r\n\r\n",
        "GET /health HTTP/1.1\r\nHost: [::1\r\n\r\n",
    ];
    for head in heads {
        let reply = Connection::open(server.address()).call(head);
        assert_eq!(reply.status, 400, "{head:?} made {reply:?}");
    }
    for host in ["ledger", "ledger:8080", "127.0.0.1:1", "[::1]:8080"] {
        let head = format!("GET /health HTTP/1.1\r\nhOsT: {host}\r\n\r\n");
        assert_eq!(Connection::open(server.address()).call(head).status, 200, "{host}");
    }
}

fn a_length_that_is_none_is_400_and_the_end(engine: &str) {
    let server = server_on(engine);
    for length in ["abc", "-1", "+4", "4 4", "4, 5", "0x4", "4.0", "99999999999999999999999"] {
        let head = format!("POST /health HTTP/1.1\r\nHost: ledger\r\nContent-Length: {length}\r\n\r\n");
        assert_400(&server, &[&head]);
    }
    assert_400(
        &server,
        &["POST /health HTTP/1.1\r\nHost: ledger\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n"],
    );
}

fn an_unknown_transfer_coding_ends_the_connection(engine: &str) {
    let server = server_on(engine);
    for coding in ["gzip", "chunked, gzip", "identity", "xchunked", "chunked\r\nTransfer-Encoding: gzip"] {
        let head = format!("POST /health HTTP/1.1\r\nHost: ledger\r\nTransfer-Encoding: {coding}\r\n\r\n");
        let reply = only_reply(&server, head.as_bytes());
        assert!(matches!(reply.status, 400 | 501), "{coding:?} made {reply:?}");
    }
    // RFC 9112 §6.1: a client of HTTP/1.0 cannot know of chunks, so the framing is faulty.
    let old = "POST /health HTTP/1.0\r\nHost: ledger\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    only_reply(&server, old.as_bytes());
}

fn noise_is_400_and_the_end(engine: &str) {
    let server = server_on(engine);
    // The hello of a TLS client, and bytes that no request can hold.
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[0x5a; 200]].concat();
    for noise in [hello, vec![0; 64], vec![0xff; 64]] {
        assert_eq!(only_reply(&server, &noise).status, 400);
    }
}
