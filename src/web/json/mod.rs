//! JSON in and out (RFC 8259).
//!
//! Owns what counts as JSON, how deep it may nest, and how a refusal is told. Must not know what
//! the documents mean; the types to decode into bring their own rules by serde.
//!
//! One decoder reads every body: simd-json, in place, on a copy in reused memory. `serde_json`
//! takes 1.2 times as long for one transfer (201 B) and 1.4 to 1.6 times as long for batches of
//! 2 KB to 1 MB (`benches/json.rs`, medians of eight rounds), so there is no size at which a second set
//! of rules would pay. It writes replies, and reads a refused body again to tell what is wrong
//! with it.
//!
//! Beyond RFC 8259: a byte order mark and lone surrogates are refused (as §8.1 and §8.2 allow),
//! `\u0000` is an ordinary character, objects stand for structs (arrays do not), and numbers are
//! integers only when written without fraction and exponent.

mod explain;
mod object;
mod raw;
mod scratch;
mod strict;
#[cfg(test)]
mod tests;
mod text;

use std::io;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::invalid::Invalid;
pub(super) use explain::plain_message;
pub use object::JsonObject;
pub use raw::RawJson;
pub(crate) use scratch::Scratch;
pub use text::Text;

/// Levels of arrays and objects in a body; bounds the decoder's work stack.
pub const MAX_DEPTH: usize = 32;

/// Room for a usual reply, in bytes, so that encoding it allocates once.
const REPLY_CAPACITY_BYTES: usize = 512;

/// Why a body has no value of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON (400 `invalid_json`). Takes precedence over [`BodyError::Invalid`].
    #[error(transparent)]
    InvalidJson(#[from] InvalidJson),
    /// JSON, with members of the wrong kind (422 `invalid_request`).
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Text that is not JSON in UTF-8, nests too deeply, or holds what no decoder can represent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct InvalidJson {
    /// For users of the API; names line and column where there is one place to look at.
    pub detail: String,
}

/// A reply that cannot be written as JSON, such as a map with keys that are not strings: an error
/// in the program.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode JSON: {0}")]
pub struct EncodeError(#[from] serde_json::Error);

/// Decodes `original`; borrowed strings point into `scratch` or `original`.
///
/// Structs of text should hold [`Text`] rather than `&str`: a refused body is read again by a
/// decoder that cannot lend text with escapes in it.
pub(crate) fn decode<'de, T: Deserialize<'de>>(
    original: &'de [u8],
    scratch: &'de mut Scratch,
) -> Result<T, BodyError> {
    scratch.decode(original).map_err(|refusal| explain::explain::<T>(original, &refusal))
}

/// Encodes `value` compactly.
pub fn to_bytes(value: &impl Serialize) -> Result<Bytes, EncodeError> {
    let mut text = Encoded(BytesMut::with_capacity(REPLY_CAPACITY_BYTES));
    serde_json::to_writer(&mut text, value)?;
    Ok(text.0.freeze())
}

/// JSON in the making, which is dozens of writes of some bytes each. Not a vector: its `extend_from_slice` is generic code, which a
/// crate that is built for size takes from a crate below, as a call, where this one is built in place: 2,000 instructions less
/// for a small account.
struct Encoded(BytesMut);

impl io::Write for Encoded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
