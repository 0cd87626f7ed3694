//! Transfers: money moved, or to be moved, from one account to another.

use serde::{Deserialize, Serialize};

use super::{AccountId, Amount, Currency, IdempotencyKey, Text, Timestamp, TransferId, UserId};

/// Free text for people: 1 to 512 characters.
pub type Description = Text<512>;

/// The caller's own name for a transfer: 1 to 128 characters.
pub type Reference = Text<128>;

/// What a caller asks for; it never changes once accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Where the money leaves.
    pub debit_account: AccountId,
    /// Where it arrives.
    pub credit_account: AccountId,
    /// How much.
    pub amount: Amount,
    /// In which currency; both accounts must count it.
    pub currency: Currency,
    /// Text for people.
    pub description: Option<Description>,
    /// A JSON object in compact text; opaque to the ledger.
    pub metadata: Option<Box<str>>,
    /// The caller's own name for it.
    pub reference: Option<Reference>,
}

/// How money is held until a transfer is posted or voided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// After how many seconds, at least 1, it is let go by itself; never if absent.
    pub timeout_s: Option<u32>,
}

impl Hold {
    /// When a hold of `now` is let go by itself.
    pub fn expires_at(self, now: Timestamp) -> Option<Timestamp> {
        self.timeout_s.map(|seconds| now.saturating_add_seconds(i64::from(seconds)))
    }
}

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferStatus {
    /// Reserves money on the debit account and waits for its post or void.
    Pending,
    /// Money has moved.
    Posted,
    /// Given up by a caller; the reservation is gone.
    Voided,
    /// Given up by its own time limit.
    Expired,
}

impl TransferStatus {
    /// The word in replies and the stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Posted => "posted",
            Self::Voided => "voided",
            Self::Expired => "expired",
        }
    }
}

impl std::str::FromStr for TransferStatus {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "pending" => Ok(Self::Pending),
            "posted" => Ok(Self::Posted),
            "voided" => Ok(Self::Voided),
            "expired" => Ok(Self::Expired),
            _ => Err(()),
        }
    }
}

/// A transfer as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// The id.
    pub id: TransferId,
    /// The event that made it.
    pub seq: u64,
    /// Where it stands.
    pub status: TransferStatus,
    /// What was asked for.
    pub terms: Terms,
    /// What has moved; absent until posted.
    pub posted_amount: Option<Amount>,
    /// When a pending one gives up.
    pub expires_at: Option<Timestamp>,
    /// The transfer that this one reverses.
    pub reverses: Option<TransferId>,
    /// The transfer that reversed this one.
    pub reversed_by: Option<TransferId>,
    /// Who asked for it.
    pub created_by: UserId,
    /// The key it was asked with.
    pub idempotency_key: IdempotencyKey,
    /// The time of the event that made it.
    pub created_at: Timestamp,
    /// Whether it began as a hold.
    pub hold: bool,
}

impl Transfer {
    /// Whether it still reserves money at `now`; a hold whose time is up does not, whoever has noticed.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.status == TransferStatus::Pending && !self.is_due(now)
    }

    /// Whether its time limit has passed.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|due| due <= now)
    }
}
