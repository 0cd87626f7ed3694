//! Why a cluster does not do what was asked of it.

use std::io;
use std::time::Duration;

use crate::NoPostgres;

/// What can go wrong with a cluster.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing to make a cluster with.
    #[error(transparent)]
    NoPostgres(#[from] NoPostgres),
    /// Postgres does not run as root, and whom to run it as is unknown.
    #[error(
        "Postgres does not run as root, and there is no user `postgres` to run it as: `useradd --system postgres`"
    )]
    NoUser,
    /// Files, processes or sockets.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program of Postgres failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: String,
        /// What it printed.
        output: String,
    },
    /// The server ended while it was waited for.
    #[error("the server ended instead of starting:\n{log}")]
    Ended {
        /// The end of its log.
        log: String,
    },
    /// What was waited for did not come.
    #[error("{what} did not happen within {within:?}:\n{log}")]
    Late {
        /// What was waited for.
        what: &'static str,
        /// For how long.
        within: Duration,
        /// The end of the server's log.
        log: String,
    },
    /// A statement, or the connection for it.
    #[error("{0}: {cause}", cause = cause(.0))]
    Sql(#[from] postgres::Error),
}

impl Error {
    /// Names what was tried.
    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// What the client library keeps out of its own text.
fn cause(error: &postgres::Error) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
