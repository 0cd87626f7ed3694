//! Rows of the tables, written: what the lane's batches and an import have in common. Decides neither when nor in which
//! order.

use rusqlite::{Connection, params};

use crate::models::posting::{Entry, LoggedEvent};
use crate::models::{Account, Head, Transfer};
use crate::store::StoreError;
use crate::store::columns::{account_columns, entry_columns, transfer_columns};

pub(super) fn new_accounts<'a>(
    to: &Connection,
    accounts: impl IntoIterator<Item = &'a Account>,
) -> Result<(), StoreError> {
    let mut insert = to.prepare_cached(concat!(
        "insert into accounts (",
        account_columns!(),
        ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?;
    for account in accounts {
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
    Ok(())
}

/// What money does to accounts.
pub(super) fn changed_accounts<'a>(
    to: &Connection,
    accounts: impl IntoIterator<Item = &'a Account>,
) -> Result<(), StoreError> {
    let mut update =
        to.prepare_cached("update accounts set balance = ?2, held = ?3, version = ?4 where id = ?1")?;
    for account in accounts {
        update.execute((account.id, account.balance, account.held, account.version))?;
    }
    Ok(())
}

pub(super) fn events<'a>(
    to: &Connection,
    events: impl IntoIterator<Item = &'a LoggedEvent>,
) -> Result<(), StoreError> {
    let mut insert = to.prepare_cached("insert into events (seq, body, hash) values (?1, ?2, ?3)")?;
    for event in events {
        insert.execute((event.seq, &event.body, event.hash))?;
    }
    Ok(())
}

pub(super) fn head(to: &Connection, head: Head) -> Result<(), StoreError> {
    let mut update = to.prepare_cached("update head set seq = ?1, hash = ?2, at = ?3 where id = 1")?;
    update.execute((head.seq, head.hash, head.at))?;
    Ok(())
}

pub(super) fn new_transfers<'a>(
    to: &Connection,
    transfers: impl IntoIterator<Item = &'a Transfer>,
) -> Result<(), StoreError> {
    let mut insert = to.prepare_cached(concat!(
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

/// What later events do to transfers.
pub(super) fn changed_transfers<'a>(
    to: &Connection,
    transfers: impl IntoIterator<Item = &'a Transfer>,
) -> Result<(), StoreError> {
    let mut update = to.prepare_cached(
        "update transfers set status = ?2, posted_amount = ?3, reversed_by = ?4 where seq = ?1",
    )?;
    for transfer in transfers {
        update.execute((transfer.seq, transfer.status, transfer.posted_amount, transfer.reversed_by))?;
    }
    Ok(())
}

pub(super) fn entries<'a>(
    to: &Connection,
    entries: impl IntoIterator<Item = &'a Entry>,
) -> Result<(), StoreError> {
    let mut insert = to.prepare_cached(concat!(
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
