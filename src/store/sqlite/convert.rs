//! How the ledger's types stand in SQLite columns: ids as text, money and times as integers.

use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Value, ValueRef};
use uuid::Uuid;

use crate::models::event::ChainHash;
use crate::models::{
    AccountId, Amount, Currency, Fingerprint, IdempotencyKey, Money, Role, Text, Timestamp, TransferId,
    TransferStatus, UserId, Username,
};

fn integer(value: i64) -> ToSqlOutput<'static> {
    ToSqlOutput::Owned(Value::Integer(value))
}

fn text(value: &str) -> ToSqlOutput<'_> {
    ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes()))
}

/// Reads a text column into anything that parses.
fn parsed<T: std::str::FromStr>(value: ValueRef<'_>) -> FromSqlResult<T> {
    value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
}

macro_rules! id_column {
    ($($id:ty),*) => {$(
        impl ToSql for $id {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                // Not `to_string`, which goes through a formatter: a transfer has ten ids to write.
                let mut text = Uuid::encode_buffer();
                let text = self.as_uuid().as_hyphenated().encode_lower(&mut text);
                Ok(ToSqlOutput::Owned(Value::Text(text.to_owned())))
            }
        }
    )*};
}

macro_rules! text_column {
    ($($name:ty),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(text(self.as_str()))
            }
        }
    )*};
}

macro_rules! parsed_column {
    ($($name:ty),*) => {$(
        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                parsed(value)
            }
        }
    )*};
}

macro_rules! digest_column {
    ($($name:ty),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
                Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.as_bytes())))
            }
        }

        impl FromSql for $name {
            fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
                <[u8; 32]>::column_result(value).map(Self::from_bytes)
            }
        }
    )*};
}

id_column!(UserId, AccountId, TransferId);
text_column!(Role, TransferStatus, Username, IdempotencyKey);
parsed_column!(UserId, AccountId, TransferId, Role, TransferStatus, Username, IdempotencyKey, Currency);
digest_column!(ChainHash, Fingerprint);

impl ToSql for Currency {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(text(self.code()))
    }
}

impl<const MAX: usize> ToSql for Text<MAX> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(text(self.as_str()))
    }
}

impl<const MAX: usize> FromSql for Text<MAX> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        parsed(value)
    }
}

impl ToSql for Timestamp {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(integer(self.as_micros()))
    }
}

impl FromSql for Timestamp {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let micros = value.as_i64()?;
        Self::from_micros(micros).ok_or(FromSqlError::OutOfRange(micros))
    }
}

impl ToSql for Money {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(integer(self.minor_units()))
    }
}

impl FromSql for Money {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let minor_units = value.as_i64()?;
        Self::new(minor_units).map_err(|_| FromSqlError::OutOfRange(minor_units))
    }
}

impl ToSql for Amount {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(integer(self.money().minor_units()))
    }
}

impl FromSql for Amount {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let minor_units = value.as_i64()?;
        Self::new(minor_units).map_err(|_| FromSqlError::OutOfRange(minor_units))
    }
}
