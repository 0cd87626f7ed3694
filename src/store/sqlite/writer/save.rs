//! A journal, written table by table.

use rusqlite::Transaction;

use crate::models::posting::{Journal, KeyRecord};
use crate::models::{IdempotencyKey, Timestamp, UserId, idempotency};
use crate::store::columns::{account_columns, entry_columns, transfer_columns};
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
    let mut insert = transaction.prepare_cached(concat!(
        "insert into accounts (",
        account_columns!(),
        ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?;
    for account in &journal.opened {
        insert.execute((
            account.id,
            account.owner,
            &account.name,
            account.currency,
            account.balance,
            account.held,
            account.min_balance,
            account.version,
            account.created_at,
        ))?;
    }
    let mut update = transaction
        .prepare_cached("update accounts set balance = ?2, held = ?3, version = ?4 where id = ?1")?;
    let mut changed: Vec<_> = journal.changed.iter().collect();
    changed.sort_unstable_by_key(|account| account.id);
    for account in changed {
        update.execute((account.id, account.balance, account.held, account.version))?;
    }
    Ok(())
}

fn save_log(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert =
        transaction.prepare_cached("insert into events (seq, body, hash) values (?1, ?2, ?3)")?;
    for event in &journal.events {
        insert.execute((event.seq, &event.body, event.hash))?;
    }
    let head = journal.head;
    let mut update =
        transaction.prepare_cached("update head set seq = ?1, hash = ?2, at = ?3 where id = 1")?;
    update.execute((head.seq, head.hash, head.at))?;
    Ok(())
}

fn save_transfers(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(concat!(
        "insert into transfers (",
        transfer_columns!(),
        ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)"
    ))?;
    for transfer in &journal.transfers {
        let terms = &transfer.terms;
        insert.execute(rusqlite::params![
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
    let mut update = transaction.prepare_cached(
        "update transfers set status = ?2, posted_amount = ?3, reversed_by = ?4 where seq = ?1",
    )?;
    for transfer in &journal.updated_transfers {
        update.execute((transfer.seq, transfer.status, transfer.posted_amount, transfer.reversed_by))?;
    }
    Ok(())
}

fn save_entries(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(concat!(
        "insert into entries (",
        entry_columns!(),
        ") values (?1, ?2, ?3, ?4, ?5, ?6)"
    ))?;
    // In the order of the table: each page is then found, changed and balanced once (`cargo bench --bench store`).
    let mut entries: Vec<_> = journal.entries.iter().collect();
    entries.sort_unstable_by_key(|entry| (entry.account_id, entry.seq));
    for entry in entries {
        let keys = (entry.account_id, entry.seq, entry.transfer_id);
        insert.execute((keys.0, keys.1, keys.2, entry.amount, entry.balance, entry.created_at))?;
    }
    Ok(())
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
