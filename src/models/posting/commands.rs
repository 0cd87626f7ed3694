//! What a caller can ask of the ledger.

use crate::models::account::AccountName;
use crate::models::transfer::Hold;
use crate::models::{
    AccountId, Actor, Amount, Currency, Fingerprint, IdempotencyKey, Money, Role, Terms, TransferId, UserId,
    Username,
};

/// Something that changes the ledger. Ids are new ones, made by the caller.
#[derive(Debug, Clone)]
pub enum Command {
    /// Make a user.
    RegisterUser(RegisterUser),
    /// Open an account.
    OpenAccount(OpenAccount),
    /// Move money, or hold it.
    Transfer(TransferRequest),
    /// End a hold: move the money, or let it go.
    Resolve(HoldRequest),
    /// Move a transfer's money back.
    Reverse(ReversalRequest),
    /// Make many transfers.
    Batch(BatchRequest),
    /// Let holds go whose time is up.
    ExpireHolds(ExpireHolds),
}

/// Make a user.
#[derive(Debug, Clone)]
pub struct RegisterUser {
    /// The new user's id.
    pub id: UserId,
    /// The name; must be free.
    pub username: Username,
    /// What the user may do.
    pub role: Role,
    /// The password's hash in PHC string form.
    pub password_hash: String,
}

/// Whose account it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// A user by id.
    Id(UserId),
    /// A user by name.
    Name(Username),
}

/// Open an account. That the actor may name this owner and this `min_balance` was checked before.
#[derive(Debug, Clone)]
pub struct OpenAccount {
    /// The new account's id.
    pub id: AccountId,
    /// Whose it is to be.
    pub owner: Owner,
    /// What the owner calls it.
    pub name: Option<AccountName>,
    /// What it counts.
    pub currency: Currency,
    /// The least that `available` may fall to; `None` means no bound.
    pub min_balance: Option<Money>,
}

/// Move money or hold it, at most once per key.
#[derive(Debug, Clone)]
pub struct TransferRequest {
    /// Who asks.
    pub actor: Actor,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// What the key is used for.
    pub fingerprint: Fingerprint,
    /// The new transfer's id.
    pub id: TransferId,
    /// What is to move.
    pub terms: Terms,
    /// Whether it is only held for now, and how.
    pub hold: Option<Hold>,
    /// The request that asks; a rejection keeps it, so that its replay reads like the first reply.
    pub request_id: Box<str>,
}

/// End a pending transfer, at most once per key.
#[derive(Debug, Clone)]
pub struct HoldRequest {
    /// Who asks.
    pub actor: Actor,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// What the key is used for.
    pub fingerprint: Fingerprint,
    /// The pending transfer.
    pub transfer_id: TransferId,
    /// What is to become of it.
    pub decision: HoldDecision,
    /// The request that asks, as in [`TransferRequest`].
    pub request_id: Box<str>,
}

/// What is to become of a pending transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldDecision {
    /// The money moves: all that is held, or this part of it; the rest is let go.
    Post(Option<Amount>),
    /// All is let go.
    Void,
}

/// Move a posted transfer's money back, at most once per key and once per transfer.
#[derive(Debug, Clone)]
pub struct ReversalRequest {
    /// Who asks.
    pub actor: Actor,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// What the key is used for.
    pub fingerprint: Fingerprint,
    /// The new transfer's id.
    pub id: TransferId,
    /// The transfer to be reversed.
    pub reverses: TransferId,
    /// The request that asks, as in [`TransferRequest`].
    pub request_id: Box<str>,
}

/// Make transfers one after the other, at most once per key.
#[derive(Debug, Clone)]
pub struct BatchRequest {
    /// Who asks.
    pub actor: Actor,
    /// The caller's key.
    pub key: IdempotencyKey,
    /// What the key is used for.
    pub fingerprint: Fingerprint,
    /// Whether it is all or nothing.
    pub atomic: bool,
    /// The transfers.
    pub items: Vec<BatchItem>,
    /// The request that asks, as in [`TransferRequest`].
    pub request_id: Box<str>,
}

/// One transfer of a batch.
#[derive(Debug, Clone)]
pub struct BatchItem {
    /// The new transfer's id.
    pub id: TransferId,
    /// What is to move.
    pub terms: Terms,
    /// Whether it is only held for now, and how.
    pub hold: Option<Hold>,
}

/// Let holds go whose time is up, the earliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpireHolds {
    /// How many at most: what one commit of them may take.
    pub limit: u32,
}

impl Command {
    /// How many transfers it may make or change: its share of a commit's work.
    pub fn weight(&self) -> usize {
        match self {
            Self::RegisterUser(_)
            | Self::OpenAccount(_)
            | Self::Transfer(_)
            | Self::Resolve(_)
            | Self::Reverse(_) => 1,
            Self::Batch(batch) => batch.items.len(),
            Self::ExpireHolds(expire) => expire.limit as usize,
        }
    }
}
