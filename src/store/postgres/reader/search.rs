//! Transfers by what is known of them, from the primary: who has just paid looks for it here.
//!
//! An index is walked for the `seq` of its rows; only then are transfers read, each by its key. Rows are compared as
//! pairs of value and `seq`, and ordered so: an order by `seq` alone would let the planner walk back over the whole
//! ledger in search of a value that it takes for a common one.

use tokio_postgres::types::ToSql;

use super::Reader;
use crate::models::{Timestamp, TransferId};
use crate::store::columns::transfer_columns;
use crate::store::postgres::convert::{signed, unsigned};
use crate::store::postgres::rows;
use crate::store::{StoreError, Stretch, TransferIndex, TransferQuery};

/// Place of `walked`, behind the columns of a transfer.
const WALKED: usize = 18;

/// The transfers at the ends of a walk, which names each `seq` as `walked`: from $1 on, before $2, at most $3 rows.
macro_rules! transfers_of {
    ($walk:expr) => {
        concat!(
            "select ",
            transfer_columns!(),
            ", walked from (",
            $walk,
            ") as walk left join transfers on seq = walked order by walked desc"
        )
    };
}

/// A walk over an index that begins with $4.
macro_rules! walk {
    ($rows:literal, $column:literal) => {
        concat!(
            "select seq as walked from ",
            $rows,
            " and (",
            $column,
            ", seq) >= ($4, $1) and (",
            $column,
            ", seq) < ($4, $2) order by ",
            $column,
            " desc, seq desc limit $3"
        )
    };
}

/// The same for each account of $4.
macro_rules! walk_each {
    ($($rows:literal, $column:literal);+) => {
        concat!(
            "select distinct walked from unnest($4::uuid[]) as wanted (account) cross join lateral (",
            $("(select seq as walked from ", $rows, " and ", $column, " = account and seq >= $1 and seq < $2",
            " order by ", $column, " desc, seq desc limit $3) union all ",)+
            "select null where false) as own order by walked desc limit $3"
        )
    };
}

const BY_SEQ: &str = transfers_of!(
    "select seq as walked from transfers where seq >= $1 and seq < $2 order by seq desc limit $3"
);
const BY_KEY: &str = transfers_of!(walk!("transfers where true", "idempotency_key collate \"C\""));
const BY_REFERENCE: &str =
    transfers_of!(walk!("transfers where reference is not null", "reference collate \"C\""));
const UNPOSTED: &str = transfers_of!(walk!("transfers where status <> 'posted'", "status collate \"C\""));
const DIRECT: &str = transfers_of!(walk_each!("entries where true", "account_id"));
const HOLDS: &str = transfers_of!(
    walk_each!("transfers where hold", "debit_account"; "transfers where hold", "credit_account")
);

/// The least `seq` from which on transfers were made at or after $1, by bisection as for entries.
const FIRST_AT: &str = "with recursive bisection (low, high) as (
        select 0::bigint, (select seq + 1 from head where id = 1)
        union all
        select case when next.created_at < $1 then next.seq + 1 else low end,
            case when next.created_at < $1 then high else (low + high) / 2 end
        from bisection left join lateral (
            select seq, created_at from transfers
            where seq >= (low + high) / 2 order by seq limit 1) as next on true
        where low < high)
    select low from bisection where low >= high limit 1";

/// The walk over an index, and what it begins with.
fn walk<'a>(by: &'a TransferIndex<'_>) -> (&'static str, Option<&'a (dyn ToSql + Sync)>) {
    match by {
        TransferIndex::Seq => (BY_SEQ, None),
        TransferIndex::Key(key) => (BY_KEY, Some(key)),
        TransferIndex::Reference(reference) => (BY_REFERENCE, Some(reference)),
        TransferIndex::Unposted(status) => (UNPOSTED, Some(status)),
        TransferIndex::Direct(accounts) => (DIRECT, Some(accounts)),
        TransferIndex::Holds(accounts) => (HOLDS, Some(accounts)),
    }
}

impl Reader {
    /// A stretch of transfers in descending order of `seq`.
    pub async fn transfers(&self, query: TransferQuery<'_>) -> Result<Stretch, StoreError> {
        let (from_seq, before_seq) = (signed(query.from_seq), signed(query.before_seq));
        let limit = i64::from(query.limit);
        let (sql, value) = walk(&query.by);
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&from_seq, &before_seq, &limit];
        parameters.extend(value);
        let found = self.rows(&self.primary, sql, &parameters).await?;
        let is_cut = found.len() == query.limit as usize;
        let last = found.last().filter(|_| is_cut);
        let rest = last.map(|row| rows::get(row, WALKED).map(unsigned)).transpose()?;
        let mut transfers = Vec::with_capacity(found.len());
        for row in &found {
            if rows::get::<Option<TransferId>>(row, 0)?.is_some() {
                transfers.push(rows::transfer(row)?);
            }
        }
        Ok(Stretch { transfers, rest })
    }

    /// The `seq` from which on transfers were made at or after `time`.
    pub async fn first_transfer_at(&self, time: Timestamp) -> Result<u64, StoreError> {
        let row = self.row(FIRST_AT, &[&time]).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("the head record is missing".into()))?;
        rows::get(&row, 0).map(unsigned)
    }
}
