//! Methods and request targets (RFC 9112 §3): which forms are served, and which are refused.

use super::{assert_usable, only_reply, server_on};
use crate::support::on_both_engines;
use crate::support::raw::{Connection, Reply, Request};

on_both_engines!(
    an_absolute_target_is_served_by_its_path,
    an_absolute_target_of_another_kind_is_refused,
    the_asterisk_is_for_options,
    a_bare_authority_is_refused,
    a_tunnel_is_refused,
    a_target_is_ascii_without_controls,
    a_method_is_known_by_its_exact_name,
    an_overlong_method_is_not_implemented,
);

fn call(connection: &mut Connection, line: &str) -> Reply {
    connection.call(format!("{line} HTTP/1.1\r\nHost: ledger\r\n\r\n"))
}

fn assert_refused(engine: &str, lines: &[&str]) {
    let server = server_on(engine);
    for line in lines {
        let reply = only_reply(&server, format!("{line} HTTP/1.1\r\nHost: ledger\r\n\r\n").as_bytes());
        assert_eq!(reply.status, 400, "{line:?} made {reply:?}");
    }
}

/// Its authority stands in for `Host`, which still must be there (RFC 9112 §3.2).
fn an_absolute_target_is_served_by_its_path(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    for target in ["http://ledger/health", "HTTP://other:8080/health?a=b", "http://[::1]:1/health"] {
        let reply = call(&mut connection, &format!("GET {target}"));
        assert_eq!(reply.status, 200, "{target} made {reply:?}");
    }
    assert_eq!(call(&mut connection, "GET http://ledger").status, 404, "its path is /");
    assert_usable(&mut connection);
    assert_eq!(only_reply(&server, b"GET http://ledger/health HTTP/1.1\r\n\r\n").status, 400);
    let bad_host = b"GET http://ledger/health HTTP/1.1\r\nHost: led ger\r\n\r\n";
    assert_eq!(only_reply(&server, bad_host).status, 400);
}

fn an_absolute_target_of_another_kind_is_refused(engine: &str) {
    assert_refused(
        engine,
        &[
            "GET http://user@ledger/health",
            "GET http://user:secret@ledger/health",
            "GET https://ledger/health",
            "GET ftp://ledger/health",
            "GET http:///health",
            "GET http:/health",
            "GET http://ledger:port/health",
            "GET http://ledger:65536/health",
            "GET http://[::1/health",
        ],
    );
}

fn the_asterisk_is_for_options(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    let reply = call(&mut connection, "OPTIONS *");
    let mut methods: Vec<_> = reply.field("allow").unwrap_or_default().split(", ").collect();
    methods.sort_unstable();
    assert_eq!((reply.status, methods), (204, vec!["GET", "HEAD", "OPTIONS", "POST"]), "{reply:?}");
    assert_usable(&mut connection);
    assert_refused(engine, &["GET *", "HEAD *", "POST *", "DELETE *", "OPTIONS *?a", "OPTIONS **"]);
}

fn a_bare_authority_is_refused(engine: &str) {
    assert_refused(
        engine,
        &["GET ledger:80", "GET health", "GET health/ready", "OPTIONS ledger", "GET ?a=b"],
    );
}

/// Behind a tunnel that a server has not opened, bytes would still pass for requests.
fn a_tunnel_is_refused(engine: &str) {
    assert_refused(engine, &["CONNECT ledger:80", "CONNECT /health", "CONNECT *", "CONNECT http://ledger/"]);
}

fn a_target_is_ascii_without_controls(engine: &str) {
    let utf_8 = ["GET /health?é", "GET /é", "GET http://ledger/é", "GET http://é/"];
    assert_refused(engine, &utf_8);
    let controls = ["GET /\x01", "GET /a\x7fb", "GET /a\tb", "GET /a\rb", "GET /a\x0bb"];
    assert_refused(engine, &controls);
    let server = server_on(engine);
    assert_eq!(only_reply(&server, b"GET /\xe9 HTTP/1.1\r\nHost: ledger\r\n\r\n").status, 400);
    let mut connection = Connection::open(server.address());
    assert_eq!(call(&mut connection, "GET /health?%C3%A9%00").status, 200, "escaped they are data");
    assert_usable(&mut connection);
}

fn a_method_is_known_by_its_exact_name(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    for method in ["get", "Get", "GETT", "PROPFIND", "!#$%&'*+-.^_`|~09"] {
        let reply = call(&mut connection, &format!("{method} /health"));
        assert_eq!((reply.status, reply.field("allow")), (405, Some("GET, HEAD, OPTIONS")), "{reply:?}");
    }
    assert_usable(&mut connection);
}

fn an_overlong_method_is_not_implemented(engine: &str) {
    let server = server_on(engine);
    let mut connection = Connection::open(server.address());
    let named = |bytes: usize| Request::new(&"M".repeat(bytes), "/health").bytes();
    assert_eq!(connection.call(named(32)).status, 405);
    for (bytes, status, code) in [(33, 501, "not_implemented"), (20_000, 431, "headers_too_large")] {
        let reply = connection.call(named(bytes));
        assert_eq!((reply.status, reply.problem_code().as_str()), (status, code), "{reply:?}");
    }
    assert_usable(&mut connection);
}
