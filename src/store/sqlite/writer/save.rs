//! A journal, written table by table.

use std::sync::Arc;

use rusqlite::Transaction;

use crate::models::posting::{Journal, KeyRecord};
use crate::models::{IdempotencyKey, Timestamp, UserId, idempotency};
use crate::store::sqlite::write;
use crate::store::{StoreError, keys};

pub(super) fn save(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    save_users(transaction, journal)?;
    save_accounts(transaction, journal)?;
    save_log(transaction, journal)?;
    save_transfers(transaction, journal)?;
    save_entries(transaction, journal)?;
    save_keys(transaction, &journal.keys)
}

fn save_users(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(
        "insert into users (id, username, role, password_hash, created_at) values (?1, ?2, ?3, ?4, ?5)",
    )?;
    for new in &journal.users {
        let user = &new.user;
        insert.execute((user.id, &user.username, user.role, &new.password_hash, user.created_at))?;
    }
    Ok(())
}

fn save_accounts(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    write::new_accounts(transaction, &journal.opened)?;
    let mut changed: Vec<_> = journal.changed.iter().collect();
    changed.sort_unstable_by_key(|account| account.id);
    write::changed_accounts(transaction, changed)
}

fn save_log(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    write::events(transaction, &journal.events)?;
    write::head(transaction, journal.head)
}

fn save_transfers(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    write::new_transfers(transaction, journal.transfers.iter().map(Arc::as_ref))?;
    write::changed_transfers(transaction, journal.updated_transfers.iter().map(Arc::as_ref))
}

fn save_entries(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    // In the order of the table: each page is then found, changed and balanced once (`cargo bench --bench store`).
    let mut entries: Vec<_> = journal.entries.iter().collect();
    entries.sort_unstable_by_key(|entry| (entry.account_id, entry.seq));
    write::entries(transaction, entries)
}

fn save_keys(
    transaction: &Transaction<'_>,
    keys: &[((UserId, IdempotencyKey), KeyRecord)],
) -> Result<(), StoreError> {
    // `or replace` drops a dead record of the same key and gives the new one the youngest place.
    let mut insert = transaction.prepare_cached(
        "insert or replace into idempotency (user_id, key, fingerprint, seq, outcome, used_at)
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for ((user, key), record) in keys {
        let (seq, outcome) = keys::columns(record)?;
        insert.execute((user, key, record.fingerprint, seq, outcome, record.used_at))?;
    }
    Ok(())
}

/// Drops the oldest keys that are past their life, a few a batch.
pub(super) fn drop_dead_keys(
    transaction: &Transaction<'_>,
    now: Timestamp,
    commands: usize,
) -> Result<(), StoreError> {
    let dead_before = now.saturating_add_seconds(-idempotency::KEY_LIFE_S);
    let mut delete = transaction.prepare_cached(
        "delete from idempotency where rowid in (
             select rowid from (select rowid, used_at from idempotency order by rowid limit ?1)
             where used_at <= ?2)",
    )?;
    delete.execute((commands * keys::DEAD_KEYS_PER_COMMAND, dead_before))?;
    Ok(())
}
