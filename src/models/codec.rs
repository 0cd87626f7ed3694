//! The canonical encoding of terms and events: the bytes that are hashed and stored.
//!
//! Integers are big-endian with fixed width. Text is its length in bytes as a `u32`, then its UTF-8.
//! An optional value is one byte, 0 or 1, then the value if it is 1. There is one encoding of a value
//! and no padding, so equal values have equal bytes. `ARCHITECTURE.md` documents the layout of an event.

use std::str::FromStr;

use uuid::Uuid;

use super::{AccountId, Amount, Currency, Terms, Timestamp, TransferId, UserId};

/// Bytes of a usual transfer, so that writing one does not move it from buffer to buffer.
const USUAL_BYTES: usize = 256;

/// Writes the canonical encoding.
#[derive(Debug)]
pub struct Encoder(Vec<u8>);

impl Default for Encoder {
    fn default() -> Self {
        Self(Vec::with_capacity(USUAL_BYTES))
    }
}

impl Encoder {
    /// What was written.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What was written, owned.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    /// An unsigned integer.
    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// A signed integer.
    pub fn i64(&mut self, value: i64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Sixteen bytes of an id.
    pub fn uuid(&mut self, value: &Uuid) {
        self.0.extend_from_slice(value.as_bytes());
    }

    /// Length and UTF-8.
    pub fn text(&mut self, value: &str) {
        let length = u32::try_from(value.len()).expect("every text type is bounded far below 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value.as_bytes());
    }

    /// A presence byte, then the value.
    pub fn optional<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.byte(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }

    /// The terms of a transfer.
    pub fn terms(&mut self, terms: &Terms) {
        self.uuid(terms.debit_account.as_uuid());
        self.uuid(terms.credit_account.as_uuid());
        self.i64(terms.amount.money().minor_units());
        self.text(terms.currency.code());
        self.optional(terms.description.as_ref(), |to, text| to.text(text.as_str()));
        self.optional(terms.metadata.as_deref(), Self::text);
        self.optional(terms.reference.as_ref(), |to, text| to.text(text.as_str()));
    }
}

/// The bytes are not a canonical encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end early.
    #[error("the encoding ends early")]
    Truncated,
    /// They go on after the end.
    #[error("the encoding has bytes after its end")]
    Trailing,
    /// A field has no valid value; it is named.
    #[error("the encoding has no valid {0}")]
    Field(&'static str),
}

/// Reads the canonical encoding. It never panics, whatever the bytes.
#[derive(Debug)]
pub struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Begins at the first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Ends; nothing may be left.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// An unsigned integer.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A signed integer.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    /// Sixteen bytes of an id.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.array().map(Uuid::from_bytes)
    }

    /// Length and UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = self.array().map(u32::from_be_bytes)? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| DecodeError::Field("text"))
    }

    /// Text with a type of its own.
    pub fn parsed<T: FromStr>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        self.text()?.parse().map_err(|_| DecodeError::Field(field))
    }

    /// A time.
    pub fn time(&mut self) -> Result<Timestamp, DecodeError> {
        Timestamp::from_micros(self.i64()?).ok_or(DecodeError::Field("time"))
    }

    /// An amount.
    pub fn amount(&mut self) -> Result<Amount, DecodeError> {
        Amount::new(self.i64()?).map_err(|_| DecodeError::Field("amount"))
    }

    /// A presence byte, then the value.
    pub fn optional<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        match self.byte()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(DecodeError::Field("presence byte")),
        }
    }

    /// A user's id.
    pub fn user_id(&mut self) -> Result<UserId, DecodeError> {
        self.uuid().map(UserId::from_uuid)
    }

    /// A transfer's id.
    pub fn transfer_id(&mut self) -> Result<TransferId, DecodeError> {
        self.uuid().map(TransferId::from_uuid)
    }

    /// The terms of a transfer.
    pub fn terms(&mut self) -> Result<Terms, DecodeError> {
        Ok(Terms {
            debit_account: AccountId::from_uuid(self.uuid()?),
            credit_account: AccountId::from_uuid(self.uuid()?),
            amount: self.amount()?,
            currency: self.parsed::<Currency>("currency")?,
            description: self.optional(|from| from.parsed("description"))?,
            metadata: self.optional(Self::text)?.map(Into::into),
            reference: self.optional(|from| from.parsed("reference"))?,
        })
    }
}
