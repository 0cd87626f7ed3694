//! Transfers by what is known of them.
//!
//! An index is walked for the `seq` of its rows, which it holds itself; only then are transfers read, each by its
//! row id. `indexed by` makes a plan that would walk over anything else an error.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, ToSql};

use super::{Reader, seq_and_time};
use crate::models::{Timestamp, Transfer};
use crate::store::columns::transfer_columns;
use crate::store::sqlite::rows;
use crate::store::{StoreError, Stretch, TransferIndex, TransferQuery};

/// A walk over an index: of ?1, from `seq` ?2 on, before ?3, at most ?4 rows.
macro_rules! walk {
    ($rows:literal) => {
        concat!("select seq from ", $rows, " and seq >= ?2 and seq < ?3 order by seq desc limit ?4")
    };
}

const BY_SEQ: &[&str] = &[walk!("transfers where ?1 is null")];
const BY_KEY: &[&str] = &[walk!("transfers indexed by transfers_by_key where idempotency_key = ?1")];
const BY_REFERENCE: &[&str] = &[walk!("transfers indexed by transfers_by_reference where reference = ?1")];
const UNPOSTED: &[&str] =
    &[walk!("transfers indexed by transfers_by_status where status <> 'posted' and status = ?1")];
const DIRECT: &[&str] = &[walk!("entries where account_id = ?1")];
const HOLDS: &[&str] = &[
    walk!("transfers indexed by holds_by_debit_account where hold = 1 and debit_account = ?1"),
    walk!("transfers indexed by holds_by_credit_account where hold = 1 and credit_account = ?1"),
];

/// The walks over an index, and what each begins with.
fn walks<'a>(by: &'a TransferIndex<'_>) -> (&'static [&'static str], Vec<&'a dyn ToSql>) {
    match by {
        TransferIndex::Seq => (BY_SEQ, vec![&None::<i64>]),
        TransferIndex::Key(key) => (BY_KEY, vec![key]),
        TransferIndex::Reference(reference) => (BY_REFERENCE, vec![reference]),
        TransferIndex::Unposted(status) => (UNPOSTED, vec![status]),
        TransferIndex::Direct(accounts) => (DIRECT, accounts.iter().map(|id| id as _).collect()),
        TransferIndex::Holds(accounts) => (HOLDS, accounts.iter().map(|id| id as _).collect()),
    }
}

/// A walk over an index from a value on, and the greatest `seq` that it finds.
struct Walk<'a> {
    first: u64,
    sql: &'static str,
    value: &'a dyn ToSql,
}

impl Reader {
    /// A stretch of transfers in descending order of `seq`.
    pub fn transfers(&self, query: TransferQuery<'_>) -> Result<Stretch, StoreError> {
        // One snapshot: all walks end at the same transfer.
        let _snapshot = self.connection.unchecked_transaction()?;
        let newest = self.newest(&query)?;
        let is_cut = newest.len() == query.limit as usize;
        let rest = newest.first().copied().filter(|_| is_cut);
        let found = newest.into_iter().rev().filter_map(|seq| self.transfer_at(seq).transpose());
        Ok(Stretch { transfers: found.collect::<Result<_, _>>()?, rest })
    }

    /// The greatest numbers among the rows of all walks.
    fn newest(&self, query: &TransferQuery<'_>) -> Result<BTreeSet<u64>, StoreError> {
        // A caller's cursor may name any number; no `seq` is beyond what a column holds.
        let before_seq = query.before_seq.min(i64::MAX as u64);
        let mut newest = BTreeSet::new();
        // What is below the least of a full stretch need not be walked over.
        let mut from_seq = query.from_seq;
        for Walk { first, sql, value } in self.walks(query, before_seq)? {
            if first < from_seq {
                break;
            }
            let mut walk = self.connection.prepare_cached(sql)?;
            let mut rows = walk.query((value, from_seq, before_seq, query.limit))?;
            while let Some(row) = rows.next()? {
                newest.insert(row.get(0)?);
            }
            while newest.len() > query.limit as usize {
                newest.pop_first();
            }
            if newest.len() == query.limit as usize {
                from_seq = newest.first().map_or(from_seq, |least| least + 1);
            }
        }
        Ok(newest)
    }

    /// The walks that find anything, those that begin with the newest first: of many accounts, most are then passed by
    /// once a stretch is full.
    fn walks<'a>(&self, query: &'a TransferQuery<'_>, before_seq: u64) -> Result<Vec<Walk<'a>>, StoreError> {
        let (statements, values) = walks(&query.by);
        let mut found = Vec::with_capacity(statements.len() * values.len());
        for sql in statements {
            let mut walk = self.connection.prepare_cached(sql)?;
            for &value in &values {
                let first = walk.query_row((value, query.from_seq, before_seq, 1), |row| row.get(0));
                found.extend(first.optional()?.map(|first| Walk { first, sql, value }));
            }
        }
        found.sort_unstable_by_key(|walk| Reverse(walk.first));
        Ok(found)
    }

    fn transfer_at(&self, seq: u64) -> Result<Option<Transfer>, StoreError> {
        let sql = concat!("select ", transfer_columns!(), " from transfers where seq = ?1");
        Ok(self.connection.prepare_cached(sql)?.query_row([seq], rows::transfer).optional()?)
    }

    /// The `seq` from which on transfers were made at or after `time`.
    pub fn first_transfer_at(&self, time: Timestamp) -> Result<u64, StoreError> {
        let _snapshot = self.connection.unchecked_transaction()?;
        let mut next = self
            .connection
            .prepare_cached("select seq, created_at from transfers where seq >= ?1 order by seq limit 1")?;
        self.bisect(time, |seq| Ok(next.query_row([seq], seq_and_time).optional()?))
    }
}
