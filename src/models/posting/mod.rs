//! The posting rule: what changes the ledger, decided purely.
//!
//! A store works in three steps. It asks [`Needs`] what a batch of [`Command`]s depends on and loads that
//! into [`Books`]; it lets [`Books::decide`] judge the commands one after the other; it writes the
//! [`Journal`] of all that changed in one transaction. The judgement is the same on every store because it
//! is this code.
//!
//! # Precedence
//!
//! A command with a key is judged in this order, and the first that applies is the outcome: key reused for
//! something else, replay of the key's outcome, then
//!
//! - a **transfer**: same account on both sides, debit account not found, debit account of somebody else, credit
//!   account not found, currency mismatch (debit first), insufficient funds, balance overflow (debit first);
//! - a **post** or **void** of a hold: transfer not found, debit account of somebody else, not pending (any more),
//!   and for a post amount exceeds pending, balance overflow;
//! - a **reversal**: transfer not found, credit account of somebody else, not posted, itself a reversal, already
//!   reversed, then as a transfer from insufficient funds on;
//! - a **batch**: each item as a transfer, in order, on the books that the items before it left. An atomic batch of
//!   which one item is refused changes nothing; the items that would have passed are told that it was for others.
//!
//! Nobody else's and not found leave the key free; every other outcome is kept under it.

mod books;
mod commands;
mod needs;
mod outcomes;
mod rule;
#[cfg(test)]
mod tests;

pub use books::{Books, Entry, Journal, KeyOutcome, KeyRecord, LoggedEvent, NewUser};
pub use commands::{
    BatchItem, BatchRequest, Command, ExpireHolds, HoldDecision, HoldRequest, OpenAccount, Owner,
    RegisterUser, ReversalRequest, TransferRequest,
};
pub use needs::Needs;
pub use outcomes::{BatchOutcome, Outcome, Refusal, Rejection, Side};
pub use rule::Unseen;
