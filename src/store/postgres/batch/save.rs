//! The second trip: writes the journal and commits.

mod columns;
mod statements;

use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Error, Statement};

pub(super) use self::columns::Columns;
use self::columns::Parameters;
pub(super) use self::statements::Statements;
use super::BatchError;
use crate::models::posting::Journal;
use crate::models::{Timestamp, idempotency};
use crate::store::keys;

/// The keys that are past their life, a few a batch.
pub(super) struct DeadKeys {
    oldest: Timestamp,
    before: Timestamp,
    limit: i64,
}

impl DeadKeys {
    /// `None` if nothing is to be dropped. Keys are dropped by batches that use some: the youngest stays, and with it
    /// the time that keys have died by.
    pub(super) fn of(
        journal: &Journal,
        now: Timestamp,
        oldest_key_use: Option<Timestamp>,
        commands: usize,
    ) -> Option<Self> {
        let before = now.saturating_add_seconds(-idempotency::KEY_LIFE_S);
        let limit = i64::try_from(commands * keys::DEAD_KEYS_PER_COMMAND).unwrap_or(i64::MAX);
        let oldest = oldest_key_use.filter(|&used_at| used_at <= before && !journal.keys.is_empty())?;
        Some(Self { oldest, before, limit })
    }

    fn parameters(&self) -> Parameters<'_> {
        vec![&self.oldest, &self.before, &self.limit]
    }
}

/// Writes and commits. The outcome is unknown if the connection ends, or the server ends it, before it has answered
/// everything: an ordinary error of any statement turns the commit into a rollback.
pub(super) async fn save(
    client: &ClientWrapper,
    statements: &Statements,
    columns: &Columns<'_>,
    dead: Option<DeadKeys>,
) -> Result<(), BatchError> {
    let trip = Trip { client, failed: AtomicBool::new(false), commits: AtomicBool::new(false) };
    // In this order on the wire: what is to be gone before something takes its place goes first.
    let (dead, replaced, users, opened, updated, posted, keys, committed) = tokio::join!(
        biased;
        trip.execute(&statements.dead_keys, dead.as_ref().map(DeadKeys::parameters)),
        trip.execute(&statements.replaced_keys, columns.replaced_keys()),
        trip.execute(&statements.users, columns.users()),
        trip.execute(&statements.opened, columns.opened()),
        trip.execute(&statements.updated, columns.updated()),
        trip.execute(&statements.posted, columns.posted()),
        trip.execute(&statements.keys, columns.keys_alone()),
        trip.commit(),
    );
    let all = [dead, replaced, users, opened, updated, posted, keys, committed];
    let told = |error| {
        let known = !trip.commits.load(Ordering::Relaxed) || says_what_became_of_it(&error);
        if known { BatchError::NotCommitted(error) } else { BatchError::Unknown(error) }
    };
    all.into_iter().collect::<Result<(), Error>>().map_err(told)
}

/// Statements that are sent one behind the other.
struct Trip<'a> {
    client: &'a ClientWrapper,
    /// Whether one failed before it was sent.
    failed: AtomicBool,
    /// Whether the commit was sent.
    commits: AtomicBool,
}

impl Trip<'_> {
    /// Sends a statement, if it has something to do.
    async fn execute(&self, statement: &Statement, parameters: Option<Parameters<'_>>) -> Result<(), Error> {
        let Some(parameters) = parameters else { return Ok(()) };
        let done = self.client.execute(statement, &parameters).await;
        self.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done.map(drop)
    }

    /// What could not even be sent must not be missing from what is committed.
    async fn commit(&self) -> Result<(), Error> {
        let commits = !self.failed.load(Ordering::Relaxed);
        self.commits.store(commits, Ordering::Relaxed);
        self.client.batch_execute(if commits { "commit" } else { "rollback" }).await
    }
}

/// Whether an error is the server's word on a statement. When it ends a session (class 57P) or the way to it (08), a
/// commit may have gone through before; an error without a code is this side's, about the connection.
fn says_what_became_of_it(error: &Error) -> bool {
    error.code().is_some_and(|code| !code.code().starts_with("57P") && !code.code().starts_with("08"))
}
