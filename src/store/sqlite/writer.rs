//! The one connection that writes: load, let the rule decide, store the journal, commit, sync.

mod load;
mod save;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::checkpoint::Checkpointer;
use super::rows;
use crate::models::posting::{Command, Outcome};
use crate::models::{Head, Timestamp};
use crate::store::columns::head_query;
use crate::store::{Clock, StoreError};

/// Commits batches. One thread owns it.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
    /// The last event's `seq` at the end of the last batch.
    last_seq: u64,
}

impl Writer {
    pub(super) fn new(mut connection: Connection, for_checkpoints: Connection) -> Result<Self, StoreError> {
        let checkpointer = Checkpointer::start(for_checkpoints, &mut connection)?;
        Ok(Self { connection, checkpointer, last_seq: 0 })
    }

    /// Decides and stores a batch; see [`crate::store::Writer::commit`].
    pub fn commit(&mut self, commands: &[Command], clock: Clock<'_>) -> Result<Vec<Outcome>, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut books = load::load(&transaction, commands, clock())?;
        let outcomes = commands.iter().map(|command| books.decide(command)).collect();
        let now = books.now();
        let journal = books.into_journal();
        if !journal.keys.is_empty() {
            // The youngest key stays and with it the time that keys have died by.
            save::drop_dead_keys(&transaction, now, commands.len())?;
        }
        if !journal.is_empty() {
            save::save(&transaction, &journal)?;
        }
        transaction.commit()?;
        self.last_seq = journal.head.seq;
        self.checkpointer.after_commit();
        Ok(outcomes)
    }

    /// The `seq` of the last event when the last batch was stored; 0 before the first.
    pub const fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// The end of the log, as this connection sees it.
    pub fn head(&self) -> Result<Head, StoreError> {
        Ok(self.connection.prepare_cached(head_query!())?.query_row((), rows::head)?)
    }

    /// The first time limit that is up; see [`crate::store::Writer::first_due`].
    pub fn first_due(&self, clock: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "select expires_at from transfers where status = 'pending' and expires_at is not null
                 and expires_at <= max(?1, (select at from head where id = 1),
                     coalesce((select used_at from idempotency order by rowid desc limit 1), 0))
             order by expires_at limit 1",
        )?;
        Ok(query.query_row([clock], |row| row.get(0)).optional()?)
    }

    /// Closes the database. The last connection to it moves the log into the file and removes the log; nobody
    /// waits for readers of other processes, since the log is as durable as the file.
    pub fn close(self) -> Result<(), StoreError> {
        self.checkpointer.stop();
        self.connection.close().map_err(|(_, error)| error.into())
    }
}
