//! What the ledger answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::models::{Account, Amount, Currency, Money, Transfer, TransferStatus, User};

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The user was made.
    Registered(User),
    /// The name belongs to somebody.
    UsernameTaken,
    /// The account was opened.
    Opened(Account),
    /// There is no such owner.
    OwnerNotFound,
    /// A transfer was made, ended or reversed, now or when the key was first used.
    Transferred {
        /// As it was then. Of a reversal, the transfer that moves the money back.
        transfer: Arc<Transfer>,
        /// Whether this is the outcome of an earlier command with the same key.
        replayed: bool,
    },
    /// The ledger said no, now or when the key was first used.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// The request that was first told so.
        request_id: Box<str>,
        /// Whether this is the outcome of an earlier command with the same key.
        replayed: bool,
    },
    /// A batch was judged, now or when its key was first used.
    Batch {
        /// Item by item.
        batch: Arc<BatchOutcome>,
        /// Whether this is the outcome of an earlier command with the same key.
        replayed: bool,
    },
    /// So many holds were let go.
    Expired(u32),
    /// There is no such transfer. Not stored: the key stays free.
    NotFound,
    /// The account that would pay is somebody else's. Not stored: the key stays free.
    Forbidden,
    /// The key was used for something else within its life. Not stored.
    KeyReused,
    /// What is kept under the key cannot be read, so nothing was done. Not stored.
    KeyDamaged,
}

/// What became of a batch, kept under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchOutcome {
    /// One a transfer, in the order of the request.
    pub items: Vec<Result<Arc<Transfer>, Refusal>>,
    /// Whether it was atomic and nothing of it was done.
    pub aborted: bool,
    /// The request that was first told so.
    pub request_id: Box<str>,
}

/// Why an item of a batch was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The ledger said no.
    Rejected(Rejection),
    /// The debit account is somebody else's.
    Forbidden,
    /// It would have passed, but the batch is atomic and another item did not.
    Aborted,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// Why the ledger rejects a command. Stored under the key and replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// Debit and credit name one account.
    SameAccount,
    /// There is no such account.
    AccountNotFound {
        /// Which side names it.
        side: Side,
    },
    /// An account counts another currency.
    CurrencyMismatch {
        /// Whose currency differs.
        side: Side,
        /// What that account counts.
        currency: Currency,
    },
    /// The debit account cannot bear it.
    InsufficientFunds {
        /// What it had available.
        available: Money,
    },
    /// A balance, or what is held, would leave ±(2^53 − 1).
    BalanceOverflow {
        /// Whose balance.
        side: Side,
    },
    /// The transfer to be posted or voided is not pending, or its time is up.
    TransferNotPending {
        /// What it is instead.
        status: TransferStatus,
    },
    /// More is to be posted than was held.
    AmountExceedsPending {
        /// What was held.
        pending: Amount,
    },
    /// The transfer to be reversed has moved no money.
    TransferNotPosted {
        /// Where it stands.
        status: TransferStatus,
    },
    /// The transfer to be reversed is a reversal itself.
    NotReversible,
    /// The transfer was reversed before.
    AlreadyReversed,
}

/// A side of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Where money leaves.
    Debit,
    /// Where it arrives.
    Credit,
}
