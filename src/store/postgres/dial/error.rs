//! Why no connection was opened: what every host said, and what of that tells most.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::store::postgres::tls::HandshakeError;

/// What kept us out, by how much it tells: with several hosts the greatest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// No answer, or nobody there: a name that leads nowhere, a refused or broken connection, the time limit.
    Unreachable,
    /// A server that starts, stops or recovers (57P01 to 57P03).
    NotReady,
    /// No server of the kind that `target_session_attrs` asks for.
    WrongRole,
    /// It has no connection left (53300).
    TooManyConnections,
    /// Encryption: not offered, or a certificate that is not trusted.
    Tls,
    /// Any other refusal, such as a database that does not exist (3D000).
    Refused,
    /// A user or password that is not accepted, or not from here (class 28).
    Credentials,
}

/// No host of a target could be used. Displays in one line what each one said, without secrets.
#[derive(Debug, Default)]
pub struct DialError(Vec<Attempt>);

/// One host and what it said.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) place: String,
    pub(super) failure: Failure,
}

/// What one host said.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("its name cannot be resolved: {0}")]
    Resolve(io::Error),
    #[error("{0}")]
    Io(io::Error),
    #[error("no session within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("TLS failed: {0}")]
    Tls(String),
    #[error("{message} ({})", code.code())]
    Server { code: SqlState, message: String },
    #[error("{0}")]
    Role(&'static str),
    /// The client's side of authentication.
    #[error("{0}")]
    LogIn(String),
    #[error("{0}")]
    Protocol(String),
}

impl DialError {
    pub(super) fn note(&mut self, attempt: Attempt) {
        self.0.push(attempt);
    }

    /// What kept us out.
    pub fn cause(&self) -> Cause {
        self.0.iter().map(|attempt| attempt.failure.cause()).max().unwrap_or(Cause::Unreachable)
    }

    /// The error behind one that a pool with a `Connector` gave.
    pub fn behind(error: &tokio_postgres::Error) -> Option<&Self> {
        error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
    }

    /// Whether the next host is not to be asked.
    pub(super) fn ends_search(&self) -> bool {
        self.cause() == Cause::Credentials
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection to Postgres")?;
        for (index, Attempt { place, failure }) in self.0.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(f, "{separator}{place}: {}", one_line(&failure.to_string()))?;
        }
        Ok(())
    }
}

impl std::error::Error for DialError {}

impl Failure {
    /// What tokio-postgres says. `tls_refused` if encryption was demanded and not begun.
    pub(super) fn of(error: &tokio_postgres::Error, tls_refused: bool) -> Self {
        if let Some(database) = error.as_db_error() {
            return Self::Server { code: database.code().clone(), message: database.message().to_owned() };
        }
        let Some(source) = error.source() else {
            return Self::Protocol(error.to_string());
        };
        let handshake = source.downcast_ref::<HandshakeError>();
        if let Some(broken) = handshake.map_or(source.downcast_ref(), HandshakeError::of_connection) {
            return Self::Io(io::Error::new(broken.kind(), broken.to_string()));
        }
        if handshake.is_some() || tls_refused {
            return Self::Tls(source.to_string());
        }
        Self::LogIn(in_one_line(error))
    }

    fn cause(&self) -> Cause {
        match self {
            Self::Resolve(_) | Self::Io(_) | Self::Timeout(_) | Self::Protocol(_) => Cause::Unreachable,
            Self::Tls(_) => Cause::Tls,
            Self::Role(_) => Cause::WrongRole,
            Self::LogIn(_) => Cause::Credentials,
            Self::Server { code, .. } => cause_of(code),
        }
    }

    /// Whether the other choice of `sslmode` allow or prefer may do better.
    pub(super) fn may_be_about_encryption(&self) -> bool {
        matches!(self.cause(), Cause::Tls | Cause::Credentials)
    }
}

fn cause_of(code: &SqlState) -> Cause {
    if *code == SqlState::TOO_MANY_CONNECTIONS {
        Cause::TooManyConnections
    } else if code.code().starts_with("57P") {
        Cause::NotReady
    } else if code.code().starts_with("28") {
        Cause::Credentials
    } else {
        Cause::Refused
    }
}

/// An error and what is behind it.
pub(super) fn in_one_line(error: &tokio_postgres::Error) -> String {
    let text = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    one_line(&text)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
