//! What one core reads through, whichever store it is, and how long each question took.

use std::time::Instant;

use super::{AccountQuery, Credentials, EntryQuery, StoreError, Stretch, TransferQuery, postgres, sqlite};
use crate::models::posting::Entry;
use crate::models::{Account, AccountId, Head, Timestamp, Transfer, TransferId, User, UserId};
use crate::telemetry::metrics::here;
use crate::telemetry::split::{Part, spent};

/// What one core reads through.
#[derive(Debug)]
pub enum Reader {
    /// SQLite.
    Sqlite(sqlite::Reader),
    /// Postgres.
    Postgres(postgres::Reader),
}

/// The answer to a question, which is counted with the time that it took.
pub(super) async fn timed<T>(answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let begin = Instant::now();
    let answer = answer.await;
    let took = begin.elapsed();
    here::store_answered(took, answer.is_ok());
    spent(Part::Store, took);
    tracing::debug!(took_us = %took.as_micros(), "the store has answered a question");
    answer
}

impl Reader {
    /// Runs a real query: the end of the log.
    pub async fn head(&self) -> Result<Head, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.head(),
                Self::Postgres(reader) => reader.head().await,
            }
        };
        timed(answer).await
    }

    /// A user by id.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.user(id),
                Self::Postgres(reader) => reader.user(id).await,
            }
        };
        timed(answer).await
    }

    /// A user by name, whatever its case.
    pub async fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.credentials(username),
                Self::Postgres(reader) => reader.credentials(username).await,
            }
        };
        timed(answer).await
    }

    /// An account by id.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.account(id),
                Self::Postgres(reader) => reader.account(id).await,
            }
        };
        timed(answer).await
    }

    /// A stretch of accounts.
    pub async fn accounts(&self, query: AccountQuery) -> Result<Vec<Account>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.accounts(query),
                Self::Postgres(reader) => reader.accounts(query).await,
            }
        };
        timed(answer).await
    }

    /// A stretch of an account's entries.
    pub async fn entries(&self, query: EntryQuery) -> Result<Vec<Entry>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.entries(query),
                Self::Postgres(reader) => reader.entries(query).await,
            }
        };
        timed(answer).await
    }

    /// An account's last entry at or before a time, or of all; never from a replica that lags behind.
    pub async fn last_entry(
        &self,
        account_id: AccountId,
        until: Option<Timestamp>,
    ) -> Result<Option<Entry>, StoreError> {
        let to = until.and_then(Timestamp::next);
        let query = EntryQuery { account_id, before_seq: None, from: None, to, limit: 1 };
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.entries(query),
                Self::Postgres(reader) => reader.entries_of_primary(query).await,
            }
        };
        Ok(timed(answer).await?.pop())
    }

    /// A transfer by id.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.transfer(id),
                Self::Postgres(reader) => reader.transfer(id).await,
            }
        };
        timed(answer).await
    }

    /// A stretch of transfers.
    pub async fn transfers(&self, query: TransferQuery<'_>) -> Result<Stretch, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.transfers(query),
                Self::Postgres(reader) => reader.transfers(query).await,
            }
        };
        timed(answer).await
    }

    /// The `seq` from which on transfers were made at or after a time.
    pub async fn first_transfer_at(&self, time: Timestamp) -> Result<u64, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.first_transfer_at(time),
                Self::Postgres(reader) => reader.first_transfer_at(time).await,
            }
        };
        timed(answer).await
    }
}
