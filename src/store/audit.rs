//! What `verify` and `export` walk through: everything a store keeps, from one consistent view, a row at a time.

use std::ops::Range;

use super::keys::{self, Kept};
use super::{Credentials, StoreError, postgres, sqlite};
use crate::models::event::ChainHash;
use crate::models::posting::{Entry, LoggedEvent};
use crate::models::{
    Account, AccountId, Currency, Fingerprint, Head, IdempotencyKey, Money, Timestamp, Transfer, UserId,
};

/// Rows that are held at once where a store is read in pages: the bound of the walk's memory.
pub(super) const PAGE_ROWS: u32 = 1_000;

/// An event as it is stored, with the rows that are derived from it.
#[derive(Debug)]
pub struct StoredEvent {
    /// Its place in the log.
    pub seq: u64,
    /// Its canonical bytes.
    pub body: Vec<u8>,
    /// The chain's hash up to and with it.
    pub hash: ChainHash,
    /// The entries with its `seq`.
    pub entries: Vec<Entry>,
    /// The transfer it is about, if there is such a row.
    pub transfer: Option<Transfer>,
    /// The transfer that it reverses, if there is such a row.
    pub original: Option<Transfer>,
    /// The currencies of that transfer's accounts, as far as these exist.
    pub currencies: Vec<(AccountId, Currency)>,
    /// What is kept under that transfer's key.
    pub key: Option<StoredKey>,
}

impl StoredEvent {
    /// An event without what is derived from it.
    pub(super) fn bare(seq: u64, body: Vec<u8>, hash: ChainHash) -> Self {
        let (entries, currencies) = (Vec::new(), Vec::new());
        Self { seq, body, hash, entries, transfer: None, original: None, currencies, key: None }
    }
}

/// What an idempotency record says of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// The events that the command brought; none if that cannot be read.
    pub events: Range<u64>,
    /// When it was used.
    pub used_at: Timestamp,
}

/// A row of the idempotency records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptKey {
    /// Whose key.
    pub user_id: UserId,
    /// The key.
    pub key: IdempotencyKey,
    /// What the key was used for.
    pub fingerprint: Fingerprint,
    /// When.
    pub used_at: Timestamp,
    /// The event of a command that brought one.
    pub seq: Option<u64>,
    /// What became of any other command, as JSON text.
    pub outcome: Option<String>,
}

impl KeptKey {
    /// Whether its outcome can be read and, that of a batch, is what was written.
    pub fn check(&self) -> Result<(), StoreError> {
        match (self.seq, self.outcome.as_deref()) {
            (Some(_), _) => Ok(()),
            (None, Some(text)) => match keys::read(text)? {
                Kept::Rejected { .. } => Ok(()),
                Kept::Batch { batch } => batch.check(self.fingerprint),
            },
            (None, None) => Err(no_outcome()),
        }
    }
}

/// The events that a record tells of by its two columns.
pub(super) fn events_of(seq: Option<u64>, outcome: Option<&str>) -> Result<Range<u64>, StoreError> {
    match (seq, outcome) {
        (Some(seq), _) => Ok(seq..seq.saturating_add(1)),
        (None, Some(text)) => keys::read(text).map(|kept| match kept {
            Kept::Rejected { .. } => 0..0,
            Kept::Batch { batch } => batch.seqs(),
        }),
        (None, None) => Err(no_outcome()),
    }
}

