//! Writes a whole ledger in one transaction of SQLite.

use rusqlite::{Connection, OptionalExtension, params};

use super::{AuditSource, rows};
use crate::models::posting::{Entry, LoggedEvent};
use crate::models::replay::Changes;
use crate::models::{Account, AccountId, Head, Transfer, TransferId};
use crate::store::audit::KeptKey;
use crate::store::columns::{account_columns, entry_columns, transfer_columns};
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
        let mut insert = self.connection().prepare_cached(concat!(
            "insert into accounts (",
            account_columns!(),
            ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ))?;
        for account in accounts {
            insert.execute(params![
                account.id,
                account.owner,
                account.name,
                account.currency,
                account.balance,
                account.held,
                account.min_balance,
                account.version,
                account.created_at,
            ])?;
        }
        Ok(())
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
        let mut insert =
            self.connection().prepare_cached("insert into events (seq, body, hash) values (?1, ?2, ?3)")?;
        for event in events {
            insert.execute((event.seq, &event.body, event.hash))?;
        }
        Ok(())
    }

    pub(in crate::store) fn save_changes(&self, changes: &Changes) -> Result<(), StoreError> {
        self.save_transfers(&changes.made)?;
        let mut update = self.connection().prepare_cached(
            "update transfers set status = ?2, posted_amount = ?3, reversed_by = ?4 where id = ?1",
        )?;
        for transfer in &changes.changed {
            update.execute((transfer.id, transfer.status, transfer.posted_amount, transfer.reversed_by))?;
        }
        self.save_entries(&changes.entries)?;
        let mut update = self
            .connection()
            .prepare_cached("update accounts set balance = ?2, held = ?3, version = ?4 where id = ?1")?;
        for account in &changes.accounts {
            update.execute((account.id, account.balance, account.held, account.version))?;
        }
        Ok(())
    }

    fn save_transfers(&self, transfers: &[Transfer]) -> Result<(), StoreError> {
        let mut insert = self.connection().prepare_cached(concat!(
            "insert into transfers (",
            transfer_columns!(),
            ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
        ))?;
        for transfer in transfers {
            let terms = &transfer.terms;
            insert.execute(params![
                transfer.id,
                transfer.seq,
                transfer.status,
                terms.debit_account,
                terms.credit_account,
                terms.amount,
                terms.currency,
                terms.description,
                terms.metadata.as_deref(),
                terms.reference,
                transfer.posted_amount,
                transfer.expires_at,
                transfer.reverses,
                transfer.reversed_by,
                transfer.created_by,
                transfer.idempotency_key,
                transfer.created_at,
                transfer.hold,
            ])?;
        }
        Ok(())
    }

    fn save_entries(&self, entries: &[Entry]) -> Result<(), StoreError> {
        let mut insert = self.connection().prepare_cached(concat!(
            "insert into entries (",
            entry_columns!(),
            ") values (?1, ?2, ?3, ?4, ?5, ?6)"
        ))?;
        for entry in entries {
            let keys = (entry.account_id, entry.seq, entry.transfer_id);
            insert.execute((keys.0, keys.1, keys.2, entry.amount, entry.balance, entry.created_at))?;
        }
        Ok(())
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
        let sql = "update head set seq = ?1, hash = ?2, at = ?3 where id = 1";
        self.connection().execute(sql, (head.seq, head.hash, head.at))?;
        Ok(())
    }

    pub(in crate::store) fn ownerless_account(&self) -> Result<Option<AccountId>, StoreError> {
        Ok(self.connection().query_row(OWNERLESS, (), |row| row.get(0)).optional()?)
    }
}
