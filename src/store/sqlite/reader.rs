//! Queries of one core. A point read takes about 2 µs from SQLite's page cache, so they run where they are
//! asked, on the core's own connection.

mod events;
mod search;
mod statement;

use rusqlite::{Connection, OptionalExtension, Row};

use super::rows;
use crate::models::posting::Entry;
use crate::models::{Account, AccountId, Head, Timestamp, Transfer, TransferId, User, UserId};
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns, user_columns};
use crate::store::{AccountQuery, Credentials, EntryQuery, StoreError};

/// A connection that only reads.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

impl Reader {
    pub(super) const fn new(connection: Connection) -> Self {
        Self { connection }
    }

    /// The end of the log.
    pub fn head(&self) -> Result<Head, StoreError> {
        let mut query = self.connection.prepare_cached(head_query!())?;
        Ok(query.query_row((), rows::head)?)
    }

    /// A user by id.
    pub fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let sql = concat!("select ", user_columns!(), " from users where id = ?1");
        let mut query = self.connection.prepare_cached(sql)?;
        Ok(query.query_row([id], rows::user).optional()?)
    }

    /// A user by name, whatever its case, with the password's hash.
    pub fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        let sql = concat!("select ", user_columns!(), ", password_hash from users where username = ?1");
        let mut query = self.connection.prepare_cached(sql)?;
        let credentials = |row: &Row<'_>| {
            Ok(Credentials { user: rows::user(row)?, password_hash: row.get("password_hash")? })
        };
        Ok(query.query_row([username], credentials).optional()?)
    }

    /// An account by id.
    pub fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        let mut query = self.connection.prepare_cached(concat!(
            "select ",
            account_columns!(),
            " from accounts where id = ?1"
        ))?;
        Ok(query.query_row([id], rows::account).optional()?)
    }

    /// Accounts in ascending order of id.
    pub fn accounts(&self, wanted: AccountQuery) -> Result<Vec<Account>, StoreError> {
        let after = wanted.after.map_or_else(String::new, |id| id.to_string());
        let all = concat!("select ", account_columns!(), " from accounts where id > ?1 order by id limit ?2");
        let own = concat!(
            "select ",
            account_columns!(),
            " from accounts where id > ?1 and owner = ?3 order by id limit ?2"
        );
        let found: rusqlite::Result<_> = match wanted.owner {
            Some(owner) => self
                .connection
                .prepare_cached(own)?
                .query_map((after, wanted.limit, owner), rows::account)?
                .collect(),
            None => self
                .connection
                .prepare_cached(all)?
                .query_map((after, wanted.limit), rows::account)?
                .collect(),
        };
        Ok(found?)
    }

    /// Entries in descending order of `seq`.
    pub fn entries(&self, wanted: EntryQuery) -> Result<Vec<Entry>, StoreError> {
        // One snapshot: what is committed between two statements would move the bounds of the first.
        let _snapshot = self.connection.unchecked_transaction()?;
        let bound = |time: Option<Timestamp>| -> Result<Option<u64>, StoreError> {
            time.map(|time| self.first_seq_at(wanted.account_id, time)).transpose()
        };
        let least = bound(wanted.from)?.unwrap_or(0);
        let ends = [wanted.before_seq, bound(wanted.to)?];
        // A caller's cursor may name any number; no `seq` is beyond what a column holds.
        let end = ends.into_iter().flatten().fold(i64::MAX as u64, u64::min);
        let sql = concat!(
            "select ",
            entry_columns!(),
            " from entries where account_id = ?1 and seq >= ?2 and seq < ?3 order by seq desc limit ?4"
        );
        let mut query = self.connection.prepare_cached(sql)?;
        let found = query.query_map((wanted.account_id, least, end, wanted.limit), rows::entry)?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    /// A transfer by id.
    pub fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
        let sql = concat!("select ", transfer_columns!(), " from transfers where id = ?1");
        let mut query = self.connection.prepare_cached(sql)?;
        Ok(query.query_row([id], rows::transfer).optional()?)
    }

    /// The least `seq` from which on the account's entries are at or after `time`.
    ///
    /// `created_at` never falls as `seq` grows, so it is found by bisection over the clustered key, without
    /// an index by time: about 2 × log2(last seq) point reads.
    fn first_seq_at(&self, account_id: AccountId, time: Timestamp) -> Result<u64, StoreError> {
        let mut next = self.connection.prepare_cached(
            "select seq, created_at from entries where account_id = ?1 and seq >= ?2 order by seq limit 1",
        )?;
        self.bisect(time, |seq| Ok(next.query_row((account_id, seq), seq_and_time).optional()?))
    }

    /// The least `seq` at or after `time`, where `next` finds the first row of at least some `seq`.
    fn bisect(
        &self,
        time: Timestamp,
        mut next: impl FnMut(u64) -> Result<Option<(u64, Timestamp)>, StoreError>,
    ) -> Result<u64, StoreError> {
        let (mut low, mut high) = (0, self.head()?.seq + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            match next(middle)? {
                Some((seq, created_at)) if created_at < time => low = seq + 1,
                Some(_) | None => high = middle,
            }
        }
        Ok(low)
    }
}

fn seq_and_time(row: &Row<'_>) -> rusqlite::Result<(u64, Timestamp)> {
    Ok((row.get(0)?, row.get(1)?))
}
