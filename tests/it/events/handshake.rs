//! How a request becomes a WebSocket, and who is let in.

use std::time::Duration;

use serde_json::json;

use super::block_on;
use super::client::Follower;
use crate::support::raw::{Connection, Request};
use crate::support::{Server, Store, World, assert_members, on_both_engines, wait_until};

/// How late a busy machine may be.
const LATE: Duration = Duration::from_secs(10);

/// An example of RFC 6455 §1.3, and what it is answered with.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

on_both_engines!(
    the_reply_to_a_handshake_is_that_of_the_rfc,
    frames_that_come_with_the_handshake_are_not_lost,
    a_request_before_the_handshake_is_answered_first,
    other_requests_are_refused_with_what_to_do,
);

fn handshake(target: &str, token: &str) -> Request {
    Request::get(target)
        .bearer(token)
        .field("Upgrade", "websocket")
        .field("Connection", "Upgrade")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", KEY)
}

fn the_reply_to_a_handshake_is_that_of_the_rfc(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let mut connection = Connection::open(server.address());
    let request = handshake("/api/v1/events", &server.operator_token());
    // An extension that is offered is not taken up.
    let request = request.field("Sec-WebSocket-Extensions", "permessage-deflate");
    let reply = connection.call(request.bytes());
    assert_eq!(reply.status, 101, "{reply:?}");
    assert_eq!(reply.field("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(reply.field("upgrade"), Some("websocket"));
    assert_eq!(reply.field("connection"), Some("upgrade"));
    assert_eq!(reply.field("sec-websocket-extensions"), None);
    assert!(reply.field("x-request-id").is_some());
}

fn frames_that_come_with_the_handshake_are_not_lost(engine: &str) {
    let server = Server::start_with(&["--io", engine, "--bench-endpoints"]);
    let mut connection = Connection::open(server.address());
    // The whole of a text and the first byte of another come with the head.
    let mut bytes = handshake("/ws-echo", "").bytes();
    bytes.extend(b"\x81\x85\0\0\0\0Hello\x81");
    connection.send(bytes);
    assert_eq!(connection.reply().status, 101);
    assert_eq!(connection.bytes(7), b"\x81\x05Hello");
    connection.send(b"\x83\0\0\0\0abc");
    assert_eq!(connection.bytes(5), b"\x81\x03abc");
}

fn a_request_before_the_handshake_is_answered_first(engine: &str) {
    let server = Server::start_with(&["--io", engine, "--bench-endpoints"]);
    let mut connection = Connection::open(server.address());
    let mut bytes = Request::get("/health").bytes();
    bytes.extend(handshake("/ws-echo", "").bytes());
    bytes.extend(b"\x89\x80\0\0\0\0");
    connection.send(bytes);
    assert_eq!(connection.reply().status, 200);
    assert_eq!(connection.reply().status, 101);
    assert_eq!(connection.bytes(2), b"\x8a\x00");
}

fn other_requests_are_refused_with_what_to_do(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let token = server.operator_token();
    let mut connection = Connection::open(server.address());
    let asks = |version: &str| {
        Request::get("/api/v1/events")
            .bearer(&token)
            .field("Upgrade", "websocket")
            .field("Connection", "Upgrade")
            .field("Sec-WebSocket-Version", version)
            .field("Sec-WebSocket-Key", KEY)
    };
    for request in [Request::get("/api/v1/events").bearer(&token), asks("8")] {
        let reply = connection.call(request.bytes());
        assert_eq!(reply.status, 426);
        assert_eq!(reply.problem_code(), "upgrade_required");
        assert_eq!(reply.field("sec-websocket-version"), Some("13"));
        assert_eq!(reply.field("upgrade"), Some("websocket"));
        assert_eq!(reply.field("connection"), Some("upgrade"));
    }
    let old = format!(
        "GET /api/v1/events HTTP/1.0\r\nHost: l\r\nAuthorization: Bearer {token}\r\nUpgrade: websocket\r\n\
         Connection: Upgrade, keep-alive\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    assert_eq!(connection.call(old).status, 426);
    // Nobody is told about handshakes before it is known who asks.
    let mut connection = Connection::open(server.address());
    assert_eq!(connection.call(Request::get("/api/v1/events").bytes()).status, 401);
    let with_body = asks("13").field("Content-Length", "5").head();
    assert_eq!(connection.call(with_body).status, 400);
    connection.send(b"Hello");
    connection.assert_over();
    let mut connection = Connection::open(server.address());
    let bad_key = Request::get("/api/v1/events")
        .bearer(&token)
        .field("Upgrade", "websocket")
        .field("Connection", "Upgrade")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "c2hvcnQ=");
    assert_eq!(connection.call(bad_key.bytes()).status, 400);
    connection.assert_over();
}

#[tokio::test]
async fn users_follow_their_own_accounts_and_operators_any() {
    let world = World::new().await;
    let refusal = |token: &str, query: &str| {
        Follower::open(world.server.address(), &format!("/api/v1/events{query}"), Some(token)).err()
    };
    let (alice, operator) = (world.alice.api.token(), world.operator.token());
    let own = format!("?account={}", world.alice.account);
    let other = format!("?account={}", world.bob.account);
    let nobodys = "?account=01900000-0000-7000-8000-0000000000ff";
    for (token, query, status) in [
        (alice, "", None),
        (alice, own.as_str(), None),
        (operator, &own, None),
        (alice, &other, Some(403)),
        (alice, nobodys, Some(404)),
        (operator, nobodys, Some(404)),
        ("nonsense", "", Some(401)),
        ("nonsense", "?after=x", Some(401)),
        ("nonsense", "?account=x&since=1", Some(401)),
        (alice, "?after=-1", Some(422)),
        (alice, "?after=x", Some(422)),
        (alice, "?account=x", Some(422)),
        (alice, "?since=1", Some(422)),
    ] {
        assert_eq!(refusal(token, query), status, "{query}");
    }
}

#[tokio::test]
async fn a_ticket_lets_in_once_whom_it_was_made_for() {
    let world = World::new().await;
    let made = world.alice.api.post("/api/v1/events/tickets", &json!({})).send().await;
    let made = made.is_not_stored().json(201);
    assert_members(&made, &["ticket", "expires_in"]);
    assert_eq!(made["expires_in"], 30);
    let open = |query: &str| {
        let target = format!("/api/v1/events?ticket={}{query}", made["ticket"].as_str().unwrap());
        Follower::open(world.server.address(), &target, None)
    };
    // What is refused for another reason does not use it up.
    assert_eq!(open(&format!("&account={}", world.bob.account)).err(), Some(403));
    assert_eq!(open("&after=x").err(), Some(422));
    let forged = Follower::open(world.server.address(), "/api/v1/events?after=x&ticket=x", None);
    assert_eq!(forged.err(), Some(401));
    let mut follower = open("&after=0").unwrap();
    assert_eq!(follower.numbers(1), [1], "alice's first money");
    assert_eq!(open("").err(), Some(401));
    world.nobody.post("/api/v1/events/tickets", &json!({})).send().await.problem(401, "unauthenticated");
    // Neither stands for the other.
    let ticket = made["ticket"].as_str().unwrap();
    world.nobody.with_token(ticket).get("/api/v1/users/me").send().await.problem(401, "unauthenticated");
    let token = format!("/api/v1/events?ticket={}", world.alice.api.token());
    assert_eq!(Follower::open(world.server.address(), &token, None).err(), Some(401));
}

#[test]
fn the_echo_is_there_for_tests_only() {
    let server = Server::start();
    assert_eq!(Follower::open(server.address(), "/ws-echo", None).err(), Some(404));
}

/// A user's sockets are counted over all cores, a core's over all users.
#[test]
fn open_sockets_are_bounded_for_each_user_and_each_core() {
    let settings =
        [("limits.sockets_per_user", "2"), ("limits.sockets_per_core", "3"), ("runtime.workers", "1")];
    let world = block_on(World::of_set(Store::Sqlite, &settings));
    let open = |token: &str| {
        let mut connection = Connection::open(world.server.address());
        let reply = connection.call(handshake("/api/v1/events", token).bytes());
        (connection, reply)
    };
    let refused = |token: &str, status: u16, code: &str| {
        let (mut connection, reply) = open(token);
        assert_eq!((reply.status, &*reply.problem_code()), (status, code), "{reply:?}");
        assert!(reply.field("retry-after").is_some_and(|seconds| seconds.parse::<u32>().unwrap() > 0));
        assert_eq!(connection.call(Request::get("/health").bytes()).status, 200, "it goes on");
    };
    let (alice, bob) = (world.alice.api.token(), world.bob.api.token());
    let first = open(alice);
    let others = [open(alice), open(bob)];
    assert!([&first].into_iter().chain(&others).all(|(_, reply)| reply.status == 101));
    refused(alice, 429, "too_many_requests");
    refused(bob, 503, "overloaded");
    // What is refused for another reason is not counted.
    refused_with(&world, alice, "?after=x", 422);
    drop(first);
    wait_until(LATE, || match open(bob).1.status {
        101 => Ok(()),
        status => Err(format!("{status}: no place has come free")),
    });
}

#[track_caller]
fn refused_with(world: &World, token: &str, query: &str, status: u16) {
    let target = format!("/api/v1/events{query}");
    assert_eq!(Follower::open(world.server.address(), &target, Some(token)).err(), Some(status));
}
