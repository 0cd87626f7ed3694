//! The idempotency records, and what they say of the log.
//!
//! The event of a post or a void does not name the key that it was asked with, so a record of one that is gone is not
//! missed.

use super::{AuditError, Invariant, broken};
use crate::models::event::Creation;
use crate::models::{Event, EventKind, Fingerprint, Hold, Timestamp};
use crate::store::audit::{KeptKey, Source, StoredKey};

/// Whether no key was applied twice, and every record can be read and stands for the events that it names.
pub(super) fn check_keys(source: &impl Source) -> Result<(), AuditError> {
    if let Some((seq, key)) = source.key_applied_twice()? {
        return Err(broken(Invariant::I2, format!("event {seq} applies the key {key} a second time")));
    }
    source.each_key(|kept, body| {
        let key = kept.key.as_str();
        if let Err(error) = kept.check() {
            return Err(broken(Invariant::I2, format!("the record of key {key}: {error}")));
        }
        let Some(seq) = kept.seq else { return Ok(()) };
        let event = body.and_then(|body| Event::decode(&body).ok());
        if event.is_some_and(|event| stands_for(&kept, &event)) {
            return Ok(());
        }
        Err(broken(Invariant::I2, format!("the record of key {key} does not stand for event {seq}")))
    })
}

/// Whether the record of a command of one event is that of this event.
fn stands_for(kept: &KeptKey, event: &Event) -> bool {
    let own =
        |creation: &Creation| (creation.created_by, &creation.idempotency_key) == (kept.user_id, &kept.key);
    let id = event.transfer_id;
    let fits = match &event.kind {
        EventKind::Created(creation) => {
            own(creation)
                && kept.fingerprint == Fingerprint::of_transfer(&creation.terms, hold(event, creation))
        }
        EventKind::Reversed { creation, reverses } => {
            own(creation) && kept.fingerprint == Fingerprint::of_reversal(*reverses)
        }
        // A post in full may have named the amount or not.
        EventKind::Posted { amount } => {
            [Some(*amount), None].iter().any(|amount| kept.fingerprint == Fingerprint::of_post(id, *amount))
        }
        EventKind::Voided => kept.fingerprint == Fingerprint::of_void(id),
        EventKind::Expired => false,
    };
    fits && kept.used_at == event.at
}

/// What was asked for so that money is held.
fn hold(event: &Event, creation: &Creation) -> Option<Hold> {
    let seconds = |limit: Timestamp| (limit.as_micros() - event.at.as_micros()) / 1_000_000;
    let timeout_s = creation.expires_at.and_then(|limit| u32::try_from(seconds(limit)).ok());
    creation.pending.then_some(Hold { timeout_s })
}

/// A key within its life must be there and stand for the event it made, or it could be used again.
pub(super) fn check_key(event: &Event, stored: Option<&StoredKey>) -> Result<(), AuditError> {
    let state = match stored {
        Some(stored) if stored.used_at == event.at && stored.events.contains(&event.seq) => return Ok(()),
        Some(_) => "differs",
        None => "is missing",
    };
    Err(broken(Invariant::I2, format!("the record of event {}'s key {state}", event.seq)))
}
