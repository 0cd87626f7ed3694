//! Statements of a connection, prepared at their first use on it.

use std::pin::Pin;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Error, Statement};

/// A statement that is about to be known.
pub(super) type Preparing<'c> = Pin<Box<dyn Future<Output = Result<Statement, Error>> + Send + 'c>>;

/// A statement of this connection; one that is new to it is a trip of its own.
///
/// Boxed, since the code of futures is built anew in every crate that they end up in: tokio-postgres's part of this one would
/// be there five times instead of twice.
pub(super) fn prepared<'c>(client: &'c ClientWrapper, sql: &'c str) -> Preparing<'c> {
    Box::pin(client.prepare_cached(sql))
}
