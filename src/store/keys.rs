//! What every store keeps under an idempotency key beside the event that it names, and how long.

use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::models::Event;
use crate::models::posting::{KeyOutcome, Rejection};

/// How many dead keys a batch drops for each command it has: more than one, so that the table shrinks to the
/// keys of the last day, and few, so that no batch waits long for it.
pub(super) const DEAD_KEYS_PER_COMMAND: usize = 2;

/// How a rejection stands in its column.
#[derive(Serialize, Deserialize)]
struct StoredRejection {
    rejection: Rejection,
    request_id: Box<str>,
}

/// The column's text for a rejection and the request that was told so.
pub(super) fn write_rejection(rejection: Rejection, request_id: &str) -> Result<String, StoreError> {
    serde_json::to_string(&StoredRejection { rejection, request_id: request_id.into() })
        .map_err(|error| StoreError::Unavailable(error.to_string()))
}

/// The outcome that a column's text tells of.
pub(super) fn read_rejection(text: &str) -> Result<KeyOutcome, StoreError> {
    serde_json::from_str(text)
        .map(|StoredRejection { rejection, request_id }| KeyOutcome::Rejected(rejection, request_id))
        .map_err(|error| StoreError::Corrupt(format!("a key's stored rejection cannot be read: {error}")))
}

/// The outcome of an accepted command: the transfer that event `seq` made, as it was at that moment.
pub(super) fn created_transfer(seq: u64, body: Option<&[u8]>) -> Result<KeyOutcome, StoreError> {
    body.and_then(|body| Event::decode(body).ok())
        .and_then(|event| event.created_transfer())
        .map(|transfer| KeyOutcome::Transfer(transfer.into()))
        .ok_or_else(|| StoreError::Corrupt(format!("event {seq} makes no transfer, but a key names it")))
}
