//! `verify`: walks through a store and checks the six invariants of the ledger, in bounded memory.
//!
//! I1 (no acknowledged transfer is missing) needs a witness from outside: a head that was recorded earlier,
//! which must still be part of the chain.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::models::event::{ChainHash, Creation};
use crate::models::idempotency::is_alive;
use crate::models::posting::Entry;
use crate::models::{
    Account, AccountId, Amount, Currency, Event, EventKind, Fingerprint, Head, Money, Timestamp, Transfer,
    TransferStatus,
};
use crate::store::StoreError;
use crate::store::audit::{RowCounts, Source, StoredEvent, StoredKey};

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
    /// Rows of `accounts`.
    pub accounts: u64,
    /// Rows of `transfers` and `entries`.
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

/// Checks everything. `expected` is a head seen earlier; `progress` hears of every event's `seq`.
pub fn audit(
    source: &impl Source,
    expected: Option<(u64, ChainHash)>,
    mut progress: impl FnMut(u64),
) -> Result<Audited, AuditError> {
    let head = source.head()?;
    let last_decision = source.last_key_use()?.map_or(head.at, |used_at| used_at.max(head.at));
    let mut log = LogCheck { expected, last_decision: Some(last_decision), ..LogCheck::default() };
    source.each_event(|event| {
        progress(event.seq);
        log.event(&event)
    })?;
    log.finish(&head)?;
    let mut accounts = AccountCheck::default();
    source.each_account(|account, holds| accounts.account(source, &account, holds))?;
    accounts.finish()?;
    let rows = source.row_counts()?;
    check_counts(rows, &log, &accounts)?;
    check_keys(source)?;
    Ok(Audited { head, accounts: accounts.seen, rows })
}

/// The log, event by event, and what each event says of other tables.
#[derive(Default)]
struct LogCheck {
    expected: Option<(u64, ChainHash)>,
    seq: u64,
    hash: ChainHash,
    at: Option<Timestamp>,
    /// The latest time that anything was decided at; keys used within their life before it must be there.
    last_decision: Option<Timestamp>,
    transfers: u64,
    entries: u64,
    reversals: u64,
}

impl LogCheck {
    fn event(&mut self, stored: &StoredEvent) -> Result<(), AuditError> {
        let seq = stored.seq;
        if seq != self.seq + 1 {
            return Err(broken(Invariant::I6, format!("event {} is followed by {seq}", self.seq)));
        }
        if self.hash.next(&stored.body) != stored.hash {
            return Err(broken(Invariant::I6, format!("the hash of event {seq} does not match its content")));
        }
        let event = Event::decode(&stored.body)
            .map_err(|error| broken(Invariant::I6, format!("event {seq} cannot be read: {error}")))?;
        if event.seq != seq {
            return Err(broken(Invariant::I6, format!("event {seq} says that it is event {}", event.seq)));
        }
        if self.at.is_some_and(|before| event.at < before) {
            return Err(broken(Invariant::I6, format!("event {seq} is older than the event before it")));
        }
        (self.seq, self.hash, self.at) = (seq, stored.hash, Some(event.at));
        self.check_expected()?;
        self.derived(&event, stored)
    }

    fn check_expected(&self) -> Result<(), AuditError> {
        match self.expected {
            Some((seq, hash)) if seq == self.seq && hash != self.hash => {
                Err(broken(Invariant::I1, format!("event {seq} is another than the one expected")))
            }
            _ => Ok(()),
        }
    }

    /// Compares the transfer's row and the entries with what the event says.
    fn derived(&mut self, event: &Event, stored: &StoredEvent) -> Result<(), AuditError> {
        let seq = event.seq;
        let transfer = stored.transfer.as_ref().ok_or_else(|| {
            broken(Invariant::I1, format!("the transfer of event {seq}, {}, is missing", event.transfer_id))
        })?;
        let moved = match &event.kind {
            EventKind::Created(creation) | EventKind::Reversed { creation, .. } => {
                self.transfers += 1;
                self.reversals += u64::from(matches!(event.kind, EventKind::Reversed { .. }));
                check_row(event, creation, transfer)?;
                check_currencies(event, creation, stored)?;
                if self.last_decision.is_some_and(|now| is_alive(event.at, now)) {
                    check_key(event, creation, stored.key)?;
                }
                (!creation.pending).then_some(creation.terms.amount)
            }
            EventKind::Posted { amount } => Some(*amount),
            EventKind::Voided | EventKind::Expired => None,
        };
        let Some(amount) = moved.map(Amount::money) else {
            return Ok(());
        };
        let terms = &transfer.terms;
        let sides = [(terms.debit_account, amount.negated()), (terms.credit_account, amount)];
        for (account, amount) in sides {
            self.entries += 1;
            check_entry(event, account, amount, &stored.entries)?;
        }
        Ok(())
    }

    fn finish(&self, head: &Head) -> Result<(), AuditError> {
        let end = Head { seq: self.seq, hash: self.hash, at: self.at.unwrap_or(Timestamp::EPOCH) };
        if *head != end {
            let detail =
                format!("the head record says {head} at {}, the log ends with {end} at {}", head.at, end.at);
            return Err(broken(Invariant::I6, detail));
        }
        match self.expected {
            Some((seq, _)) if seq > self.seq => {
                Err(broken(Invariant::I1, format!("event {seq} was expected, the log ends at {}", self.seq)))
            }
            Some((0, hash)) if hash != ChainHash::default() => {
                Err(broken(Invariant::I1, "before the first event the hash is all zeroes".into()))
            }
            _ => Ok(()),
        }
    }
}

