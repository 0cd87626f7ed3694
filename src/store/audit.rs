//! What `verify` walks through: everything a store keeps, from one consistent view, a row at a time.

use super::{StoreError, postgres, sqlite};
use crate::models::event::ChainHash;
use crate::models::posting::Entry;
use crate::models::{Account, AccountId, Currency, Fingerprint, Head, Money, Timestamp, Transfer};

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
    /// The currencies of that transfer's accounts, as far as these exist.
    pub currencies: Vec<(AccountId, Currency)>,
    /// What is kept under that transfer's key.
    pub key: Option<StoredKey>,
}

impl StoredEvent {
    /// An event without what is derived from it.
    pub(super) const fn bare(seq: u64, body: Vec<u8>, hash: ChainHash) -> Self {
        Self { seq, body, hash, entries: Vec::new(), transfer: None, currencies: Vec::new(), key: None }
    }
}

/// A row of the idempotency records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredKey {
    /// The event of an accepted command.
    pub seq: Option<u64>,
    /// What the key was used for.
    pub fingerprint: Fingerprint,
    /// When.
    pub used_at: Timestamp,
}

/// How many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowCounts {
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

    /// Accounts in ascending order of id, each with the sum of its open holds.
    fn each_account<E: From<StoreError>>(
        &self,
        visit: impl FnMut(Account, Money) -> Result<(), E>,
    ) -> Result<(), E>;

    /// An account's entries in ascending order of `seq`.
    fn each_entry<E: From<StoreError>>(
        &self,
        account: AccountId,
        visit: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E>;

    /// A transfer made with a key that its user had already used within the key's life: `seq` and key.
    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError>;

    /// When the youngest key was used: the latest time that the ledger has decided anything at.
    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError>;

    /// A key whose stored rejection cannot be read.
    fn unreadable_rejection(&self) -> Result<Option<String>, StoreError>;

    /// A key whose record names an event that was made by another key or user, or that does not exist.
    fn key_without_event(&self) -> Result<Option<String>, StoreError>;
}

/// The view of a store of any kind.
#[derive(Debug)]
pub enum AuditSource {
    /// SQLite.
    Sqlite(sqlite::AuditSource),
    /// Postgres.
    Postgres(postgres::AuditSource),
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

    fn each_account<E: From<StoreError>>(
        &self,
        visit: impl FnMut(Account, Money) -> Result<(), E>,
    ) -> Result<(), E> {
        ask!(self, each_account(visit))
    }

    fn each_entry<E: From<StoreError>>(
        &self,
        account: AccountId,
        visit: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        ask!(self, each_entry(account, visit))
    }

    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError> {
        ask!(self, key_applied_twice())
    }

    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError> {
        ask!(self, last_key_use())
    }

    fn unreadable_rejection(&self) -> Result<Option<String>, StoreError> {
        ask!(self, unreadable_rejection())
    }

    fn key_without_event(&self) -> Result<Option<String>, StoreError> {
        ask!(self, key_without_event())
    }
}

/// Says which row could not be read.
pub(super) fn in_row(what: impl std::fmt::Display) -> impl FnOnce(StoreError) -> StoreError {
    move |error| match error {
        StoreError::Corrupt(detail) => StoreError::Corrupt(format!("{what}: {detail}")),
        other => other,
    }
}
