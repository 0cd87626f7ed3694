//! The ledger's log: one event per `seq`, each hashed over its canonical encoding and the hash before it.
//!
//! The log is the truth; statuses, holds and balances are derived from it and audited against it.
//! `hash(n) = SHA-256(hash(n-1) || body(n))`, with 32 zero bytes before the first event.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::codec::{DecodeError, Decoder, Encoder};
use super::{Amount, IdempotencyKey, Terms, Timestamp, Transfer, TransferId, TransferStatus, UserId};

/// The first byte of every body: the version of the layout below.
const ENCODING_VERSION: u8 = 1;

/// One step of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its place in the one total order, from 1, without gaps.
    pub seq: u64,
    /// Its commit time; never before that of the event before it.
    pub at: Timestamp,
    /// The transfer it is about. A reversal is about the transfer that it makes.
    pub transfer_id: TransferId,
    /// What happened.
    pub kind: EventKind,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A transfer was accepted: posted at once, or pending.
    Created(Creation),
    /// A pending transfer was posted, in full or in part.
    Posted {
        /// What moved.
        amount: Amount,
    },
    /// A pending transfer was given up by a caller.
    Voided,
    /// A pending transfer was given up by its time limit.
    Expired,
    /// A transfer was made that moves another one's money back.
    Reversed {
        /// The transfer made.
        creation: Creation,
        /// The transfer that it reverses.
        reverses: TransferId,
    },
}

/// A transfer's birth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// What was asked for.
    pub terms: Terms,
    /// Whether it waits for a post.
    pub pending: bool,
    /// When a pending one gives up.
    pub expires_at: Option<Timestamp>,
    /// Who asked.
    pub created_by: UserId,
    /// With which key.
    pub idempotency_key: IdempotencyKey,
}

impl EventKind {
    const fn tag(&self) -> u8 {
        match self {
            Self::Created(_) => 1,
            Self::Posted { .. } => 2,
            Self::Voided => 3,
            Self::Expired => 4,
            Self::Reversed { .. } => 5,
        }
    }
}

impl Event {
    /// The canonical encoding, which is what the store keeps.
    pub fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        to.byte(ENCODING_VERSION);
        to.byte(self.kind.tag());
        to.u64(self.seq);
        to.i64(self.at.as_micros());
        to.uuid(self.transfer_id.as_uuid());
        match &self.kind {
            EventKind::Created(creation) => encode_creation(&mut to, creation),
            EventKind::Posted { amount } => to.i64(amount.money().minor_units()),
            EventKind::Voided | EventKind::Expired => {}
            EventKind::Reversed { creation, reverses } => {
                encode_creation(&mut to, creation);
                to.uuid(reverses.as_uuid());
            }
        }
        to.into_bytes()
    }

    /// Reads a body back.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut from = Decoder::new(body);
        if from.byte()? != ENCODING_VERSION {
            return Err(DecodeError::Field("version"));
        }
        let tag = from.byte()?;
        let seq = from.u64()?;
        let at = from.time()?;
        let transfer_id = from.transfer_id()?;
        let kind = match tag {
            1 => EventKind::Created(decode_creation(&mut from)?),
            2 => EventKind::Posted { amount: from.amount()? },
            3 => EventKind::Voided,
            4 => EventKind::Expired,
            5 => EventKind::Reversed { creation: decode_creation(&mut from)?, reverses: from.transfer_id()? },
            _ => return Err(DecodeError::Field("kind")),
        };
        from.finish()?;
        Ok(Self { seq, at, transfer_id, kind })
    }

    /// The transfer that this event made, as it was at that moment; `None` if it made none.
    pub fn created_transfer(&self) -> Option<Transfer> {
        let (creation, reverses) = match &self.kind {
            EventKind::Created(creation) => (creation, None),
            EventKind::Reversed { creation, reverses } => (creation, Some(*reverses)),
            EventKind::Posted { .. } | EventKind::Voided | EventKind::Expired => return None,
        };
        let (status, posted_amount) = if creation.pending {
            (TransferStatus::Pending, None)
        } else {
            (TransferStatus::Posted, Some(creation.terms.amount))
        };
        Some(Transfer {
            id: self.transfer_id,
            seq: self.seq,
            status,
            terms: creation.terms.clone(),
            posted_amount,
            expires_at: creation.expires_at,
            reverses,
            reversed_by: None,
            created_by: creation.created_by,
            idempotency_key: creation.idempotency_key.clone(),
            created_at: self.at,
            hold: creation.pending,
        })
    }
}

impl Event {
    /// The transfer that this event is about, as it was after it. `made` is that transfer as it was at any time.
    pub fn transfer_after(&self, made: &Transfer) -> Transfer {
        let ended =
            |status, posted_amount| Transfer { status, posted_amount, reversed_by: None, ..made.clone() };
        match &self.kind {
            EventKind::Created(_) | EventKind::Reversed { .. } => {
                self.created_transfer().unwrap_or_else(|| made.clone())
            }
            EventKind::Posted { amount } => ended(TransferStatus::Posted, Some(*amount)),
            EventKind::Voided => ended(TransferStatus::Voided, None),
            EventKind::Expired => ended(TransferStatus::Expired, None),
        }
    }
}

