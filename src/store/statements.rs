//! What a statement reads: the stretch of an account's entries that a period covers, then its lines in pages.
//!
//! Each call is a read transaction of its own, since a long one would keep SQLite's log from beginning anew; entries
//! never change, so pages up to a fixed `seq` are one history all the same. Nothing is read on the connections
//! that requests are answered from. Knows nothing of how a statement looks.

use tokio::sync::Mutex;

use super::{Store, StoreError, postgres, sqlite};
use crate::models::transfer::{Description, Reference};
use crate::models::{AccountId, Money, Timestamp, TransferId};

/// Which entries a statement covers.
#[derive(Debug, Clone, Copy)]
pub struct SpanQuery {
    /// The account.
    pub account_id: AccountId,
    /// Entries at or after this time,
    pub from: Timestamp,
    /// and before this one.
    pub to: Timestamp,
}

/// The entries of a period, which later commits no longer change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The least `seq` that an entry of the period can have.
    pub first_seq: u64,
    /// The `seq` behind the last.
    pub end_seq: u64,
    /// The balance before the first entry.
    pub opening: Money,
    /// The balance after the last.
    pub closing: Money,
    /// Whether a replica told it. What the primary told, a replica may not have yet.
    pub is_of_replica: bool,
}

/// A page of a span.
#[derive(Debug, Clone, Copy)]
pub struct LineQuery {
    /// The account.
    pub account_id: AccountId,
    /// Entries from this `seq` on,
    pub first_seq: u64,
    /// and below this one.
    pub end_seq: u64,
    /// Whether a replica may be asked.
    pub may_lag: bool,
    /// How many at most.
    pub limit: u32,
}

/// An entry with what its transfer says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The event that made it.
    pub seq: u64,
    /// When.
    pub created_at: Timestamp,
    /// The transfer.
    pub transfer_id: TransferId,
    /// The account on the transfer's other side.
    pub counterparty: AccountId,
    /// The caller's words for people.
    pub description: Option<Description>,
    /// The caller's own name for the transfer.
    pub reference: Option<Reference>,
    /// What the entry changed; negative for money that left.
    pub amount: Money,
    /// The balance after it.
    pub balance: Money,
}

/// What statements are read through. For one core, like a [`Reader`](super::Reader).
#[derive(Debug)]
pub enum StatementReader {
    /// A thread with a connection of its own, for all cores.
    Sqlite(sqlite::StatementReader),
    /// A connection of this core of its own, to the replica if there is one. Statements take turns on it, a page each.
    Postgres(Mutex<postgres::Reader>),
}

/// The columns of a line: an entry's, then its transfer's. What an entry of no transfer lacks is refused as null.
macro_rules! line_query {
    ($account:literal, $first:literal, $end:literal, $limit:literal) => {
        concat!(
            "select e.seq, e.created_at, e.transfer_id,
                case when t.debit_account = e.account_id then t.credit_account else t.debit_account end,
                t.description, t.reference, e.amount, e.balance
             from entries e left join transfers t on t.id = e.transfer_id
             where e.account_id = ",
            $account,
            " and e.seq >= ",
            $first,
            " and e.seq < ",
            $end,
            " order by e.seq limit ",
            $limit
        )
    };
}
pub(super) use line_query;

impl Store {
    /// What statements are read through, one for each core.
    pub fn statement_readers(&self, cores: usize) -> Result<Vec<StatementReader>, StoreError> {
        match self {
            Self::Sqlite(database) => {
                let reader = database.statement_reader()?;
                Ok((0..cores).map(|_| StatementReader::Sqlite(reader.clone())).collect())
            }
            Self::Postgres(database) => {
                let reader = |_| database.statement_reader().map(Mutex::new).map(StatementReader::Postgres);
                (0..cores).map(reader).collect()
            }
        }
    }
}

impl StatementReader {
    /// The entries of a period, as far as they are committed now.
    pub async fn span(&self, wanted: SpanQuery) -> Result<Span, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.span(wanted).await,
            Self::Postgres(reader) => reader.lock().await.statement_span(wanted).await,
        }
    }

    /// A page of a span, oldest first.
    pub async fn lines(&self, wanted: LineQuery) -> Result<Vec<Line>, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.lines(wanted).await,
            Self::Postgres(reader) => reader.lock().await.statement_lines(wanted).await,
        }
    }
}
