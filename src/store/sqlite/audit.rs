//! One snapshot of an SQLite ledger for `verify`: a read transaction that lasts for the walk.

use std::cell::RefCell;

use rusqlite::{Connection, OptionalExtension, Row};

use super::rows;
use crate::models::posting::{Entry, LoggedEvent};
use crate::models::{
    Account, AccountId, Currency, Event, EventKind, Head, IdempotencyKey, Money, Timestamp, Transfer,
    TransferId, UserId, idempotency,
};
use crate::store::audit::{
    KeptKey, ORPHAN_ENTRY, ORPHAN_TRANSFER, PAGE_ROWS, ROW_COUNTS, RowCounts, Source, StoredEvent, StoredKey,
    events_of, in_row, key_applied_twice,
};
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns, user_columns};
use crate::store::{Credentials, StoreError};

const EVENTS: &str = "select seq, body, hash from events order by seq";
const ACCOUNTS: &str = concat!(
    "select ",
    account_columns!(),
    ", (select coalesce(sum(amount), 0) from transfers where status = 'pending' and debit_account = accounts.id)
    from accounts where id > ?1 order by id limit ?2"
);
const ENTRIES: &str = concat!("select ", entry_columns!(), " from entries order by account_id, seq");
const USERS: &str = concat!("select ", user_columns!(), ", password_hash from users order by id");
/// Rows stand in order of their use.
const KEYS: &str = "select user_id, key, fingerprint, used_at, idempotency.seq, outcome, body
    from idempotency left join events on events.seq = idempotency.seq order by idempotency.rowid";
const KEY: &str = "select seq, outcome, used_at from idempotency where user_id = ?1 and key = ?2";

/// A consistent view. While it lives the write-ahead log cannot begin anew.
#[derive(Debug)]
pub struct AuditSource {
    connection: Connection,
    /// The record that was read last: the events of a batch, which share one, follow each other.
    last_key: RefCell<Option<LastKey>>,
}

/// A key's record, and whose.
#[derive(Debug)]
struct LastKey {
    user: UserId,
    key: IdempotencyKey,
    stored: Option<StoredKey>,
}

impl AuditSource {
    pub(super) fn new(connection: Connection) -> Result<Self, StoreError> {
        connection.execute_batch("begin")?;
        Ok(Self::within(connection))
    }

    /// A view of what a transaction of this connection has written.
    pub(super) const fn within(connection: Connection) -> Self {
        Self { connection, last_key: RefCell::new(None) }
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Visits what a query without parameters finds, row by row. `read` takes a row apart, `what` names such a row.
    fn each<T, E: From<StoreError>>(
        &self,
        (sql, what): (&str, &str),
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        mut visit: impl FnMut(T) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut query = self.connection.prepare(sql).map_err(StoreError::from)?;
        let mut found = query.query(()).map_err(StoreError::from)?;
        while let Some(row) = found.next().map_err(StoreError::from)? {
            visit(read(row).map_err(StoreError::from).map_err(in_row(what))?)?;
        }
        Ok(())
    }

    pub(super) fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
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
        let (user, key) = (transfer.created_by, &transfer.idempotency_key);
        let mut last = self.last_key.borrow_mut();
        let is_same = |last: &LastKey| (last.user, &last.key) == (user, key);
        if let Some(last) = last.as_ref().filter(|last| is_same(last)) {
            return Ok(last.stored.clone());
        }
        let stored = self.read_key(transfer)?;
        *last = Some(LastKey { user, key: key.clone(), stored: stored.clone() });
        Ok(stored)
    }

    fn read_key(&self, transfer: &Transfer) -> Result<Option<StoredKey>, StoreError> {
        let mut query = self.connection.prepare_cached(KEY)?;
        let mut found = query.query((transfer.created_by, &transfer.idempotency_key))?;
        let Some(row) = found.next()? else { return Ok(None) };
        let outcome: Option<String> = row.get(1)?;
        Ok(Some(StoredKey {
            events: events_of(row.get(0)?, outcome.as_deref()).unwrap_or_default(),
            used_at: row.get(2)?,
        }))
    }

