//! Queries of the log, always of the primary: a standby that lags behind would be asked for what it has not got yet.

use super::super::rows;
use super::Reader;
use crate::models::{AccountId, Event, Transfer, TransferId, UserId};
use crate::store::StoreError;
use crate::store::columns::{events_query, transfer_columns};
use crate::store::events::decoded;

const TRANSFERS: &str = concat!("select ", transfer_columns!(), " from transfers where id = any($1)");
const OWNERS: &str = "select id, owner from accounts where id = any($1)";

impl Reader {
    /// The events behind `after`, in order.
    pub async fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        // A caller may name any number; no `seq` is beyond what a column holds.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let found = self.rows(&self.primary, events_query!(), &[&after, &i64::from(limit)]).await?;
        found.iter().map(|row| decoded(rows::get(row, 0)?)).collect()
    }

    /// Those of the transfers that there are.
    pub async fn transfers_by_id(&self, ids: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        let found = self.rows(&self.primary, TRANSFERS, &[&ids]).await?;
        found.iter().map(rows::transfer).collect()
    }

    /// Whose the accounts are.
    pub async fn owners(&self, ids: &[AccountId]) -> Result<Vec<(AccountId, UserId)>, StoreError> {
        let found = self.rows(&self.primary, OWNERS, &[&ids]).await?;
        found.iter().map(|row| Ok((rows::get(row, 0)?, rows::get(row, 1)?))).collect()
    }
}
