//! The log as readers of events ask for it: from any `seq` on, in pages, and what is needed to tell whom an event
//! concerns.
//!
//! `seq` has no gaps and commits become visible in its order, so whoever has read up to one event misses nothing that
//! comes before the next one.

use super::reader::timed;
use super::{Reader, StoreError};
use crate::models::{AccountId, Event, Transfer, TransferId, UserId};

impl Reader {
    /// The events behind `after`, in order, as many as `limit` allows. Never from a server that lags behind.
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.events(after, limit),
                Self::Postgres(reader) => reader.events(after, limit).await,
            }
        };
        timed(answer).await
    }

    /// Those of the transfers that there are, in any order.
    pub async fn transfers_by_id(&self, ids: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.transfers_by_id(ids),
                Self::Postgres(reader) => reader.transfers_by_id(ids).await,
            }
        };
        timed(answer).await
    }

    /// Whose the accounts are, in any order; those that there are not are left out.
    pub async fn owners(&self, ids: &[AccountId]) -> Result<Vec<(AccountId, UserId)>, StoreError> {
        let answer = async {
            match self {
                Self::Sqlite(reader) => reader.owners(ids),
                Self::Postgres(reader) => reader.owners(ids).await,
            }
        };
        timed(answer).await
    }
}

/// Reads a body of the log.
pub(super) fn decoded(body: &[u8]) -> Result<Event, StoreError> {
    Event::decode(body).map_err(|error| StoreError::Corrupt(format!("an event cannot be read: {error}")))
}
