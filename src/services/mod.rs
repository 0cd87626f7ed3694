//! Business logic: what the ledger does for its callers, free of HTTP.
//!
//! [`Services`] is what one core holds: its own read connection and handles to the two places where work
//! leaves the core, the posting lane and the CPU pool. Its methods live in one file a subject. Money itself
//! is decided by [`crate::models::posting`], not here.

use crate as services;
use ringledger_ledger::{models, store};
use ringledger_runtime as runtime;
use ringledger_telemetry as telemetry;

pub mod accounts;
pub mod audit;
pub mod events;
pub mod ledger_file;
pub mod posting;
pub mod search;
pub mod statements;
pub mod tokens;
pub mod transfers;
pub mod users;

use std::rc::Rc;
use std::time::{Instant, SystemTime};

pub use events::Events;
pub use posting::{LaneError, PostingLane};
pub use statements::Statements;
pub use tokens::{Keyring, SigningKey, Tickets, Tokens};

use crate::models::{Actor, Timestamp, UserId};
use crate::runtime::{CpuPool, PoolError, Turns};
use crate::store::{Reader, StoreError};
use crate::telemetry::split::{Part, spent};

/// What one core serves requests with.
pub struct Services {
    /// The core's read connection.
    pub reader: Rc<Reader>,
    /// The way to change the ledger.
    pub lane: PostingLane,
    /// Where cycles are burnt.
    pub pool: CpuPool,
    /// What statements are read through.
    pub statements: Statements,
    /// Makes and verifies tokens.
    pub tokens: Tokens,
    /// Makes and redeems tickets.
    pub tickets: Tickets,
    /// The feed of events.
    pub events: Rc<Events>,
    /// Turns of the core's loop.
    pub turns: Rc<Turns>,
}

/// Why a service said no. Each is an expected outcome with its own reply; money's own refusals are outcomes
/// of [`crate::models::posting`].
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The posting lane did not take or finish the command.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// The CPU pool did not take or finish the job.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// So much of this is under way that more must wait.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// There is no such thing, or it is none of the caller's business that there is.
    #[error("not found")]
    NotFound,
    /// It belongs to somebody else, or needs a role.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// The user follows events on as many connections as one may.
    #[error("too many feeds of one user")]
    TooManyFeeds,
    /// The name belongs to somebody.
    #[error("the username is taken")]
    UsernameTaken,
    /// An account's owner does not exist.
    #[error("there is no such owner")]
    OwnerNotFound,
    /// A search without an account, by somebody who owns very many.
    #[error("more than {0} accounts to search")]
    TooManyAccounts(u32),
    /// A time that has not come, of which nothing can be told.
    #[error("{0} has not come yet")]
    TimeToCome(Timestamp),
    /// Name and password do not belong together.
    #[error("wrong username or password")]
    WrongCredentials,
    /// A bug: the lane answered one command with another's outcome.
    #[error("the lane answered with an outcome of another kind")]
    UnexpectedOutcome,
    /// A library failed where it must not.
    #[error("{0}")]
    Internal(String),
}

impl Services {
    /// Runs a job on the CPU pool, on behalf of a request.
    pub async fn compute<T, F>(&self, job: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        let begin = Instant::now();
        let outcome = self.pool.run(job).await;
        spent(Part::Cpu, begin.elapsed());
        outcome
    }
}

/// The wall clock's time.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // The range lasts to the year 9999; a clock outside it is as good as none.
    i64::try_from(since_epoch.as_micros()).ok().and_then(Timestamp::from_micros).unwrap_or(Timestamp::EPOCH)
}

/// Lets the owner and operators through.
fn permit(actor: &Actor, owner: UserId, what: &'static str) -> Result<(), ServiceError> {
    if actor.may_use(owner) { Ok(()) } else { Err(ServiceError::Forbidden(what)) }
}
