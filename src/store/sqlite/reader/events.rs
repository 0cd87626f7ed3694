//! Queries of the log. Each row takes a few microseconds, so a page is read where it is asked for.

use rusqlite::OptionalExtension;

use super::Reader;
use crate::models::{AccountId, Event, Transfer, TransferId, UserId};
use crate::store::StoreError;
use crate::store::columns::events_query;
use crate::store::events::decoded;

impl Reader {
    /// The events behind `after`, in order.
    pub fn events(&self, after: u64, limit: u32) -> Result<Vec<Event>, StoreError> {
        // A caller may name any number; no `seq` is beyond what a column holds.
        let after = after.min(i64::MAX as u64);
        let mut query = self.connection.prepare_cached(events_query!())?;
        let mut rows = query.query((after, limit))?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            events.push(decoded(row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?)?);
        }
        Ok(events)
    }

    /// Those of the transfers that there are.
    pub fn transfers_by_id(&self, ids: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        ids.iter().filter_map(|&id| self.transfer(id).transpose()).collect()
    }

    /// Whose the accounts are.
    pub fn owners(&self, ids: &[AccountId]) -> Result<Vec<(AccountId, UserId)>, StoreError> {
        let mut query = self.connection.prepare_cached("select owner from accounts where id = ?1")?;
        let mut owners = Vec::with_capacity(ids.len());
        for &id in ids {
            if let Some(owner) = query.query_row([id], |row| row.get(0)).optional()? {
                owners.push((id, owner));
            }
        }
        Ok(owners)
    }
}
