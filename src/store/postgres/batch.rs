//! One batch in one transaction, in two round trips: take the head's lock and load, let the rule decide, write and
//! commit. The statements of a trip are sent one behind the other without waiting for answers.
//!
//! Whoever holds the lock of the head row is alone in appending, over all replicas: that makes `seq` and the chain of
//! hashes gapless, and it makes locks of accounts needless. READ COMMITTED is asked for by name: each statement behind
//! the lock must see what its last holder committed, and under a stricter level it would see what was before the wait.

mod load;
mod save;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::detail;
use crate::models::posting::{Command, Outcome};
use crate::store::{Clock, StoreError};

/// Opens a transaction. `synchronous_commit` is set for each one, since a server, a database or a role may have another
/// default, under which an acknowledged commit can be lost; `remote_apply` alone waits for more and is kept.
///
/// The time limits that a batch must not have are lifted: a statement that is cancelled while its commit waits for a
/// standby ends in success on this side alone.
const BEGIN: &str = "begin isolation level read committed; \
    select set_config('synchronous_commit', 'on', true) \
    where current_setting('synchronous_commit') <> 'remote_apply'; \
    set local statement_timeout = 0";

/// Why a batch has no outcomes.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Nothing of it was committed.
    #[error("{}", detail(.0))]
    NotCommitted(#[source] Error),
    /// The connection was lost between sending the commit and hearing of it.
    #[error("the outcome of a commit is unknown: {}", detail(.0))]
    Unknown(#[source] Error),
    /// The store holds something that it never wrote.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether an earlier attempt at the same batch may have been committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// None was made, or each is known to have failed.
    First,
    /// The outcome of one is unknown: what it left behind is the outcome of this one.
    Again,
}

impl BatchError {
    /// Whether the same batch may succeed at once on the same connection: it lost a race against another transaction,
    /// which had to end one of them (40001, 40P01) or held a lock for too long (55P03).
    pub fn lost_a_race(&self) -> bool {
        const RACES: [SqlState; 3] = [
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        matches!(self, Self::NotCommitted(error) if error.code().is_some_and(|code| RACES.contains(code)))
    }
}

impl From<BatchError> for StoreError {
    fn from(error: BatchError) -> Self {
        match error {
            BatchError::NotCommitted(error) => error.into(),
            BatchError::Unknown(_) => Self::Unavailable(error.to_string()),
            BatchError::Store(error) => error,
        }
    }
}

/// Decides and stores a batch. `clock` is read once the head is locked. When this returns `Ok`, the outcomes are on
/// stable storage.
///
/// Not cancel safe: a connection on which the future was dropped is in the midst of a transaction, and of unknown
/// outcome once `sends_commit` was called.
pub async fn post(
    client: &ClientWrapper,
    commands: &[Command],
    clock: Clock<'_>,
    attempt: Attempt,
    sends_commit: impl FnOnce(),
) -> Result<Vec<Outcome>, BatchError> {
    let loaded = load::load(client, commands).await;
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            roll_back(client).await;
            return Err(error);
        }
    };
    let (oldest_key_use, known_keys) = (loaded.oldest_key_use, loaded.known_keys());
    let mut books = loaded.into_books(clock());
    let outcomes: Vec<_> = commands
        .iter()
        .map(|command| match attempt {
            Attempt::First => books.decide(command),
            Attempt::Again => books.decide_again(command),
        })
        .collect();
    let now = books.now();
    let journal = books.into_journal();
    if journal.is_empty() {
        if attempt == Attempt::Again || outcomes.iter().any(is_replay) {
            confirm(client).await?;
        } else {
            roll_back(client).await;
        }
        return Ok(outcomes);
    }
    let statements = save::Statements::prepare(client).await.map_err(BatchError::NotCommitted)?;
    let columns = save::Columns::of(&journal, &known_keys)?;
    let dead = save::DeadKeys::of(&journal, now, oldest_key_use, commands.len());
    sends_commit();
    save::save(client, &statements, &columns, dead).await?;
    Ok(outcomes)
}

/// Whether an outcome was found in the database.
const fn is_replay(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Transferred { replayed: true, .. } | Outcome::Rejected { replayed: true, .. })
}

/// Makes sure of what was found. A commit is seen before a standby has it when the session that waited for the standby
/// was ended, as a restart of the server does. The head's lock is in the log of the server, so this transaction's commit
/// waits for the disk and the standby as any does, and with it for all that was committed before.
async fn confirm(client: &ClientWrapper) -> Result<(), Error> {
    client.batch_execute("commit").await
}

/// Ends a transaction that wrote nothing. On a connection that is lost there is none.
async fn roll_back(client: &ClientWrapper) {
    if let Err(error) = client.batch_execute("rollback").await {
        tracing::debug!(%error, "a connection was lost before its rollback");
    }
}