/// A transfer's row must say what its event says; a pending one's status may have moved on since.
fn check_row(event: &Event, creation: &Creation, row: &Transfer) -> Result<(), AuditError> {
    let Some(mut logged) = event.created_transfer() else { return Ok(()) };
    logged.reversed_by = row.reversed_by;
    if creation.pending {
        (logged.status, logged.posted_amount) = (row.status, row.posted_amount);
    }
    if logged == *row {
        return Ok(());
    }
    let detail = format!("transfer {} differs from event {}", row.id, event.seq);
    Err(broken(if row.status == TransferStatus::Pending { Invariant::I4 } else { Invariant::I6 }, detail))
}

/// Both accounts must count what the transfer moved.
fn check_currencies(event: &Event, creation: &Creation, stored: &StoredEvent) -> Result<(), AuditError> {
    let moved = creation.terms.currency;
    match stored.currencies.iter().find(|(_, counted)| *counted != moved) {
        Some((account, counted)) => {
            let detail = format!("account {account} counts {counted}, event {} moved {moved}", event.seq);
            Err(broken(Invariant::I3, detail))
        }
        None => Ok(()),
    }
}

/// A key within its life must be there and stand for what it was used for, or it could be used again.
fn check_key(event: &Event, creation: &Creation, stored: Option<StoredKey>) -> Result<(), AuditError> {
    let used = StoredKey {
        seq: Some(event.seq),
        fingerprint: Fingerprint::of_transfer(&creation.terms, None),
        used_at: event.at,
    };
    if stored == Some(used) {
        return Ok(());
    }
    let state = if stored.is_some() { "differs" } else { "is missing" };
    Err(broken(Invariant::I2, format!("the record of event {}'s key {state}", event.seq)))
}

fn check_entry(
    event: &Event,
    account: AccountId,
    amount: Money,
    entries: &[Entry],
) -> Result<(), AuditError> {
    let seq = event.seq;
    let entry = entries
        .iter()
        .find(|entry| entry.account_id == account)
        .ok_or_else(|| broken(Invariant::I4, format!("account {account} has no entry for event {seq}")))?;
    let logged = (event.transfer_id, amount, event.at);
    if (entry.transfer_id, entry.amount, entry.created_at) == logged {
        Ok(())
    } else {
        Err(broken(Invariant::I4, format!("entry {seq} of account {account} differs from event {seq}")))
    }
}

/// The accounts, one after the other.
#[derive(Default)]
struct AccountCheck {
    seen: u64,
    entries: u64,
    sums: BTreeMap<Currency, i128>,
}

impl AccountCheck {
    fn account(&mut self, source: &impl Source, account: &Account, holds: Money) -> Result<(), AuditError> {
        let id = account.id;
        let mut running = 0_i128;
        let mut own = 0;
        source.each_entry(id, |entry| {
            own += 1;
            running += i128::from(entry.amount.minor_units());
            if i128::from(entry.balance.minor_units()) == running {
                return Ok(());
            }
            let detail =
                format!("entry {} of account {id} says {}, its sum is {running}", entry.seq, entry.balance);
            Err(broken(Invariant::I4, detail))
        })?;
        if i128::from(account.balance.minor_units()) != running {
            let detail = format!("account {id} says {}, its entries sum to {running}", account.balance);
            return Err(broken(Invariant::I4, detail));
        }
        if account.held != holds {
            let detail = format!("account {id} holds {}, its open transfers sum to {holds}", account.held);
            return Err(broken(Invariant::I4, detail));
        }
        if account.min_balance.is_some_and(|least| account.available() < least) {
            return Err(broken(Invariant::I5, format!("account {id} is below its min_balance")));
        }
        if account.version < 1 + own {
            let detail = format!("account {id} is at version {}, but has {own} entries", account.version);
            return Err(broken(Invariant::I4, detail));
        }
        self.seen += 1;
        self.entries += own;
        *self.sums.entry(account.currency).or_default() += running;
        Ok(())
    }

    fn finish(&self) -> Result<(), AuditError> {
        match self.sums.iter().find(|(_, sum)| **sum != 0) {
            Some((currency, sum)) => {
                Err(broken(Invariant::I3, format!("the balances in {currency} sum to {sum}")))
            }
            None => Ok(()),
        }
    }
}

/// Rows that no event and no account accounts for.
fn check_counts(rows: RowCounts, log: &LogCheck, accounts: &AccountCheck) -> Result<(), AuditError> {
    if rows.transfers != log.transfers {
        let detail = format!("{} transfers, but {} events that make one", rows.transfers, log.transfers);
        return Err(broken(Invariant::I6, detail));
    }
    if rows.reversed != log.reversals {
        let detail = format!("{} reversed transfers, but {} reversals", rows.reversed, log.reversals);
        return Err(broken(Invariant::I6, detail));
    }
    if (rows.entries, accounts.entries) != (log.entries, log.entries) {
        let detail = format!(
            "{} entries, {} of them on accounts, but the log makes {}",
            rows.entries, accounts.entries, log.entries
        );
        return Err(broken(Invariant::I4, detail));
    }
    Ok(())
}

fn check_keys(source: &impl Source) -> Result<(), AuditError> {
    if let Some((seq, key)) = source.key_applied_twice()? {
        return Err(broken(Invariant::I2, format!("event {seq} applies the key {key} a second time")));
    }
    if let Some(key) = source.key_without_event()? {
        return Err(broken(Invariant::I2, format!("the record of key {key} names another event")));
    }
    match source.unreadable_rejection()? {
        Some(key) => Err(broken(Invariant::I2, format!("the record of key {key} cannot be read"))),
        None => Ok(()),
    }
}