fn encode_creation(to: &mut Encoder, creation: &Creation) {
    to.terms(&creation.terms);
    to.byte(u8::from(creation.pending));
    to.optional(creation.expires_at, |to, time| to.i64(time.as_micros()));
    to.uuid(creation.created_by.as_uuid());
    to.text(creation.idempotency_key.as_str());
}

fn decode_creation(from: &mut Decoder<'_>) -> Result<Creation, DecodeError> {
    Ok(Creation {
        terms: from.terms()?,
        pending: match from.byte()? {
            0 => false,
            1 => true,
            _ => return Err(DecodeError::Field("pending")),
        },
        expires_at: from.optional(Decoder::time)?,
        created_by: from.user_id()?,
        idempotency_key: from.parsed("idempotency key")?,
    })
}

/// A link of the chain: SHA-256, written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainHash([u8; 32]);

impl ChainHash {
    /// The hash of the event with this body that follows `self`.
    #[must_use]
    pub fn next(&self, body: &[u8]) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(body).finalize().into())
    }

    /// A hash read back from a store.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest, for storage.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Where the log ends. It must equal the last event, or a truncated log would look whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last event's `seq`; 0 before the first.
    pub seq: u64,
    /// The last event's hash; zeroes before the first.
    pub hash: ChainHash,
    /// The last event's time.
    pub at: Timestamp,
}

impl fmt::Display for Head {
    /// `SEQ:HASH`, as `verify` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq, self.hash)
    }
}

impl fmt::Display for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl FromStr for ChainHash {
    type Err = DecodeError;

    fn from_str(hex: &str) -> Result<Self, DecodeError> {
        // The library would take a leading 0x.
        let plain = hex.len() == 64;
        let bytes = if plain { const_hex::decode_to_array(hex).ok() } else { None };
        bytes.map(Self).ok_or(DecodeError::Field("hash"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::models::AccountId;

    fn example() -> Event {
        let id = |n| Uuid::from_u128(n);
        Event {
            seq: 7,
            at: Timestamp::from_micros(1_769_860_800_000_000).unwrap(),
            transfer_id: TransferId::from_uuid(id(1)),
            kind: EventKind::Created(Creation {
                terms: Terms {
                    debit_account: AccountId::from_uuid(id(2)),
                    credit_account: AccountId::from_uuid(id(3)),
                    amount: Amount::new(1500).unwrap(),
                    currency: "EUR".parse().unwrap(),
                    description: Some("rent".parse().unwrap()),
                    metadata: None,
                    reference: None,
                },
                pending: false,
                expires_at: None,
                created_by: UserId::from_uuid(id(4)),
                idempotency_key: "k-1".parse().unwrap(),
            }),
        }
    }

    /// The layout is a promise: a change of it needs a new version byte.
    #[test]
    fn layout_of_version_1_is_fixed() {
        let body = example().encode();
        assert_eq!(
            const_hex::encode(&body),
            "01010000000000000007000649add4493000\
             0000000000000000000000000000000100000000000000000000000000000002\
             0000000000000000000000000000000300000000000005dc00000003455552\
             010000000472656e7400000000\
             00000000000000000000000000000004000000036b2d31"
        );
        assert_eq!(Event::decode(&body), Ok(example()));
    }

    #[test]
    fn a_transfer_is_shown_as_it_was_after_each_event() {
        let EventKind::Created(creation) = example().kind else { unreachable!("an example of a creation") };
        let pending = Creation { pending: true, ..creation };
        let created = Event { kind: EventKind::Created(pending), ..example() };
        let before = created.created_transfer().unwrap();
        let part = Amount::new(700).unwrap();
        let now = Transfer {
            status: TransferStatus::Posted,
            posted_amount: Some(part),
            reversed_by: Some(TransferId::from_uuid(Uuid::from_u128(9))),
            ..before.clone()
        };
        assert_eq!(created.transfer_after(&now), before);
        for (kind, status, posted_amount) in [
            (EventKind::Posted { amount: part }, TransferStatus::Posted, Some(part)),
            (EventKind::Voided, TransferStatus::Voided, None),
            (EventKind::Expired, TransferStatus::Expired, None),
        ] {
            let after = Event { seq: 8, kind, ..example() }.transfer_after(&now);
            assert_eq!(after, Transfer { status, posted_amount, ..before.clone() });
        }
    }

    #[test]
    fn a_changed_byte_changes_every_later_hash() {
        let first = ChainHash::default().next(b"a");
        assert_ne!(first, ChainHash::default().next(b"b"));
        assert_ne!(first.next(b"x"), ChainHash::default().next(b"b").next(b"x"));
        assert_eq!(first.to_string().parse(), Ok(first));
        assert!("zz".parse::<ChainHash>().is_err());
    }

    #[test]
    fn truncation_and_trailing_bytes_are_refused() {
        let mut body = example().encode();
        for length in 0..body.len() {
            assert!(Event::decode(&body[..length]).is_err(), "{length}");
        }
        body.push(0);
        assert_eq!(Event::decode(&body), Err(DecodeError::Trailing));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            if let Ok(event) = Event::decode(&body) {
                prop_assert_eq!(event.encode(), body);
            }
        }
    }
}
