//! What every store keeps under an idempotency key beside the event that it names, and how long.

use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::StoreError;
use crate::models::posting::{BatchOutcome, KeyOutcome, KeyRecord, Refusal, Rejection};
use crate::models::{Event, Fingerprint, IdempotencyKey, Transfer, TransferId, UserId};

/// How many dead keys a batch drops for each command it has: more than one, so that the table shrinks to the
/// keys of the last day, and few, so that no batch waits long for it.
pub(super) const DEAD_KEYS_PER_COMMAND: usize = 2;

/// Transfers of a kept batch at most: what one record may make this process allocate. The interface takes 8,192.
const KEPT_ITEMS: u32 = 65_536;

/// An outcome that one event does not tell, as it stands in its column.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Kept {
    /// A rejection, and the request that was told so.
    Rejected { rejection: Rejection, request_id: Box<str> },
    /// A batch.
    Batch { batch: KeptBatch },
}

/// What became of a batch. Its transfers are told by their events, which follow one another.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptBatch {
    request_id: Box<str>,
    /// The first event.
    first_seq: u64,
    /// How many transfers it asked for.
    items: u32,
    /// Whether none of them was made because the batch is atomic.
    aborted: bool,
    /// The refused ones by their places; of an aborted batch without those that would have passed.
    refused: Vec<(u32, Refusal)>,
    /// SHA-256 over the fingerprint and this record without it, in hexadecimal. No event tells what was refused, so an
    /// audit could not tell a changed record from a true one.
    #[serde(skip_serializing_if = "String::is_empty")]
    sha256: String,
}

/// What stands in the two columns of an outcome: the event, or else the text.
pub(super) fn columns(record: &KeyRecord) -> Result<(Option<u64>, Option<String>), StoreError> {
    let kept = match &record.outcome {
        KeyOutcome::Transfer { seq, .. } => return Ok((Some(*seq), None)),
        KeyOutcome::Rejected(rejection, request_id) => {
            Kept::Rejected { rejection: *rejection, request_id: request_id.clone() }
        }
        KeyOutcome::Batch(batch) => Kept::Batch { batch: KeptBatch::of(batch).sealed(record.fingerprint)? },
        KeyOutcome::Unread => {
            return Err(StoreError::Corrupt("an outcome that was not read is written".into()));
        }
    };
    Ok((None, Some(text_of(&kept)?)))
}

fn text_of(kept: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(kept).map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// Puts into the log that a key's record cannot be read.
pub(super) fn tell_damaged(user: UserId, key: &IdempotencyKey, error: &StoreError) {
    tracing::error!(%user, key = key.as_str(), %error, "what is kept under a key cannot be read");
}

/// The outcome that a column's text tells of.
pub(super) fn read(text: &str) -> Result<Kept, StoreError> {
    let kept = serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt(format!("a key's stored outcome cannot be read: {error}")))?;
    match kept {
        Kept::Batch { batch } if batch.items > KEPT_ITEMS => Err(StoreError::Corrupt(
            "a key's stored outcome is of more transfers than a batch can have".into(),
        )),
        kept => Ok(kept),
    }
}

/// The event that a key names.
pub(super) fn event(seq: u64, body: Option<&[u8]>) -> Result<Event, StoreError> {
    body.and_then(|body| Event::decode(body).ok())
        .ok_or_else(|| StoreError::Corrupt(format!("a key names event {seq}, which is not there")))
}

/// The outcome of an accepted command: the transfer as it was after the event that it brought. `transfer` finds the row
/// of a transfer that another event made.
pub(super) fn transfer_after(event: &Event, row: Option<&Transfer>) -> Result<KeyOutcome, StoreError> {
    let transfer = event.created_transfer().or_else(|| row.map(|row| event.transfer_after(row)));
    transfer
        .map(|transfer| KeyOutcome::Transfer { seq: event.seq, transfer: transfer.into() })
        .ok_or_else(|| no_transfer(event.transfer_id))
}

fn no_transfer(id: TransferId) -> StoreError {
    StoreError::Corrupt(format!("an event is about transfer {id}, which is not there"))
}

impl KeptBatch {
    fn of(batch: &BatchOutcome) -> Self {
        let made = batch.items.iter().flatten();
        let refused = (0..).zip(&batch.items).filter_map(|(place, item)| match item {
            Ok(_) | Err(Refusal::Aborted) => None,
            Err(refusal) => Some((place, *refusal)),
        });
        Self {
            request_id: batch.request_id.clone(),
            first_seq: made.map(|transfer| transfer.seq).next().unwrap_or(0),
            items: u32::try_from(batch.items.len()).unwrap_or(u32::MAX),
            aborted: batch.aborted,
            refused: refused.collect(),
            sha256: String::new(),
        }
    }

    /// With its digest.
    fn sealed(mut self, fingerprint: Fingerprint) -> Result<Self, StoreError> {
        self.sha256.clear();
        let text = text_of(&self)?;
        let digest = Sha256::new().chain_update(fingerprint.as_bytes()).chain_update(text).finalize();
        self.sha256 = const_hex::encode(digest);
        Ok(self)
    }

    /// Whether it is what was written under a key of this use.
    pub(super) fn check(self, fingerprint: Fingerprint) -> Result<(), StoreError> {
        let said = self.sha256.clone();
        if self.sealed(fingerprint)?.sha256 == said {
            return Ok(());
        }
        Err(StoreError::Corrupt("a key's record of a batch is not what was written".into()))
    }

    /// The events that made its transfers.
    pub(super) fn seqs(&self) -> Range<u64> {
        let refused = self.refused.len() as u64;
        let made = if self.aborted { 0 } else { u64::from(self.items).saturating_sub(refused) };
        self.first_seq..self.first_seq + made
    }

    /// The outcome, given the bodies of those events in order.
    pub(super) fn outcome<B: AsRef<[u8]>>(self, bodies: &[B]) -> Result<KeyOutcome, StoreError> {
        let mut made = self.seqs().zip(bodies).map(|(seq, body)| created_transfer(seq, body.as_ref()));
        let mut refused = self.refused.iter().peekable();
        let mut items = Vec::with_capacity(self.items as usize);
        for place in 0..self.items {
            let item = match refused.next_if(|(at, _)| *at == place) {
                Some((_, refusal)) => Err(*refusal),
                None if self.aborted => Err(Refusal::Aborted),
                None => Ok(made.next().ok_or_else(|| missing(self.first_seq))??),
            };
            items.push(item);
        }
        let batch = BatchOutcome { items, aborted: self.aborted, request_id: self.request_id };
        Ok(KeyOutcome::Batch(Arc::new(batch)))
    }
}

fn created_transfer(seq: u64, body: &[u8]) -> Result<Arc<Transfer>, StoreError> {
    event(seq, Some(body))?.created_transfer().map(Arc::new).ok_or_else(|| missing(seq))
}

fn missing(seq: u64) -> StoreError {
    StoreError::Corrupt(format!("a key names a batch from event {seq} on, of which some are not there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_a_batch_without_its_digest_is_none() {
        let fingerprint = Fingerprint::of_batch(false, &[]);
        let batch = BatchOutcome { items: vec![], aborted: false, request_id: "r".into() };
        let bare = KeptBatch::of(&batch);
        assert!(read(&text_of(&Kept::Batch { batch: bare }).unwrap()).is_err());
        let sealed = KeptBatch::of(&batch).sealed(fingerprint).unwrap();
        let Kept::Batch { batch } = read(&text_of(&Kept::Batch { batch: sealed }).unwrap()).unwrap() else {
            panic!("a batch")
        };
        batch.check(fingerprint).unwrap();
    }
}