fn no_outcome() -> StoreError {
    StoreError::Corrupt("a key's record has no outcome".into())
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCounts {
    /// Rows of `users`.
    pub users: u64,
    /// Rows of `accounts`.
    pub accounts: u64,
    /// Idempotency records.
    pub keys: u64,
    /// Rows of `transfers`.
    pub transfers: u64,
    /// Rows of `entries`.
    pub entries: u64,
    /// Rows of `transfers` that say they were reversed.
    pub reversed: u64,
}

/// A walk over everything. Memory stays bounded whatever the ledger's size; a visitor that returns an error
/// ends its walk.
pub trait Source {
    /// Where the log says it ends.
    fn head(&self) -> Result<Head, StoreError>;

    /// Counts whole tables.
    fn row_counts(&self) -> Result<RowCounts, StoreError>;

    /// Events in ascending order of `seq`.
    fn each_event<E: From<StoreError>>(
        &self,
        visit: impl FnMut(StoredEvent) -> Result<(), E>,
    ) -> Result<(), E>;

    /// Events in ascending order of `seq`, without what is derived from them.
    fn each_logged<E: From<StoreError>>(
        &self,
        visit: impl FnMut(LoggedEvent) -> Result<(), E>,
    ) -> Result<(), E>;

    /// The next page of accounts in ascending order of id, each with the sum of its open holds; empty after the last.
    fn accounts_after(&self, last: Option<AccountId>) -> Result<Vec<(Account, Money)>, StoreError>;

    /// All entries in ascending order of account and `seq`.
    fn each_entry<E: From<StoreError>>(&self, visit: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E>;

    /// Users in ascending order of id.
    fn each_user<E: From<StoreError>>(
        &self,
        visit: impl FnMut(Credentials) -> Result<(), E>,
    ) -> Result<(), E>;

    /// Idempotency records in order of their use, each with the body of the event that it names, if there is one.
    fn each_key<E: From<StoreError>>(
        &self,
        visit: impl FnMut(KeptKey, Option<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E>;

    /// A transfer or an entry that belongs to no event, or to no account of its transfer, in words.
    fn orphan(&self) -> Result<Option<String>, StoreError>;

    /// A transfer made with a key that its user had already used within the key's life: `seq` and key.
    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError>;

    /// When the youngest key was used: the latest time that the ledger has decided anything at.
    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// The view of a store of any kind.
#[derive(Debug)]
pub enum AuditSource {
    /// SQLite.
    Sqlite(sqlite::AuditSource),
    /// Postgres.
    Postgres(postgres::AuditSource),
}

impl AuditSource {
    /// Whether it is of the store's replica, and not of the store that takes the writes.
    pub const fn is_replica(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(source) => source.is_replica(),
        }
    }
}

/// Asks the store's own view.
macro_rules! ask {
    ($source:expr, $method:ident($($argument:expr),*)) => {
        match $source {
            AuditSource::Sqlite(source) => source.$method($($argument),*),
            AuditSource::Postgres(source) => source.$method($($argument),*),
        }
    };
}

impl Source for AuditSource {
    fn head(&self) -> Result<Head, StoreError> {
        ask!(self, head())
    }

    fn row_counts(&self) -> Result<RowCounts, StoreError> {
        ask!(self, row_counts())
    }

    fn each_event<E: From<StoreError>>(
        &self,
        visit: impl FnMut(StoredEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        ask!(self, each_event(visit))
    }

    fn each_logged<E: From<StoreError>>(
        &self,
        visit: impl FnMut(LoggedEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        ask!(self, each_logged(visit))
    }

    fn accounts_after(&self, last: Option<AccountId>) -> Result<Vec<(Account, Money)>, StoreError> {
        ask!(self, accounts_after(last))
    }

    fn each_entry<E: From<StoreError>>(&self, visit: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E> {
        ask!(self, each_entry(visit))
    }

    fn each_user<E: From<StoreError>>(
        &self,
        visit: impl FnMut(Credentials) -> Result<(), E>,
    ) -> Result<(), E> {
        ask!(self, each_user(visit))
    }

    fn each_key<E: From<StoreError>>(
        &self,
        visit: impl FnMut(KeptKey, Option<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E> {
        ask!(self, each_key(visit))
    }

    fn orphan(&self) -> Result<Option<String>, StoreError> {
        ask!(self, orphan())
    }

    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError> {
        ask!(self, key_applied_twice())
    }

    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError> {
        ask!(self, last_key_use())
    }
}

/// What [`Source::row_counts`] asks, in the order of [`RowCounts`].
pub(super) const ROW_COUNTS: &str = "select (select count(*) from users), (select count(*) from accounts),
    (select count(*) from idempotency), count(*), (select count(*) from entries), count(reversed_by) from transfers";

/// A transfer whose `seq` no event has.
pub(super) const ORPHAN_TRANSFER: &str =
    "select transfers.id from transfers left join events using (seq) where events.seq is null limit 1";

/// An entry whose `seq` no event has, or that is on no account of its transfer.
pub(super) const ORPHAN_ENTRY: &str = "select account_id, entries.seq from entries
    left join transfers on transfers.id = transfer_id and account_id in (debit_account, credit_account)
    left join events on events.seq = entries.seq
    where transfers.id is null or events.seq is null limit 1";

/// A transfer made with a key that its user had used at another time within the key's life, which is the parameter.
/// The transfers of one batch share its key and its time.
macro_rules! key_applied_twice {
    ($within_life:literal) => {
        concat!(
            "select seq, idempotency_key from (
                select seq, idempotency_key, created_at, lag(created_at) over (
                    partition by created_by, idempotency_key order by seq) as before
                from transfers) as uses
            where created_at > before and created_at - before < ",
            $within_life,
            " order by seq limit 1"
        )
    };
}
pub(super) use key_applied_twice;

/// Says which row could not be read.
pub(super) fn in_row(what: impl std::fmt::Display) -> impl FnOnce(StoreError) -> StoreError {
    move |error| match error {
        StoreError::Corrupt(detail) => StoreError::Corrupt(format!("{what}: {detail}")),
        other => other,
    }
}