    /// Adds the rows derived from an event; a body that cannot be read has none.
    fn with_derived(&self, mut stored: StoredEvent) -> Result<StoredEvent, StoreError> {
        let Ok(event) = Event::decode(&stored.body) else {
            return Ok(stored);
        };
        if let EventKind::Reversed { reverses, .. } = &event.kind {
            stored.original = self.transfer(*reverses)?;
        }
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

fn logged(row: &Row<'_>) -> rusqlite::Result<LoggedEvent> {
    Ok(LoggedEvent { seq: row.get(0)?, body: row.get(1)?, hash: row.get(2)? })
}

fn kept_key(row: &Row<'_>) -> rusqlite::Result<KeptKey> {
    Ok(KeptKey {
        user_id: row.get(0)?,
        key: row.get(1)?,
        fingerprint: row.get(2)?,
        used_at: row.get(3)?,
        seq: row.get(4)?,
        outcome: row.get(5)?,
    })
}

impl Source for AuditSource {
    fn head(&self) -> Result<Head, StoreError> {
        let head = self.connection.query_row(head_query!(), (), rows::head);
        head.map_err(StoreError::from).map_err(in_row("the head record"))
    }

    fn row_counts(&self) -> Result<RowCounts, StoreError> {
        let counts = |row: &Row<'_>| {
            Ok(RowCounts {
                users: row.get(0)?,
                accounts: row.get(1)?,
                keys: row.get(2)?,
                transfers: row.get(3)?,
                entries: row.get(4)?,
                reversed: row.get(5)?,
            })
        };
        Ok(self.connection.query_row(ROW_COUNTS, (), counts)?)
    }

    fn each_event<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(StoredEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each((EVENTS, "an event"), logged, |event| {
            let LoggedEvent { seq, body, hash } = event;
            let stored = self.with_derived(StoredEvent::bare(seq, body, hash));
            visit(stored.map_err(in_row(format_args!("the rows of event {seq}")))?)
        })
    }

    fn each_logged<E: From<StoreError>>(
        &self,
        visit: impl FnMut(LoggedEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each((EVENTS, "an event"), logged, visit)
    }

    fn accounts_after(&self, last: Option<AccountId>) -> Result<Vec<(Account, Money)>, StoreError> {
        let last = last.map_or_else(String::new, |id| id.to_string());
        let mut query = self.connection.prepare_cached(ACCOUNTS)?;
        let mut found = query.query((last, PAGE_ROWS))?;
        let mut page = Vec::new();
        while let Some(row) = found.next()? {
            let id: String = row.get(0)?;
            let account = || Ok::<_, rusqlite::Error>((rows::account(row)?, row.get(9)?));
            page.push(account().map_err(StoreError::from).map_err(in_row(format_args!("account {id}")))?);
        }
        Ok(page)
    }

    fn each_entry<E: From<StoreError>>(&self, visit: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E> {
        self.each((ENTRIES, "an entry"), rows::entry, visit)
    }

    fn each_user<E: From<StoreError>>(
        &self,
        visit: impl FnMut(Credentials) -> Result<(), E>,
    ) -> Result<(), E> {
        let credentials =
            |row: &Row<'_>| Ok(Credentials { user: rows::user(row)?, password_hash: row.get(4)? });
        self.each((USERS, "a user"), credentials, visit)
    }

    fn each_key<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(KeptKey, Option<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let kept = |row: &Row<'_>| Ok((kept_key(row)?, row.get(6)?));
        self.each((KEYS, "the record of a key"), kept, |(kept, body)| visit(kept, body))
    }

    fn orphan(&self) -> Result<Option<String>, StoreError> {
        let transfer =
            |row: &Row<'_>| row.get::<_, String>(0).map(|id| format!("transfer {id} without event"));
        let entry = |row: &Row<'_>| {
            Ok(format!("entry {} of account {}", row.get::<_, i64>(1)?, row.get::<_, String>(0)?))
        };
        match self.connection.query_row(ORPHAN_TRANSFER, (), transfer).optional()? {
            Some(found) => Ok(Some(found)),
            None => Ok(self.connection.query_row(ORPHAN_ENTRY, (), entry).optional()?),
        }
    }

    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError> {
        let life_micros = idempotency::KEY_LIFE_S * 1_000_000;
        let found = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        Ok(self.connection.query_row(key_applied_twice!("?1"), [life_micros], found).optional()?)
    }

    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.connection.query_row("select max(used_at) from idempotency", (), |row| row.get(0))?)
    }
}
