//! How a Postgres store is used. Compiled without the feature `postgres` too, so it knows nothing of a database.

use std::time::Duration;

use super::Target;

/// Where a Postgres store is and how it is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// The primary, or all servers of which one is.
    pub target: Target,
    /// A server that may lag behind, for histories and `verify`.
    pub replica: Option<Target>,
    /// What carries the connections of a core.
    pub carrier: Carrier,
    /// How many connections each core reads through.
    pub connections_per_core: usize,
    /// How long connecting to one server may take.
    pub connect_timeout: Duration,
    /// How long a request may wait for a connection.
    pub acquire_timeout: Duration,
    /// How long a query may take.
    pub statement_timeout: Duration,
    /// How long a batch may take, with all that it is tried again.
    pub commit_timeout: Duration,
}

/// What carries the sockets of connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// tokio's own sockets; the connection's task may run on any thread.
    Tokio,
    /// The ring of the current thread, which must be one of [`block_on`](ringledger_runtime::block_on) on a ring.
    Ring,
}
