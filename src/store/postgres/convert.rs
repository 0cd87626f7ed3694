//! How the ledger's types stand in Postgres columns: ids as `uuid`, money as `bigint`, times as `timestamptz`,
//! digests as `bytea`, everything else as `text`.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::models::event::ChainHash;
use crate::models::{
    AccountId, Amount, Currency, Fingerprint, IdempotencyKey, Money, Role, Text, Timestamp, TransferId,
    TransferStatus, UserId, Username,
};

type BoxError = Box<dyn Error + Sync + Send>;

/// Microseconds from the Unix epoch to that of Postgres, 2000-01-01T00:00:00Z (its manual, "Date/Time Types").
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A type that another one's conversion carries: of `$value` it makes `$to`, and of what it read, `$read`, `$from`.
macro_rules! carried {
    ([$($generics:tt)*] $type:ty, $carrier:ty, |$value:ident| $to:expr, |$read:ident| $from:expr) => {
        impl<$($generics)*> ToSql for $type {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
                let $value = self;
                ($to).to_sql(ty, out)
            }

            fn accepts(ty: &Type) -> bool {
                <$carrier as ToSql>::accepts(ty)
            }

            to_sql_checked!();
        }

        impl<'a, $($generics)*> FromSql<'a> for $type {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
                let $read = <$carrier as FromSql<'a>>::from_sql(ty, raw)?;
                ($from).ok_or_else(|| concat!("not a valid ", stringify!($type)).into())
            }

            fn accepts(ty: &Type) -> bool {
                <$carrier as FromSql<'_>>::accepts(ty)
            }
        }
    };
}

macro_rules! id_column {
    ($($id:ty),*) => {$(
        carried!([] $id, Uuid, |id| id.as_uuid(), |uuid| Some(Self::from_uuid(uuid)));
    )*};
}

macro_rules! text_column {
    ($($name:ty),*) => {$(
        carried!([] $name, &str, |text| text.as_str(), |text| text.parse().ok());
    )*};
}

macro_rules! digest_column {
    ($($name:ty),*) => {$(
        carried!([] $name, &[u8], |digest| digest.as_bytes().as_slice(), |bytes| {
            bytes.try_into().ok().map(Self::from_bytes)
        });
    )*};
}

id_column!(UserId, AccountId, TransferId);
text_column!(Role, TransferStatus, Username, IdempotencyKey);
digest_column!(ChainHash, Fingerprint);
carried!([] Currency, &str, |currency| currency.code(), |code| code.parse().ok());
carried!([const MAX: usize] Text<MAX>, &str, |text| text.as_str(), |text| text.parse().ok());
carried!([] Money, i64, |money| money.minor_units(), |units| Self::new(units).ok());
carried!([] Amount, i64, |amount| amount.money().minor_units(), |units| Self::new(units).ok());

impl ToSql for Timestamp {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, BoxError> {
        // The first year is far from the least i64.
        (self.as_micros() - POSTGRES_EPOCH_MICROS).to_sql(&Type::INT8, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Timestamp {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        i64::from_sql(&Type::INT8, raw)?
            .checked_add(POSTGRES_EPOCH_MICROS)
            .and_then(Self::from_micros)
            .ok_or_else(|| "a time outside of years 1 to 9999".into())
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::TIMESTAMPTZ
    }
}

/// The text of a `json` column, as it was written.
pub(super) struct JsonText(pub(super) Box<str>);

impl<'a> FromSql<'a> for JsonText {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, BoxError> {
        Ok(Self(std::str::from_utf8(raw)?.into()))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }
}

/// A number that never is negative, as a column keeps it: `seq`, `version`, a count.
pub(super) const fn unsigned(number: i64) -> u64 {
    // What is negative was written by somebody else; 0 is no valid seq or version, so that the audit tells of it.
    if number < 0 { 0 } else { number.cast_unsigned() }
}

/// A number of the ledger as a column takes it.
pub(super) fn signed(number: u64) -> i64 {
    // No ledger gets there: at a million events a second after 292,000 years.
    i64::try_from(number).unwrap_or(i64::MAX)
}
