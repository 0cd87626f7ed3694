//! The chain of the log, link by link: order, hashes, times. Knows no table.

use crate::models::codec::DecodeError;
use crate::models::event::ChainHash;
use crate::models::{Event, Head, Timestamp};

/// Where a walk along the log has come to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Chain {
    seq: u64,
    hash: ChainHash,
    at: Option<Timestamp>,
}

/// Why an event is not the next one of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A number is missing or stands twice.
    #[error("event {last} is followed by {next}")]
    Gap {
        /// The event before.
        last: u64,
        /// What came.
        next: u64,
    },
    /// The hash is not that of the content and of all before it.
    #[error("the hash of event {0} does not match its content")]
    Hash(u64),
    /// The content is no event.
    #[error("event {0} cannot be read: {1}")]
    Unreadable(u64, DecodeError),
    /// The content has another number than its place.
    #[error("event {place} says that it is event {said}")]
    Misplaced {
        /// Its place.
        place: u64,
        /// Its content's.
        said: u64,
    },
    /// Time falls.
    #[error("event {0} is older than the event before it")]
    Older(u64),
}

impl Chain {
    /// Goes on to the event of this place, content and hash.
    pub fn advance(&mut self, seq: u64, body: &[u8], hash: ChainHash) -> Result<Event, ChainError> {
        if seq != self.seq + 1 {
            return Err(ChainError::Gap { last: self.seq, next: seq });
        }
        if self.hash.next(body) != hash {
            return Err(ChainError::Hash(seq));
        }
        let event = Event::decode(body).map_err(|error| ChainError::Unreadable(seq, error))?;
        if event.seq != seq {
            return Err(ChainError::Misplaced { place: seq, said: event.seq });
        }
        if self.at.is_some_and(|before| event.at < before) {
            return Err(ChainError::Older(seq));
        }
        *self = Self { seq, hash, at: Some(event.at) };
        Ok(event)
    }

    /// What the head record must say if the log ends here.
    pub fn head(&self) -> Head {
        Head { seq: self.seq, hash: self.hash, at: self.at.unwrap_or(Timestamp::EPOCH) }
    }
}
