//! The log, event by event, and what each event says of the other tables.

use super::chain::{Chain, ChainError};
use super::keys::check_key;
use super::{AuditError, Invariant, broken};
use crate::models::event::{ChainHash, Creation};
use crate::models::idempotency::is_alive;
use crate::models::posting::Entry;
use crate::models::replay::{Effect, effects, ending, is_timely, moves_back};
use crate::models::{Event, EventKind, Head, Timestamp, Transfer, TransferStatus};
use crate::store::audit::{RowCounts, StoredEvent};

impl From<ChainError> for AuditError {
    fn from(error: ChainError) -> Self {
        broken(Invariant::I6, error.to_string())
    }
}

/// A walk along the log.
#[derive(Default)]
pub(super) struct LogCheck {
    expected: Option<(u64, ChainHash)>,
    /// The latest time that anything was decided at; keys used within their life before it must be there.
    last_decision: Option<Timestamp>,
    chain: Chain,
    transfers: u64,
    entries: u64,
    reversals: u64,
}

impl LogCheck {
    pub(super) fn new(expected: Option<(u64, ChainHash)>, last_decision: Timestamp) -> Self {
        Self { expected, last_decision: Some(last_decision), ..Self::default() }
    }

    /// Checks the next event, and the rows that are derived from it, of which the transfer's is returned.
    pub(super) fn event<'a>(&mut self, stored: &'a StoredEvent) -> Result<(Event, &'a Transfer), AuditError> {
        let event = self.chain.advance(stored.seq, &stored.body, stored.hash)?;
        self.check_expected()?;
        let transfer = stored.transfer.as_ref().ok_or_else(|| {
            broken(
                Invariant::I1,
                format!("the transfer of event {}, {}, is missing", event.seq, event.transfer_id),
            )
        })?;
        self.check_transfer(&event, transfer, stored)?;
        for effect in effects(&event.kind, &transfer.terms) {
            self.entries += u64::from(effect.moved.is_some());
            check_entry(&event, effect, &stored.entries)?;
        }
        Ok((event, transfer))
    }

    fn check_expected(&self) -> Result<(), AuditError> {
        let head = self.chain.head();
        match self.expected {
            Some((seq, hash)) if seq == head.seq && hash != head.hash => {
                Err(broken(Invariant::I1, format!("event {seq} is another than the one expected")))
            }
            _ => Ok(()),
        }
    }

    fn check_transfer(
        &mut self,
        event: &Event,
        row: &Transfer,
        stored: &StoredEvent,
    ) -> Result<(), AuditError> {
        match &event.kind {
            EventKind::Created(creation) => self.check_made(event, creation, row, stored),
            EventKind::Reversed { creation, .. } => {
                self.reversals += 1;
                check_reversal(event, creation, stored.original.as_ref())?;
                self.check_made(event, creation, row, stored)
            }
            EventKind::Posted { .. } | EventKind::Voided | EventKind::Expired => check_ending(event, row),
        }
    }

    fn check_made(
        &mut self,
        event: &Event,
        creation: &Creation,
        row: &Transfer,
        stored: &StoredEvent,
    ) -> Result<(), AuditError> {
        self.transfers += 1;
        check_row(event, creation, row)?;
        check_currencies(event, creation, stored)?;
        if self.last_decision.is_some_and(|now| is_alive(event.at, now)) {
            check_key(event, stored.key.as_ref())?;
        }
        Ok(())
    }

    /// Ends the walk: the log must end where the head record says and reach as far as was expected.
    pub(super) fn finish(&self, head: &Head) -> Result<(), AuditError> {
        let end = self.chain.head();
        if *head != end {
            let detail =
                format!("the head record says {head} at {}, the log ends with {end} at {}", head.at, end.at);
            return Err(broken(Invariant::I6, detail));
        }
        match self.expected {
            Some((seq, _)) if seq > end.seq => {
                Err(broken(Invariant::I1, format!("event {seq} was expected, the log ends at {}", end.seq)))
            }
            Some((0, hash)) if hash != ChainHash::default() => {
                Err(broken(Invariant::I1, "before the first event the hash is all zeroes".into()))
            }
            _ => Ok(()),
        }
    }

    /// Whether there are as many rows as the log makes. `orphan` looks for one that it does not make.
    pub(super) fn check_counts(
        &self,
        rows: &RowCounts,
        orphan: impl FnOnce() -> Result<Option<String>, AuditError>,
    ) -> Result<(), AuditError> {
        let (invariant, what, found, made) = if rows.transfers != self.transfers {
            (Invariant::I6, "transfers", rows.transfers, self.transfers)
        } else if rows.reversed != self.reversals {
            (Invariant::I6, "reversed transfers", rows.reversed, self.reversals)
        } else if rows.entries != self.entries {
            (Invariant::I4, "entries", rows.entries, self.entries)
        } else {
            return Ok(());
        };
        let named = orphan()?.map(|orphan| format!(", among them {orphan}")).unwrap_or_default();
        Err(broken(invariant, format!("there are {found} {what}{named}, but the log makes {made}")))
    }
}

