//! Rows as the queries of this store find them: each function wants its columns in the order of the tables' documented
//! interface, as `store/columns.rs` has them.

use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

use super::convert::{JsonText, unsigned};
use crate::models::posting::Entry;
use crate::models::{Account, Head, Terms, Transfer, User};
use crate::store::StoreError;

/// A column's value. One that cannot be read was never written by us.
pub fn get<'a, T: FromSql<'a>>(row: &'a Row, place: usize) -> Result<T, StoreError> {
    row.try_get(place).map_err(|error| StoreError::Corrupt(super::detail(&error)))
}

/// An account, from the columns of `accounts`.
pub fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: get(row, 0)?,
        owner: get(row, 1)?,
        name: get(row, 2)?,
        currency: get(row, 3)?,
        balance: get(row, 4)?,
        held: get(row, 5)?,
        min_balance: get(row, 6)?,
        version: unsigned(get(row, 7)?),
        created_at: get(row, 8)?,
    })
}

/// A transfer, from the columns of `transfers`.
pub fn transfer(row: &Row) -> Result<Transfer, StoreError> {
    Ok(Transfer {
        id: get(row, 0)?,
        seq: unsigned(get(row, 1)?),
        status: get(row, 2)?,
        terms: Terms {
            debit_account: get(row, 3)?,
            credit_account: get(row, 4)?,
            amount: get(row, 5)?,
            currency: get(row, 6)?,
            description: get(row, 7)?,
            metadata: get::<Option<JsonText>>(row, 8)?.map(|json| json.0),
            reference: get(row, 9)?,
        },
        posted_amount: get(row, 10)?,
        expires_at: get(row, 11)?,
        reverses: get(row, 12)?,
        reversed_by: get(row, 13)?,
        created_by: get(row, 14)?,
        idempotency_key: get(row, 15)?,
        created_at: get(row, 16)?,
        hold: get(row, 17)?,
    })
}

pub(super) fn entry(row: &Row) -> Result<Entry, StoreError> {
    Ok(Entry {
        account_id: get(row, 0)?,
        seq: unsigned(get(row, 1)?),
        transfer_id: get(row, 2)?,
        amount: get(row, 3)?,
        balance: get(row, 4)?,
        created_at: get(row, 5)?,
    })
}

/// A user, from id, name, role and time.
pub fn user(row: &Row) -> Result<User, StoreError> {
    Ok(User { id: get(row, 0)?, username: get(row, 1)?, role: get(row, 2)?, created_at: get(row, 3)? })
}

pub(super) fn head(row: &Row) -> Result<Head, StoreError> {
    Ok(Head { seq: unsigned(get(row, 0)?), hash: get(row, 1)?, at: get(row, 2)? })
}
