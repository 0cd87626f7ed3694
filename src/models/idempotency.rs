//! Idempotency: the key a caller sends, and the fingerprint of what it was first used for.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::codec::Encoder;
use super::posting::BatchItem;
use super::{Amount, Hold, Terms, Timestamp, TransferId};

/// How long a decided outcome is replayed, in seconds: 24 hours.
pub const KEY_LIFE_S: i64 = 24 * 60 * 60;

/// What the fingerprint of a request to make a transfer says about where it was sent.
const MAKE_TRANSFER: &str = "POST /api/v1/transfers";

const POST_HOLD: &str = "POST /api/v1/transfers/{id}/post";
const VOID_HOLD: &str = "POST /api/v1/transfers/{id}/void";
const REVERSE_TRANSFER: &str = "POST /api/v1/transfers/{id}/reverse";
const MAKE_BATCH: &str = "POST /api/v1/transfers/batch";

/// A caller's key: 1 to 255 visible ASCII characters, unique per user.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Box<str>);

/// The text is not an [`IdempotencyKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to 255 visible ASCII characters")]
pub struct InvalidKey;

impl IdempotencyKey {
    const MAX_BYTES: usize = 255;

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidKey;

    fn from_str(key: &str) -> Result<Self, InvalidKey> {
        let visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=Self::MAX_BYTES).contains(&key.len()) {
            Ok(Self(key.into()))
        } else {
            Err(InvalidKey)
        }
    }
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// SHA-256 over what a key was used for: the action and the parsed command, so that member order,
/// white space and spelling of numbers do not matter, and one key on two actions is told apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a request to make a transfer of these terms.
    pub fn of_transfer(terms: &Terms, hold: Option<Hold>) -> Self {
        Self::of(MAKE_TRANSFER, |to| {
            to.terms(terms);
            // Nothing at all for money that moves at once: so were the first fingerprints made, and they still stand.
            if let Some(hold) = hold {
                encode_hold(to, hold);
            }
        })
    }

    /// The fingerprint of a request to post a hold, in full if `amount` is absent.
    pub fn of_post(transfer: TransferId, amount: Option<Amount>) -> Self {
        Self::of(POST_HOLD, |to| {
            to.uuid(transfer.as_uuid());
            to.optional(amount, |to, amount| to.i64(amount.money().minor_units()));
        })
    }

    /// The fingerprint of a request to void a hold.
    pub fn of_void(transfer: TransferId) -> Self {
        Self::of(VOID_HOLD, |to| to.uuid(transfer.as_uuid()))
    }

    /// The fingerprint of a request to reverse a transfer.
    pub fn of_reversal(transfer: TransferId) -> Self {
        Self::of(REVERSE_TRANSFER, |to| to.uuid(transfer.as_uuid()))
    }

    /// The fingerprint of a request to make these transfers.
    pub fn of_batch(atomic: bool, items: &[BatchItem]) -> Self {
        Self::of(MAKE_BATCH, |to| {
            to.byte(u8::from(atomic));
            for item in items {
                to.terms(&item.terms);
                to.optional(item.hold, encode_hold);
            }
        })
    }

    fn of(action: &str, encode: impl FnOnce(&mut Encoder)) -> Self {
        let mut encoder = Encoder::default();
        encoder.text(action);
        encode(&mut encoder);
        Self(Sha256::digest(encoder.as_bytes()).into())
    }

    /// A fingerprint read back from a store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, for storage.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

fn encode_hold(to: &mut Encoder, hold: Hold) {
    to.optional(hold.timeout_s, |to, seconds| to.u64(u64::from(seconds)));
}

/// Whether a key first used at `used_at` still stands at `now`.
pub fn is_alive(used_at: Timestamp, now: Timestamp) -> bool {
    now < used_at.saturating_add_seconds(KEY_LIFE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_visible_ascii() {
        for good in ["a", "\"", &"k".repeat(255)] {
            assert!(good.parse::<IdempotencyKey>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "ä", "a\t", &"k".repeat(256)] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(InvalidKey), "{bad}");
        }
    }

    #[test]
    fn keys_live_a_day() {
        let used_at = Timestamp::from_micros(0).unwrap();
        let day = Timestamp::from_micros(KEY_LIFE_S * 1_000_000).unwrap();
        assert!(is_alive(used_at, Timestamp::from_micros(day.as_micros() - 1).unwrap()));
        assert!(!is_alive(used_at, day));
    }
}