/// A row that says something else than an event. That of a transfer which should not be pending any more is a wrong
/// sum held, too.
fn differs(row: &Transfer, event: &Event) -> AuditError {
    let invariant = if row.status == TransferStatus::Pending { Invariant::I4 } else { Invariant::I6 };
    broken(invariant, format!("transfer {} differs from event {}", row.id, event.seq))
}

/// A new transfer's row must say what its event says; status and reversal of the row may be of later events.
fn check_row(event: &Event, creation: &Creation, row: &Transfer) -> Result<(), AuditError> {
    let Some(mut logged) = event.created_transfer() else { return Ok(()) };
    logged.reversed_by = row.reversed_by;
    if creation.pending {
        (logged.status, logged.posted_amount) = (row.status, row.posted_amount);
    }
    let moved = row.posted_amount.is_some() == (row.status == TransferStatus::Posted);
    let bounded = row.posted_amount.is_none_or(|amount| amount <= row.terms.amount);
    let may_be_reversed = row.reversed_by.is_none() || row.status == TransferStatus::Posted;
    if logged == *row && moved && bounded && may_be_reversed { Ok(()) } else { Err(differs(row, event)) }
}

/// The row of a transfer that waited must stand as the event left it that ended the wait.
fn check_ending(event: &Event, row: &Transfer) -> Result<(), AuditError> {
    let ended = ending(&event.kind).is_some_and(|end| end == (row.status, row.posted_amount));
    if !ended {
        return Err(differs(row, event));
    }
    if is_timely(event, row.expires_at) {
        Ok(())
    } else {
        let detail = format!("event {} ends transfer {} at the wrong time", event.seq, row.id);
        Err(broken(Invariant::I4, detail))
    }
}

/// A reversal must move back what the original moved, and the original must name it.
fn check_reversal(event: &Event, reversal: &Creation, original: Option<&Transfer>) -> Result<(), AuditError> {
    let Some(original) = original else {
        let detail = format!("the transfer that event {} reverses is missing", event.seq);
        return Err(broken(Invariant::I1, detail));
    };
    let linked = original.reversed_by == Some(event.transfer_id);
    if linked && original.seq < event.seq && moves_back(reversal, original) {
        return Ok(());
    }
    Err(differs(original, event))
}

/// Both accounts must count what the transfer moves.
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

/// There must be the entry that the effect makes, and none if it moves nothing.
fn check_entry(event: &Event, effect: Effect, entries: &[Entry]) -> Result<(), AuditError> {
    let (seq, account) = (event.seq, effect.account_id);
    let entry = entries.iter().find(|entry| entry.account_id == account);
    let detail = match (effect.moved, entry) {
        (None, None) => return Ok(()),
        (Some(amount), Some(entry))
            if (entry.transfer_id, entry.amount, entry.created_at)
                == (event.transfer_id, amount, event.at) =>
        {
            return Ok(());
        }
        (Some(_), Some(_)) => format!("entry {seq} of account {account} differs from event {seq}"),
        (Some(_), None) => format!("account {account} has no entry for event {seq}"),
        (None, Some(_)) => {
            format!("account {account} has an entry for event {seq}, which moves nothing")
        }
    };
    Err(broken(Invariant::I4, detail))
}
