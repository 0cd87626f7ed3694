//! Column lists and the rows read from them, so that no query spells a table's columns again.

use rusqlite::Row;

use crate::models::posting::Entry;
use crate::models::{Account, Head, Terms, Transfer, User};

macro_rules! account_columns {
    () => {
        "id, owner, name, currency, balance, held, min_balance, version, created_at"
    };
}
pub(super) use account_columns;

pub(super) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        id: row.get(0)?,
        owner: row.get(1)?,
        name: row.get(2)?,
        currency: row.get(3)?,
        balance: row.get(4)?,
        held: row.get(5)?,
        min_balance: row.get(6)?,
        version: row.get(7)?,
        created_at: row.get(8)?,
    })
}

macro_rules! transfer_columns {
    () => {
        "id, seq, status, debit_account, credit_account, amount, currency, \
     description, metadata, reference, posted_amount, expires_at, reverses, reversed_by, created_by, \
     idempotency_key, created_at"
    };
}
pub(super) use transfer_columns;

pub(super) fn transfer(row: &Row<'_>) -> rusqlite::Result<Transfer> {
    Ok(Transfer {
        id: row.get(0)?,
        seq: row.get(1)?,
        status: row.get(2)?,
        terms: Terms {
            debit_account: row.get(3)?,
            credit_account: row.get(4)?,
            amount: row.get(5)?,
            currency: row.get(6)?,
            description: row.get(7)?,
            metadata: row.get(8)?,
            reference: row.get(9)?,
        },
        posted_amount: row.get(10)?,
        expires_at: row.get(11)?,
        reverses: row.get(12)?,
        reversed_by: row.get(13)?,
        created_by: row.get(14)?,
        idempotency_key: row.get(15)?,
        created_at: row.get(16)?,
    })
}

macro_rules! entry_columns {
    () => {
        "account_id, seq, transfer_id, amount, balance, created_at"
    };
}
pub(super) use entry_columns;

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        account_id: row.get(0)?,
        seq: row.get(1)?,
        transfer_id: row.get(2)?,
        amount: row.get(3)?,
        balance: row.get(4)?,
        created_at: row.get(5)?,
    })
}

macro_rules! user_columns {
    () => {
        "id, username, role, created_at"
    };
}
pub(super) use user_columns;

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: row.get(0)?, username: row.get(1)?, role: row.get(2)?, created_at: row.get(3)? })
}

pub(super) const HEAD_QUERY: &str = "select seq, hash, at from head where id = 1";

pub(super) fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { seq: row.get(0)?, hash: row.get(1)?, at: row.get(2)? })
}
