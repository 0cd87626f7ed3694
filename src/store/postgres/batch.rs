//! One batch in one transaction, in two round trips: take the head's lock and load, let the rule decide, write and
//! commit. The statements of a trip are sent one behind the other without waiting for answers.
//!
//! Whoever holds the lock of the head row is alone in appending, over all replicas: that makes `seq` and the chain of
//! hashes gapless, and it makes locks of accounts needless. READ COMMITTED is asked for by name: each statement behind
//! the lock must see what its last holder committed, and under a stricter level it would see what was before the wait.

mod keys;
mod load;
mod save;
mod transfers;

use std::collections::HashSet;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::{Warned, detail};
use crate::models::posting::{Command, Journal, Outcome, Unseen};
use crate::models::{IdempotencyKey, Timestamp, UserId};
use crate::store::{Clock, StoreError};

/// Why a batch has no outcomes.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// Nothing of it was committed.
    #[error("{}", detail(.0))]
    NotCommitted(#[source] Error),
    /// The connection was lost between sending the commit and hearing of it.
    #[error("the outcome of a commit is unknown: {}", detail(.0))]
    Unknown(#[source] Error),
    /// The server warned beside the commit, as it does when the wait for a synchronous standby was cancelled.
    #[error("the server warned beside a commit: a standby may not have it")]
    Unconfirmed,
    /// The store holds something that it never wrote.
    #[error(transparent)]
    Store(#[from] StoreError),
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
            BatchError::Unknown(_) | BatchError::Unconfirmed => Self::Unavailable(error.to_string()),
            BatchError::Store(error) => error,
        }
    }
}

/// What is known of a connection beside what the library knows.
#[derive(Debug, Default)]
pub struct Memory {
    warned: Warned,
    /// No key is kept that was used before this, in microseconds since the Unix epoch; 0 if nothing is known. Rows that
    /// a long-lived snapshot still sees would else be walked over by each batch again.
    oldest_key_use: AtomicI64,
    /// No pending transfer ends before this, likewise.
    first_expiry: AtomicI64,
    /// The `seq` of the last event when the last batch was stored; 0 before the first.
    last_seq: AtomicU64,
}

impl Memory {
    pub(super) fn new(warned: Warned) -> Self {
        Self { warned, ..Self::default() }
    }

    /// The time before which no pending transfer is known to end.
    pub(super) fn no_expiry_before(&self) -> Timestamp {
        Timestamp::from_micros(self.first_expiry.load(Ordering::Relaxed)).unwrap_or(Timestamp::EPOCH)
    }

    pub(super) fn remember_no_expiry_before(&self, time: Timestamp) {
        self.first_expiry.store(time.as_micros(), Ordering::Relaxed);
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Relaxed)
    }

    /// Whether a commit counts: only if the server has not warned since warnings were last taken.
    fn confirmed(&self) -> Result<(), BatchError> {
        if self.warned.take() { Err(BatchError::Unconfirmed) } else { Ok(()) }
    }
}

/// Decides and stores a batch. `clock` is read once the head is locked. When this returns `Ok`, the outcomes are on
/// stable storage.
///
/// An attempt whose end is not known is added to `unseen`.
///
/// Not cancel safe: a connection on which the future was dropped is in the midst of a transaction, and its outcome is
/// unknown.
pub async fn post(
    client: &ClientWrapper,
    memory: &Memory,
    commands: &[Command],
    clock: Clock<'_>,
    unseen: &mut Unseen,
) -> Result<Vec<Outcome>, BatchError> {
    let statements = save::Statements::prepare(client).await?;
    let decided = match decide(client, memory, commands, clock, unseen).await {
        Ok(decided) => decided,
        Err(error) => {
            roll_back(client).await;
            return Err(error);
        }
    };
    let Decided { outcomes, journal, known_keys, oldest_key_use, now } = decided;
    if journal.is_empty() {
        confirm(client, memory).await?;
        return Ok(outcomes);
    }
    let dead = save::DeadKeys::of(&journal, now, oldest_key_use, commands.len());
    let columns = match save::Columns::of(&journal, &known_keys) {
        Ok(columns) => columns,
        Err(error) => {
            roll_back(client).await;
            return Err(error.into());
        }
    };
    memory.warned.take();
    let last_seq = journal.head.seq;
    let saved = save::save(client, &statements, &columns, dead).await.and_then(|()| memory.confirmed());
    drop(columns);
    if let Err(BatchError::Unknown(_) | BatchError::Unconfirmed) = saved {
        unseen.add(journal.keys);
    }
    saved?;
    memory.last_seq.store(last_seq, Ordering::Relaxed);
    Ok(outcomes)
}

/// A batch that is decided and not yet written.
struct Decided {
    outcomes: Vec<Outcome>,
    journal: Journal,
    known_keys: HashSet<(UserId, IdempotencyKey)>,
    oldest_key_use: Option<Timestamp>,
    now: Timestamp,
}

async fn decide(
    client: &ClientWrapper,
    memory: &Memory,
    commands: &[Command],
    clock: Clock<'_>,
    unseen: &Unseen,
) -> Result<Decided, BatchError> {
    let oldest = Timestamp::from_micros(memory.oldest_key_use.load(Ordering::Relaxed));
    let loaded = load::load(client, commands, oldest.unwrap_or(Timestamp::EPOCH)).await?;
    check_clock(loaded.server_time)?;
    if let Some(oldest) = loaded.oldest_key_use {
        memory.oldest_key_use.store(oldest.as_micros(), Ordering::Relaxed);
    }
    let (oldest_key_use, known_keys) = (loaded.oldest_key_use, loaded.known_keys());
    let mut books = loaded.into_books(clock());
    // Each attempt finds anew what those before it have left.
    let mut unseen = unseen.clone();
    let decide = |command| {
        if unseen.is_empty() { books.decide(command) } else { books.decide_again(command, &mut unseen) }
    };
    let outcomes = commands.iter().map(decide).collect();
    let now = books.now();
    Ok(Decided { outcomes, journal: books.into_journal(), known_keys, oldest_key_use, now })
}

/// How far this host's clock may be from the database's: far more than clocks that are kept differ, and little beside
/// the life of a key. A replica that is days ahead would have every live key die for all.
const CLOCK_SKEW_MAX: Duration = Duration::from_mins(1);

fn check_clock(server_time: SystemTime) -> Result<(), StoreError> {
    let own = SystemTime::now();
    let skew = own.duration_since(server_time).unwrap_or_else(|behind| behind.duration());
    if skew <= CLOCK_SKEW_MAX {
        return Ok(());
    }
    let seconds = skew.as_secs();
    Err(StoreError::Unavailable(format!(
        "the clocks of this host and of the database are {seconds} s apart; set them right"
    )))
}

/// Makes sure of what was found. A commit is seen before a standby has it when the session that waited for the standby
/// was ended, as a restart of the server does. The head's lock is in the log of the server, so this transaction's commit
/// waits for the disk and the standby as any does, and with it for all that was committed before.
async fn confirm(client: &ClientWrapper, memory: &Memory) -> Result<(), BatchError> {
    memory.warned.take();
    client.batch_execute("commit").await?;
    memory.confirmed()
}

/// Ends a transaction that wrote nothing. On a connection that is lost there is none.
async fn roll_back(client: &ClientWrapper) {
    if let Err(error) = client.batch_execute("rollback").await {
        tracing::debug!(%error, "a connection was lost before its rollback");
    }
}
