//! Each pending transfer ends once, after it was made, and as its row says.
//!
//! The walk keeps the transfers that wait at the moment and whose rows tell of an end, in bounded memory: when they
//! are too many it goes on with a share of them and comes again for the rest.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::{AuditError, Invariant, broken};
use crate::models::{Event, EventKind, Transfer, TransferId, TransferStatus};

/// The most transfers that are kept at once: about 40 MiB. A ledger with more that wait at one time is walked through
/// again for each further share of them.
pub(super) const AWAITED_MAX: usize = 1 << 20;

/// The transfers whose hash ends in `value`, seen as a number of `bits` bits.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    bits: u32,
    value: u64,
}

impl Share {
    const fn has(self, hash: u64) -> bool {
        hash & ((1 << self.bits) - 1) == self.value
    }

    /// Two halves.
    const fn split(self) -> [Self; 2] {
        let bits = self.bits + 1;
        [Self { bits, value: self.value }, Self { bits, value: self.value | 1 << self.bits }]
    }
}

/// The pending transfers whose end is still to come on this walk.
#[derive(Debug)]
pub(super) struct Endings {
    most: usize,
    hashes: RandomState,
    share: Share,
    rest: Vec<Share>,
    awaited: HashSet<TransferId>,
}

impl Endings {
    /// Keeps at most so many transfers.
    pub(super) fn new(most: usize) -> Self {
        let hashes = RandomState::new();
        Self { most, hashes, share: Share::default(), rest: Vec::new(), awaited: HashSet::new() }
    }

    /// Looks at the next event and at the row of its transfer.
    pub(super) fn event(&mut self, event: &Event, row: &Transfer) -> Result<(), AuditError> {
        let (seq, id) = (event.seq, event.transfer_id);
        match &event.kind {
            EventKind::Created(creation) => {
                if creation.pending && row.status != TransferStatus::Pending {
                    self.wait_for(id);
                }
            }
            EventKind::Posted { .. } | EventKind::Voided | EventKind::Expired => {
                if self.is_mine(id) && !self.awaited.remove(&id) {
                    let detail = format!("event {seq} ends transfer {id}, which was not pending then");
                    return Err(broken(Invariant::I4, detail));
                }
            }
            EventKind::Reversed { reverses, .. } => {
                if self.awaited.contains(reverses) {
                    let detail = format!("event {seq} reverses transfer {reverses}, which was pending then");
                    return Err(broken(Invariant::I4, detail));
                }
            }
        }
        Ok(())
    }

    /// Ends a walk. Whether there is to be another, for a further share.
    pub(super) fn finish_walk(&mut self) -> Result<bool, AuditError> {
        if let Some(id) = self.awaited.iter().next() {
            let detail = format!("transfer {id} says that it is pending no more, but no event ends it");
            return Err(broken(Invariant::I4, detail));
        }
        let next = self.rest.pop();
        self.share = next.unwrap_or_default();
        Ok(next.is_some())
    }

    fn is_mine(&self, id: TransferId) -> bool {
        self.share.has(self.hashes.hash_one(id))
    }

    fn wait_for(&mut self, id: TransferId) {
        if !self.is_mine(id) {
            return;
        }
        self.awaited.insert(id);
        while self.awaited.len() > self.most {
            let [kept, later] = self.share.split();
            self.share = kept;
            self.rest.push(later);
            self.awaited.retain(|&id| kept.has(self.hashes.hash_one(id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::models::event::Creation;
    use crate::models::{AccountId, Amount, Terms, Timestamp, UserId};

    fn event(n: u128, kind: EventKind) -> Event {
        Event { seq: 1, at: Timestamp::EPOCH, transfer_id: TransferId::from_uuid(Uuid::from_u128(n)), kind }
    }

    fn held(n: u128) -> Event {
        let terms = Terms {
            debit_account: AccountId::from_uuid(Uuid::from_u128(1)),
            credit_account: AccountId::from_uuid(Uuid::from_u128(2)),
            amount: Amount::new(1).unwrap(),
            currency: "EUR".parse().unwrap(),
            description: None,
            metadata: None,
            reference: None,
        };
        let (created_by, idempotency_key) = (UserId::from_uuid(Uuid::nil()), "k".parse().unwrap());
        event(
            n,
            EventKind::Created(Creation {
                terms,
                pending: true,
                expires_at: None,
                created_by,
                idempotency_key,
            }),
        )
    }

    /// Walks through a log of `held` holds of which all but one end. Returns how many walks it took, or `None` if
    /// something was broken.
    fn walks(most: usize, holds: u128, unended: Option<u128>, twice: Option<u128>) -> Option<usize> {
        let mut endings = Endings::new(most);
        for walk in 1.. {
            let ends = (0..holds).filter(|n| Some(*n) != unended).chain(twice);
            let log = (0..holds).map(held).chain(ends.map(|n| event(n, EventKind::Voided)));
            for event in log {
                let mut row = held(event.transfer_id.as_uuid().as_u128()).created_transfer().unwrap();
                row.status = TransferStatus::Voided;
                endings.event(&event, &row).ok()?;
                assert!(endings.awaited.len() <= most);
            }
            if !endings.finish_walk().ok()? {
                return Some(walk);
            }
        }
        None
    }

    #[test]
    fn as_few_walks_as_memory_allows() {
        assert_eq!(walks(100, 100, None, None), Some(1));
        let more = walks(100, 1_000, None, None).unwrap();
        assert!((10..40).contains(&more), "{more}");
    }

    #[test]
    fn whatever_the_share_an_end_too_few_or_too_many_is_found() {
        for odd in [0, 7, 999] {
            assert_eq!(walks(100, 1_000, Some(odd), None), None);
            assert_eq!(walks(100, 1_000, None, Some(odd)), None);
        }
    }
}
