//! Ending a hold: by a post, a void, or its time limit.

use std::sync::Arc;

use super::{Books, KeyOutcome, No, Outcome, Use};
use crate::models::posting::{ExpireHolds, HoldDecision, HoldRequest, Rejection, Side};
use crate::models::{Amount, EventKind, Money, Transfer, TransferStatus};

impl Books {
    pub(super) fn resolve(&mut self, request: &HoldRequest) -> Outcome {
        let used = Use::of_hold(request);
        if let Some(earlier) = self.earlier(&used) {
            return earlier;
        }
        let judged = self.open_hold(request).and_then(|transfer| match request.decision {
            HoldDecision::Post(amount) => self.post_hold(&transfer, amount),
            HoldDecision::Void => Ok(self.release(&transfer, EventKind::Voided)),
        });
        self.settle(&used, judged)
    }

    /// The hold that is to be ended, if it may be.
    fn open_hold(&self, request: &HoldRequest) -> Result<Arc<Transfer>, No> {
        let transfer = self.transfers.get(&request.transfer_id).ok_or(No::NotFound)?;
        let debit = self.accounts.get(&transfer.terms.debit_account).ok_or(No::NotFound)?;
        if !request.actor.may_use(debit.owner) {
            return Err(No::Forbidden);
        }
        match transfer.status {
            TransferStatus::Pending if transfer.is_due(self.now) => {
                Err(Rejection::TransferNotPending { status: TransferStatus::Expired }.into())
            }
            TransferStatus::Pending => Ok(Arc::clone(transfer)),
            status => Err(Rejection::TransferNotPending { status }.into()),
        }
    }

    fn post_hold(&mut self, transfer: &Transfer, amount: Option<Amount>) -> Result<KeyOutcome, No> {
        let terms = &transfer.terms;
        let amount = amount.unwrap_or(terms.amount);
        if amount > terms.amount {
            return Err(Rejection::AmountExceedsPending { pending: terms.amount }.into());
        }
        let overflow = |side| Rejection::BalanceOverflow { side };
        let debit = self.accounts.get(&terms.debit_account).ok_or(No::NotFound)?;
        let credit = self.accounts.get(&terms.credit_account).ok_or(No::NotFound)?;
        // The hold itself has seen to it that the account can bear this.
        let debited = debit.balance.checked_sub(amount.money()).ok_or(overflow(Side::Debit))?;
        let credited = credit.after_credit(amount).map_err(|_| overflow(Side::Credit))?;
        let (debit_held, credit_held) = (without(debit.held, terms.amount), credit.held);
        let event = self.next_event(transfer.id, EventKind::Posted { amount });
        self.log(&event);
        self.enter(terms.debit_account, debited, debit_held, amount.money().negated(), &event);
        self.enter(terms.credit_account, credited, credit_held, amount.money(), &event);
        let transfer = self.update(event.transfer_after(transfer));
        Ok(KeyOutcome::Transfer { seq: event.seq, transfer })
    }

    /// Lets a hold go. Its money stays where it is.
    fn release(&mut self, transfer: &Transfer, kind: EventKind) -> KeyOutcome {
        let event = self.next_event(transfer.id, kind);
        self.log(&event);
        if let Some(debit) = self.accounts.get(&transfer.terms.debit_account) {
            let (balance, held) = (debit.balance, without(debit.held, transfer.terms.amount));
            self.set(transfer.terms.debit_account, balance, held);
        }
        let transfer = self.update(event.transfer_after(transfer));
        KeyOutcome::Transfer { seq: event.seq, transfer }
    }

    pub(super) fn expire_holds(&mut self, expire: ExpireHolds) -> Outcome {
        let mut due: Vec<_> =
            self.transfers.values().filter(|transfer| self.is_to_expire(transfer)).cloned().collect();
        due.sort_unstable_by_key(|transfer| (transfer.expires_at, transfer.seq));
        due.truncate(expire.limit as usize);
        for transfer in &due {
            self.release(transfer, EventKind::Expired);
        }
        Outcome::Expired(u32::try_from(due.len()).unwrap_or(u32::MAX))
    }

    fn is_to_expire(&self, transfer: &Transfer) -> bool {
        transfer.status == TransferStatus::Pending && transfer.is_due(self.now)
    }
}

/// What is held without a hold of `amount`.
fn without(held: Money, amount: Amount) -> Money {
    held.checked_sub(amount.money()).unwrap_or(Money::ZERO)
}
