//! The posting rule: what changes the ledger, decided purely.
//!
//! A store works in three steps. It asks [`Needs`] what a batch of [`Command`]s depends on and loads that
//! into [`Books`]; it lets [`Books::decide`] judge the commands one after the other; it writes the
//! [`Journal`] of all that changed in one transaction. The judgement is the same on every store because it
//! is this code.
//!
//! # Precedence
//!
//! A transfer is judged in this order, and the first that applies is the outcome:
//! key reused for something else, replay of the key's outcome, same account on both sides, debit account
//! not found, debit account of somebody else, credit account not found, currency mismatch (debit first),
//! insufficient funds, balance overflow (debit first).

mod books;
mod rule;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use books::{Books, Entry, Journal, KeyOutcome, KeyRecord, LoggedEvent, NewUser};

use super::{
    Account, AccountId, Actor, Currency, Fingerprint, IdempotencyKey, Money, Role, Terms, Transfer,
    TransferId, User, UserId, Username, account::AccountName,
};

/// Something that changes the ledger. Ids are new ones, made by the caller.
#[derive(Debug, Clone)]
pub enum Command {
    /// Make a user.
    RegisterUser(RegisterUser),
    /// Open an account.
    OpenAccount(OpenAccount),
    /// Move money.
    Transfer(TransferRequest),
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

/// Move money, at most once per key.
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
    /// The request that asks; a rejection keeps it, so that its replay reads like the first reply.
    pub request_id: Box<str>,
}

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
    /// The money moved, now or when the key was first used.
    Transferred {
        /// As it was when it was made.
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
    /// The debit account is somebody else's. Not stored: the key stays free.
    Forbidden,
    /// The key was used for something else within its life. Not stored.
    KeyReused,
}

/// Why the ledger rejects a transfer. Stored under the key and replayed.
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
    /// A balance would leave ±(2^53 − 1).
    BalanceOverflow {
        /// Whose balance.
        side: Side,
    },
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

/// What a batch depends on: a store loads these, in this order, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Accounts, in ascending order so that all writers lock in one order.
    pub accounts: Vec<AccountId>,
    /// Idempotency keys.
    pub keys: Vec<(UserId, IdempotencyKey)>,
    /// Users by id.
    pub user_ids: Vec<UserId>,
    /// Users by folded name.
    pub usernames: Vec<String>,
}

impl Needs {
    /// What these commands depend on.
    pub fn of<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Self {
        let mut needs = Self::default();
        for command in commands {
            needs.add(command);
        }
        needs.accounts.sort_unstable();
        needs.accounts.dedup();
        needs
    }

    fn add(&mut self, command: &Command) {
        match command {
            // Their own ids, too: they are there if an attempt whose end nobody saw was committed.
            Command::RegisterUser(user) => {
                self.user_ids.push(user.id);
                self.usernames.push(user.username.folded());
            }
            Command::OpenAccount(account) => {
                self.accounts.push(account.id);
                match &account.owner {
                    Owner::Id(id) => self.user_ids.push(*id),
                    Owner::Name(name) => self.usernames.push(name.folded()),
                }
            }
            Command::Transfer(request) => {
                self.accounts.push(request.terms.debit_account);
                self.accounts.push(request.terms.credit_account);
                self.keys.push((request.actor.id, request.key.clone()));
            }
        }
    }
}
