//! Moving a transfer's money back.

use std::sync::Arc;

use super::transfers::moved;
use super::{Books, KeyOutcome, No, Outcome, Use};
use crate::models::event::Creation;
use crate::models::posting::{Rejection, ReversalRequest};
use crate::models::{EventKind, Terms, Transfer, TransferStatus};

impl Books {
    pub(super) fn reverse(&mut self, request: &ReversalRequest) -> Outcome {
        let used = Use::of_reversal(request);
        if let Some(earlier) = self.earlier(&used) {
            return earlier;
        }
        let judged = self.reversal_terms(request).and_then(|terms| self.make_reversal(request, terms));
        self.settle(&used, judged)
    }

    /// What the reversal would move, if there can be one.
    fn reversal_terms(&self, request: &ReversalRequest) -> Result<Terms, No> {
        let original = self.transfers.get(&request.reverses).ok_or(No::NotFound)?;
        let payer = self.accounts.get(&original.terms.credit_account).ok_or(No::NotFound)?;
        if !request.actor.may_use(payer.owner) {
            return Err(No::Forbidden);
        }
        let amount = match (original.status, original.posted_amount) {
            (TransferStatus::Posted, Some(amount)) => amount,
            (TransferStatus::Pending, _) if original.is_due(self.now) => {
                return Err(Rejection::TransferNotPosted { status: TransferStatus::Expired }.into());
            }
            (status, _) => return Err(Rejection::TransferNotPosted { status }.into()),
        };
        if original.reverses.is_some() {
            return Err(Rejection::NotReversible.into());
        }
        if original.reversed_by.is_some() {
            return Err(Rejection::AlreadyReversed.into());
        }
        Ok(Terms {
            debit_account: original.terms.credit_account,
            credit_account: original.terms.debit_account,
            amount,
            currency: original.terms.currency,
            description: None,
            metadata: None,
            reference: None,
        })
    }

    fn make_reversal(&mut self, request: &ReversalRequest, terms: Terms) -> Result<KeyOutcome, No> {
        let debit = self.accounts.get(&terms.debit_account).ok_or(No::NotFound)?;
        let credit = self.accounts.get(&terms.credit_account).ok_or(No::NotFound)?;
        let moved = moved(debit, credit, &terms)?;
        let creation = Creation {
            terms,
            pending: false,
            expires_at: None,
            created_by: request.actor.id,
            idempotency_key: request.key.clone(),
        };
        let event = self.next_event(request.id, EventKind::Reversed { creation, reverses: request.reverses });
        self.log(&event);
        let transfer = Arc::new(event.created_transfer().expect("a reversed event makes a transfer"));
        self.move_money(&transfer.terms, moved, &event);
        self.make(Arc::clone(&transfer));
        if let Some(original) = self.transfers.get(&request.reverses) {
            let reversed = Transfer { reversed_by: Some(transfer.id), ..Transfer::clone(original) };
            self.update(reversed);
        }
        Ok(KeyOutcome::Transfer { seq: event.seq, transfer })
    }
}
