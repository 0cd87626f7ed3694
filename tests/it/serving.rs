//! What the serving path promises beyond single requests: memory, fairness, bounds, and how it waits.

mod busy_poll;
mod fairness;
mod files;
mod gone;
mod memory;
mod moments;
mod overload;
mod parking;

use std::time::Duration;

use crate::support::Server;
use crate::support::books::Books;
use crate::support::raw::{Connection, Request};

/// How much later than promised a busy machine may be.
const LATE: Duration = Duration::from_secs(4);

fn health() -> Vec<u8> {
    Request::get("/health").bytes()
}

/// Asserts that the connection serves a request.
#[track_caller]
fn assert_usable(connection: &mut Connection) {
    let reply = connection.call(health());
    assert_eq!(reply.status, 200, "{reply:?}");
}

/// A connection that has served a request and rests.
fn rested(server: &Server) -> Connection {
    let mut connection = Connection::open(server.address());
    assert_usable(&mut connection);
    connection
}

/// The body of [`begun`].
const BODY: &str = r#"{"currency":"EUR"}"#;

/// A request that is under way until its body, [`BODY`], is sent: the server has asked for it.
fn begun(server: &Server, books: &Books) -> Connection {
    let mut connection = Connection::open(server.address());
    let request = books.account_request().field("Expect", "100-continue").json(BODY);
    assert_eq!(connection.call(request.head()).status, 100);
    connection
}
