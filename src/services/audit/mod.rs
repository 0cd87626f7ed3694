//! `verify`: walks through a store and checks the six invariants of the ledger, in bounded memory.
//!
//! The log is the truth: its events are walked through in order, and everything else must be what they make of it. The
//! log, the entries and the accounts are read as ordered streams that are joined, so that memory does not grow with
//! any of them.
//!
//! Not in the chain, and so not audited, is what no event says: users, and the owner, the name and the `min_balance` of
//! an account.
//!
//! I1 (no acknowledged transfer is missing) needs a witness from outside: a head that was recorded earlier,
//! which must still be part of the chain.

mod accounts;
pub mod chain;
mod endings;
mod keys;
mod log;

use std::fmt;

use serde::Serialize;

use self::accounts::AccountCheck;
use self::endings::{AWAITED_MAX, Endings};
use self::keys::check_keys;
use self::log::LogCheck;
use crate::models::event::ChainHash;
use crate::models::{Event, Head};
use crate::store::StoreError;
use crate::store::audit::{RowCounts, Source};

/// The invariants that a ledger must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Invariant {
    /// No acknowledged transfer is missing.
    I1,
    /// No idempotency key is applied twice within its life.
    I2,
    /// For each currency the sum of all balances is 0.
    I3,
    /// Each account's balance equals the sum of its entries and its last entry's running balance; `held`
    /// equals its open pending transfers.
    I4,
    /// No account's `available` is below its `min_balance`.
    I5,
    /// `seq` is gapless from 1, the hash chain verifies, and the head record equals the last event.
    I6,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a clean audit saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Audited {
    /// Where the log ends.
    pub head: Head,
    /// Accounts.
    pub accounts: u64,
    /// How many rows the tables have.
    pub rows: RowCounts,
}

/// Why an audit ended early.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// An invariant does not hold; this is the first breach found.
    #[error("{invariant} is broken: {detail}")]
    Broken {
        /// Which.
        invariant: Invariant,
        /// Where, and how.
        detail: String,
    },
    /// The store did not answer.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for AuditError {
    /// A row that cannot be read is a derived record that does not match its log.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(detail) => Self::Broken { invariant: Invariant::I6, detail },
            other => Self::Store(other),
        }
    }
}

fn broken(invariant: Invariant, detail: String) -> AuditError {
    AuditError::Broken { invariant, detail }
}

/// How far an audit, an export or an import has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is being looked at.
    pub what: &'static str,
    /// How many of them were.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// Checks everything. `expected` is a head seen earlier; `progress` hears of every event and of every entry.
pub fn audit(
    source: &impl Source,
    expected: Option<(u64, ChainHash)>,
    mut progress: impl FnMut(Progress),
) -> Result<Audited, AuditError> {
    let head = source.head()?;
    let rows = source.row_counts()?;
    let last_decision = source.last_key_use()?.map_or(head.at, |used_at| used_at.max(head.at));
    let mut log = LogCheck::new(expected, last_decision);
    let mut endings = Endings::new(AWAITED_MAX);
    source.each_event(|stored| {
        progress(Progress { what: "events", done: stored.seq, total: head.seq });
        let (event, transfer) = log.event(&stored)?;
        endings.event(&event, transfer)
    })?;
    log.finish(&head)?;
    while endings.finish_walk()? {
        walk_again(source, &mut endings)?;
    }
    let mut accounts = AccountCheck::new(source);
    let mut entries = 0;
    source.each_entry(|entry| {
        entries += 1;
        progress(Progress { what: "entries", done: entries, total: rows.entries });
        accounts.entry(&entry)
    })?;
    let accounts = accounts.finish()?;
    log.check_counts(&rows, || Ok(source.orphan()?))?;
    check_keys(source)?;
    Ok(Audited { head, accounts, rows })
}

/// For a further share of the transfers that wait, along a log that was found to be whole.
fn walk_again(source: &impl Source, endings: &mut Endings) -> Result<(), AuditError> {
    source.each_event(|stored| match (Event::decode(&stored.body), &stored.transfer) {
        (Ok(event), Some(transfer)) => endings.event(&event, transfer),
        _ => Ok(()),
    })
}
