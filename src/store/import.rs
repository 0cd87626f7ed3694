//! What `import` writes through: one transaction on an empty store that nobody sees before its end.

use super::audit::{AuditSource, KeptKey};
use super::{Credentials, Store, StoreError};
use crate::models::posting::LoggedEvent;
use crate::models::replay::Changes;
use crate::models::{Account, AccountId, Head, Transfer, TransferId};

/// A ledger that is being written. Dropped before [`Self::commit`], it leaves nothing behind.
#[derive(Debug)]
pub struct Importer(AuditSource);

/// Asks the store's own transaction.
macro_rules! ask {
    ($importer:expr, $method:ident($($argument:expr),*)) => {
        match &$importer.0 {
            AuditSource::Sqlite(transaction) => transaction.$method($($argument),*),
            AuditSource::Postgres(transaction) => transaction.$method($($argument),*),
        }
    };
}

impl Store {
    /// Begins to write a ledger; nobody else can change the store until that has ended.
    pub fn importer(&self) -> Result<Importer, StoreError> {
        match self {
            Self::Sqlite(database) => database.import().map(AuditSource::Sqlite),
            Self::Postgres(database) => database.import().map(AuditSource::Postgres),
        }
        .map(Importer)
    }
}

impl Importer {
    /// All that stands in the store by now.
    pub const fn view(&self) -> &AuditSource {
        &self.0
    }

    /// Drops the users that the migrations made.
    pub fn clear_users(&self) -> Result<(), StoreError> {
        ask!(self, execute("delete from users"))
    }

    /// Adds users.
    pub fn save_users(&self, users: &[Credentials]) -> Result<(), StoreError> {
        ask!(self, save_users(users))
    }

    /// Adds accounts.
    pub fn save_accounts(&self, accounts: &[Account]) -> Result<(), StoreError> {
        ask!(self, save_accounts(accounts))
    }

    /// Those of these accounts that exist.
    pub fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        ask!(self, accounts(ids))
    }

    /// Those of these transfers that exist.
    pub fn transfers(&self, ids: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        ask!(self, transfers_of(ids))
    }

    /// Appends events and makes the changes that follow from them.
    pub fn save_events(&self, events: &[LoggedEvent], changes: &Changes) -> Result<(), StoreError> {
        ask!(self, save_log(events))?;
        ask!(self, save_changes(changes))
    }

    /// Adds idempotency records, which must be in order of their use.
    pub fn save_keys(&self, keys: &[KeptKey]) -> Result<(), StoreError> {
        ask!(self, save_keys(keys))
    }

    /// Sets the end of the log.
    pub fn save_head(&self, head: Head) -> Result<(), StoreError> {
        ask!(self, save_head(head))
    }

    /// An account whose owner does not exist.
    pub fn ownerless_account(&self) -> Result<Option<AccountId>, StoreError> {
        ask!(self, ownerless_account())
    }

    /// Ends the writing, so that what was written can be read fast.
    pub fn settle(&self) -> Result<(), StoreError> {
        ask!(self, settle())
    }

    /// Makes all of it visible and durable.
    pub fn commit(self) -> Result<(), StoreError> {
        ask!(self, commit())
    }
}

/// See [`Importer::ownerless_account`].
pub(super) const OWNERLESS: &str =
    "select id from accounts where not exists (select 1 from users where users.id = owner) limit 1";
