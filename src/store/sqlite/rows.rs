//! Rows as the queries of this store find them, by the places of [`crate::store::columns`].

use rusqlite::Row;

use crate::models::posting::Entry;
use crate::models::{Account, Head, Terms, Transfer, User};

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
        hold: row.get(17)?,
    })
}

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

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User { id: row.get(0)?, username: row.get(1)?, role: row.get(2)?, created_at: row.get(3)? })
}

pub(super) fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    Ok(Head { seq: row.get(0)?, hash: row.get(1)?, at: row.get(2)? })
}
