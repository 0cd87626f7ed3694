//! Writes a whole ledger in one transaction of SQLite.

use rusqlite::{Connection, OptionalExtension};

use super::{AuditSource, rows, write};
use crate::models::posting::LoggedEvent;
use crate::models::replay::Changes;
use crate::models::{Account, AccountId, Head, Transfer, TransferId};
use crate::store::audit::KeptKey;
use crate::store::columns::account_columns;
use crate::store::import::OWNERLESS;
use crate::store::{Credentials, StoreError};

/// Page cache of an import in KiB: the tails of all accounts' entries, which a stretch of the log touches, of a ledger
/// with some 50,000 accounts.
const IMPORT_CACHE_KIB: i64 = 64 << 10;

/// These methods are of a view from [`Self::begin_import`].
impl AuditSource {
    /// A transaction that writes. Other programs may read what was there before.
    pub(super) fn begin_import(connection: Connection) -> Result<Self, StoreError> {
        connection.pragma_update(None, "cache_size", -IMPORT_CACHE_KIB)?;
        connection.execute_batch("begin immediate")?;
        Ok(Self::within(connection))
    }

    pub(in crate::store) fn commit(&self) -> Result<(), StoreError> {
        self.execute("commit")
    }

    pub(in crate::store) fn execute(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.connection().execute_batch(sql)?)
    }

    /// SQLite plans without statistics.
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "Postgres has something to do here")]
    pub(in crate::store) const fn settle(&self) -> Result<(), StoreError> {
        Ok(())
    }

    pub(in crate::store) fn save_users(&self, users: &[Credentials]) -> Result<(), StoreError> {
        let mut insert = self.connection().prepare_cached(
            "insert into users (id, username, role, password_hash, created_at) values (?1, ?2, ?3, ?4, ?5)",
        )?;
        for Credentials { user, password_hash } in users {
            insert.execute((user.id, &user.username, user.role, password_hash, user.created_at))?;
        }
        Ok(())
    }

    pub(in crate::store) fn save_accounts(&self, accounts: &[Account]) -> Result<(), StoreError> {
        write::new_accounts(self.connection(), accounts)
    }

    pub(in crate::store) fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        let sql = concat!("select ", account_columns!(), " from accounts where id = ?1");
        let mut query = self.connection().prepare_cached(sql)?;
        let find = |id| query.query_row([id], rows::account).optional().transpose();
        Ok(ids.iter().filter_map(find).collect::<Result<_, _>>()?)
    }

    pub(in crate::store) fn transfers_of(&self, ids: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        ids.iter().filter_map(|id| self.transfer(*id).transpose()).collect()
    }

    pub(in crate::store) fn save_log(&self, events: &[LoggedEvent]) -> Result<(), StoreError> {
        write::events(self.connection(), events)
    }

    pub(in crate::store) fn save_changes(&self, changes: &Changes) -> Result<(), StoreError> {
        write::new_transfers(self.connection(), &changes.made)?;
        write::changed_transfers(self.connection(), &changes.changed)?;
        write::entries(self.connection(), &changes.entries)?;
        write::changed_accounts(self.connection(), &changes.accounts)
    }

    pub(in crate::store) fn save_keys(&self, keys: &[KeptKey]) -> Result<(), StoreError> {
        let mut insert = self.connection().prepare_cached(
            "insert into idempotency (user_id, key, fingerprint, seq, outcome, used_at)
             values (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for kept in keys {
            insert.execute((
                kept.user_id,
                &kept.key,
                kept.fingerprint,
                kept.seq,
                &kept.outcome,
                kept.used_at,
            ))?;
        }
        Ok(())
    }

    pub(in crate::store) fn save_head(&self, head: Head) -> Result<(), StoreError> {
        write::head(self.connection(), head)
    }

    pub(in crate::store) fn ownerless_account(&self) -> Result<Option<AccountId>, StoreError> {
        Ok(self.connection().query_row(OWNERLESS, (), |row| row.get(0)).optional()?)
    }
}
