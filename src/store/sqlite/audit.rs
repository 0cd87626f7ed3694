//! One snapshot of an SQLite ledger for `verify`: a read transaction that lasts for the walk.

use rusqlite::{Connection, OptionalExtension};

use super::rows;
use crate::models::posting::Entry;
use crate::models::{
    Account, AccountId, Currency, Event, Head, Money, Timestamp, Transfer, TransferId, idempotency,
};
use crate::store::StoreError;
use crate::store::audit::{RowCounts, Source, StoredEvent, StoredKey, in_row};
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns};
use crate::store::keys;

/// A consistent view. While it lives the write-ahead log cannot begin anew.
#[derive(Debug)]
pub struct AuditSource {
    connection: Connection,
}

impl AuditSource {
    pub(super) fn new(connection: Connection) -> Result<Self, StoreError> {
        connection.execute_batch("begin")?;
        Ok(Self { connection })
    }

    fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
        let sql = concat!("select ", transfer_columns!(), " from transfers where id = ?1");
        Ok(self.connection.prepare_cached(sql)?.query_row([id], rows::transfer).optional()?)
    }

    fn entry(&self, account: AccountId, seq: u64) -> Result<Option<Entry>, StoreError> {
        let sql = concat!("select ", entry_columns!(), " from entries where account_id = ?1 and seq = ?2");
        Ok(self.connection.prepare_cached(sql)?.query_row((account, seq), rows::entry).optional()?)
    }

    fn currency(&self, account: AccountId) -> Result<Option<Currency>, StoreError> {
        let mut query = self.connection.prepare_cached("select currency from accounts where id = ?1")?;
        Ok(query.query_row([account], |row| row.get(0)).optional()?)
    }

    fn key(&self, transfer: &Transfer) -> Result<Option<StoredKey>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "select seq, fingerprint, used_at from idempotency where user_id = ?1 and key = ?2",
        )?;
        let stored = |row: &rusqlite::Row<'_>| {
            Ok(StoredKey { seq: row.get(0)?, fingerprint: row.get(1)?, used_at: row.get(2)? })
        };
        Ok(query.query_row((transfer.created_by, &transfer.idempotency_key), stored).optional()?)
    }

    /// Adds the rows derived from an event; a body that cannot be read has none.
    fn with_derived(&self, mut stored: StoredEvent) -> Result<StoredEvent, StoreError> {
        let Ok(event) = Event::decode(&stored.body) else {
            return Ok(stored);
        };
        stored.transfer = self.transfer(event.transfer_id)?;
        if let Some(transfer) = &stored.transfer {
            for account in [transfer.terms.debit_account, transfer.terms.credit_account] {
                stored.entries.extend(self.entry(account, stored.seq)?);
                stored.currencies.extend(self.currency(account)?.map(|currency| (account, currency)));
            }
            stored.key = self.key(transfer)?;
        }
        Ok(stored)
    }
}

impl Source for AuditSource {
    fn head(&self) -> Result<Head, StoreError> {
        let head = self.connection.query_row(head_query!(), (), rows::head);
        head.map_err(StoreError::from).map_err(in_row("the head record"))
    }

    fn row_counts(&self) -> Result<RowCounts, StoreError> {
        let sql = "select count(*), (select count(*) from entries), count(reversed_by) from transfers";
        let counts = |row: &rusqlite::Row<'_>| {
            Ok(RowCounts { transfers: row.get(0)?, entries: row.get(1)?, reversed: row.get(2)? })
        };
        Ok(self.connection.query_row(sql, (), counts)?)
    }

    fn each_event<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(StoredEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut query = self
            .connection
            .prepare("select seq, body, hash from events order by seq")
            .map_err(StoreError::from)?;
        let mut found = query.query(()).map_err(StoreError::from)?;
        let stored = |row: &rusqlite::Row<'_>| -> rusqlite::Result<StoredEvent> {
            let (seq, body, hash) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(StoredEvent::bare(seq, body, hash))
        };
        while let Some(row) = found.next().map_err(StoreError::from)? {
            let event = stored(row).map_err(StoreError::from).map_err(in_row("an event"))?;
            let seq = event.seq;
            visit(self.with_derived(event).map_err(in_row(format_args!("the rows of event {seq}")))?)?;
        }
        Ok(())
    }

    fn each_account<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(Account, Money) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = concat!("select ", account_columns!(), " from accounts order by id");
        let mut query = self.connection.prepare(sql).map_err(StoreError::from)?;
        let mut holds = self
            .connection
            .prepare(
                "select coalesce(sum(amount), 0) from transfers where status = 'pending' and debit_account = ?1",
            )
            .map_err(StoreError::from)?;
        let mut found = query.query(()).map_err(StoreError::from)?;
        while let Some(row) = found.next().map_err(StoreError::from)? {
            let id: String = row.get(0).map_err(StoreError::from)?;
            let account =
                rows::account(row).map_err(StoreError::from).map_err(in_row(format_args!("account {id}")))?;
            let held = holds
                .query_row([account.id], |row| row.get(0))
                .map_err(StoreError::from)
                .map_err(in_row(format_args!("the holds of account {id}")))?;
            visit(account, held)?;
        }
        Ok(())
    }

    fn each_entry<E: From<StoreError>>(
        &self,
        account: AccountId,
        mut visit: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = concat!("select ", entry_columns!(), " from entries where account_id = ?1 order by seq");
        let mut query = self.connection.prepare_cached(sql).map_err(StoreError::from)?;
        let mut found = query.query([account]).map_err(StoreError::from)?;
        while let Some(row) = found.next().map_err(StoreError::from)? {
            let entry = rows::entry(row)
                .map_err(StoreError::from)
                .map_err(in_row(format_args!("an entry of account {account}")))?;
            visit(entry)?;
        }
        Ok(())
    }

    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError> {
        let sql = "select seq, idempotency_key from (
                select seq, idempotency_key, created_at, lag(created_at) over (
                    partition by created_by, idempotency_key order by seq) as before
                from transfers)
            where created_at - before < ?1 order by seq limit 1";
        let life_micros = idempotency::KEY_LIFE_S * 1_000_000;
        let found = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.connection.query_row(sql, [life_micros], found).optional()?)
    }

    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.connection.query_row("select max(used_at) from idempotency", (), |row| row.get(0))?)
    }

    fn unreadable_rejection(&self) -> Result<Option<String>, StoreError> {
        let sql = "select key, outcome from idempotency where outcome is not null";
        let mut query = self.connection.prepare(sql)?;
        let mut found = query.query(())?;
        while let Some(row) = found.next()? {
            if keys::read(row.get_ref(1)?.as_str().unwrap_or_default()).is_err() {
                return Ok(Some(row.get(0)?));
            }
        }
        Ok(None)
    }

    fn key_without_event(&self) -> Result<Option<String>, StoreError> {
        let sql = "select key from idempotency left join transfers using (seq)
            where idempotency.seq is not null and (transfers.seq is null
                or created_by <> user_id or idempotency_key <> key)
            limit 1";
        Ok(self.connection.query_row(sql, (), |row| row.get(0)).optional()?)
    }
}
