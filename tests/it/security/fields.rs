//! What a caller sends and the server sends back: it must never become a field, a line of the log or a name of its own.

use serde_json::Value;

use crate::support::raw::{Connection, Request};
use crate::support::{Server, World, assert_uuid_v7, on_both_engines};

on_both_engines!(an_id_of_a_caller_never_breaks_out_of_its_field, a_path_never_breaks_out_of_its_log_line);

/// Bytes behind which a careless server would begin a field of the caller's.
const BREAKS: [&[u8]; 6] =
    [b"a\rSet-Cookie: x=1", b"a\x00b", b"a\x0bb", b"a\x7fb", b"a\xc2\x85b", b"a\xe5\x98\x8a\xe5\x98\x8db"];

fn an_id_of_a_caller_never_breaks_out_of_its_field(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    for value in BREAKS {
        let head = [b"GET /health HTTP/1.1\r\nHost: ledger\r\nX-Request-Id: ", value, b"\r\n\r\n"].concat();
        let mut connection = Connection::open(server.address());
        let reply = connection.call(head);
        assert!(reply.field("set-cookie").is_none(), "{reply:?}");
        match reply.status {
            200 => assert_uuid_v7(reply.field("x-request-id").unwrap()),
            status => assert_eq!(status, 400, "{reply:?}"),
        }
    }
    let odd = [
        "zq vx",
        "zq,vx",
        "zq;vx",
        "zq\"vx",
        "<script>",
        "%0d%0aSet-Cookie:x=1",
        "\\r\\n",
        "zq/vx",
        "{zq}",
        "zq\tvx",
    ];
    let long = "a".repeat(129);
    for value in odd.into_iter().chain([&*long]) {
        let request = Request::get("/api/v1/accounts").field("X-Request-Id", value);
        let reply = Connection::open(server.address()).call(request.bytes());
        assert_uuid_v7(reply.field("x-request-id").unwrap());
        assert!(reply.field("set-cookie").is_none(), "{reply:?}");
        assert!(!String::from_utf8_lossy(&reply.body).contains(value), "{reply:?}");
    }
}

/// Each line of the log is one object, whatever a path, a method or a field holds.
fn a_path_never_breaks_out_of_its_log_line(engine: &str) {
    let server = Server::start_set(&["--io", engine], &[("log.format", "json"), ("log.access", "all")]);
    let targets =
        ["/%0d%0a%7B%22level%22:%22ERROR%22%7D", "/%1b[31m", "/\"}\\u000a{\"a\":\"", "/%00", "/a?b=\"},{\""];
    for target in targets {
        let request = Request::new("GET", target)
            .field("User-Agent", "\"}, {\"level\":\"ERROR\"")
            .field("traceparent", "00-\"\"-\"\"-01");
        let reply = Connection::open(server.address()).call(request.bytes());
        assert!((400..500).contains(&reply.status), "{reply:?}");
    }
    let marker = Request::get("/health").field("X-Request-Id", "the-last-one");
    assert_eq!(Connection::open(server.address()).call(marker.bytes()).status, 200);
    let mut told = 0;
    loop {
        let line = server.wait_for_line("", std::time::Duration::from_secs(10));
        let object: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert_ne!(object["level"], "ERROR", "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        told += 1;
        if line.contains("the-last-one") {
            break;
        }
    }
    assert!(told > targets.len(), "only {told} lines");
}

/// What a caller chose freely, stored, and asked for again: the target of the next page holds it.
#[tokio::test]
async fn a_link_holds_no_more_than_a_target() {
    let world = World::new().await;
    let references = [
        "\"><script>",
        "a>; rel=\"prev\", <http://evil/",
        "\u{560a}\u{560d}Set-Cookie: a=b",
        "a&cursor=00",
        "%0d%0a",
    ];
    for reference in references {
        let mut body = world.payment(1);
        body["reference"] = reference.into();
        for _ in 0..2 {
            world.alice.api.transfer(&body).send().await.is(201);
        }
        let encoded: String = form_urlencoded::byte_serialize(reference.as_bytes()).collect();
        let target = format!("/api/v1/transfers?limit=1&reference={encoded}");
        let reply = Connection::open(world.server.address())
            .call(Request::get(&target).bearer(world.operator.token()).bytes());
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.field("set-cookie").is_none(), "{reply:?}");
        let link = reply.field("link").unwrap();
        assert_eq!((link.matches('<').count(), link.matches('>').count()), (1, 1), "{link}");
        assert!(link.starts_with("</api/v1/transfers?") && link.ends_with(">; rel=\"next\""), "{link}");
        assert_eq!(link.matches("cursor=").count(), 1, "{link}");
    }
}

#[tokio::test]
async fn a_query_that_would_be_a_field_is_refused() {
    let world = World::new().await;
    for query in
        ["x=%0d%0aSet-Cookie:%20a=b", "%0d%0aSet-Cookie:%20a=b=1", "limit=1%0d%0aX-Evil:1", "cursor=%00"]
    {
        let request = Request::get(&format!("/api/v1/accounts?{query}")).bearer(world.operator.token());
        let reply = Connection::open(world.server.address()).call(request.bytes());
        assert_eq!(reply.problem_code(), "invalid_request");
        for name in ["set-cookie", "x-evil", "link"] {
            assert!(reply.field(name).is_none(), "{reply:?}");
        }
    }
}
