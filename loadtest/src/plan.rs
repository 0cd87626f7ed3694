//! What a load is: where it goes, how fast, with which requests. Knows nothing of sockets.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

/// A load on one server.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub address: SocketAddr,
    /// Connections, opened before the first request and spread over `cores`.
    pub connections: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// What is sent.
    pub requests: Requests,
    /// The one status that counts as success.
    pub expected_status: u16,
    /// A text that stands in a reply of that status only if a part of what was asked failed; such a reply counts as one
    /// of another status. One that two chunks of a body share is not found.
    pub failure_mark: Option<&'static [u8]>,
    /// A request without a whole reply after this long is an error, and its connection is opened anew.
    pub timeout: Duration,
    /// One client thread for each, pinned to it; one thread that is not pinned when empty.
    pub cores: Vec<usize>,
    /// Whether a thread may spin while it waits: only where the client has its cores for itself. It then runs at
    /// normal priority.
    pub spin: bool,
}

/// When requests are sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Each connection keeps `depth` requests under way (closed loop, as wrk does). More than one is pipelining.
    Closed {
        /// Requests under way on each connection.
        depth: usize,
    },
    /// Requests are due at moments of their own, whatever the server does (open loop). One that is due while every
    /// connection is busy waits, and its response time counts from when it was due.
    Open {
        /// Requests a second over all connections.
        rate_per_s: f64,
        /// How the moments are spread.
        arrivals: Arrivals,
    },
}

/// How the moments of an open loop are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// A Poisson process: distances are exponentially distributed, as those of many independent callers.
    Poisson,
}

/// Requests in wire form, sent in turn.
#[derive(Debug, Clone)]
pub struct Requests(pub Vec<Template>);

/// One request in wire form.
#[derive(Debug, Clone)]
pub struct Template {
    /// The bytes from the request line to the end of the body.
    pub bytes: Vec<u8>,
    /// Where in them stands a key that no two requests of a run share; filled in with digits when sent.
    pub unique: Option<Range<usize>>,
}
