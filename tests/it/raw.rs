//! HTTP/1.1 as bytes on a socket (RFC 9112): what no well-behaved client library would ever send.
//!
//! Every case runs on both engines.

mod fields;
mod framing;
mod limits;
mod malformed;
mod same_key;
mod smuggling;
mod targets;
mod timeouts;

use crate::support::Server;
use crate::support::raw::{Connection, Reply, Request};

fn server_on(engine: &str) -> Server {
    Server::start_with(&["--io", engine])
}

fn health() -> Vec<u8> {
    Request::get("/health").bytes()
}

/// Asserts that the connection serves another request.
fn assert_usable(connection: &mut Connection) {
    let reply = connection.call(health());
    assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some("ok")));
}

/// Sends `bytes` with a good request behind them; the one reply, which must announce the end of the connection
/// and be followed by nothing else.
fn only_reply(server: &Server, bytes: &[u8]) -> Reply {
    let mut connection = Connection::open(server.address());
    connection.send([bytes, &health()].concat());
    let reply = connection.try_reply().unwrap_or_else(|error| panic!("{}: {error}", bytes.escape_ascii()));
    assert!(reply.closes(), "{} made {reply:?}", bytes.escape_ascii());
    connection.assert_over();
    reply
}
