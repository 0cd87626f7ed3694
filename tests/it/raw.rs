//! HTTP/1.1 as bytes on a socket (RFC 9112): what no well-behaved client library would ever send.
//!
//! Every case runs on both engines.

mod framing;
mod limits;
mod malformed;
mod same_key;
mod timeouts;

use crate::support::Server;
use crate::support::raw::{Connection, Request};

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
