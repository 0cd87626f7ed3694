//! Making a transfer: money that moves at once, or that is held.

use std::sync::Arc;

use super::{Books, KeyOutcome, No, Outcome, Use};
use crate::models::account::MoveError;
use crate::models::event::Creation;
use crate::models::posting::{Refusal, Rejection, Side, TransferRequest};
use crate::models::transfer::Hold;
use crate::models::{Account, Actor, Event, EventKind, IdempotencyKey, Money, Terms, Transfer, TransferId};

/// What the accounts of a transfer would have after it.
#[derive(Clone, Copy)]
pub(super) struct Moved {
    /// The debit account's balance.
    pub(super) debit: Money,
    /// The credit account's.
    pub(super) credit: Money,
}

/// An accepted transfer's effect on its accounts.
#[derive(Clone, Copy)]
enum Effect {
    Moves(Moved),
    /// The debit account's new sum of holds.
    Holds(Money),
}

impl Books {
    pub(super) fn transfer(&mut self, request: &TransferRequest) -> Outcome {
        let used = Use::of_transfer(request);
        if let Some(earlier) = self.earlier(&used) {
            return earlier;
        }
        let made = self.make_transfer(request.actor, &request.key, request.id, &request.terms, request.hold);
        let judged =
            made.map(|transfer| KeyOutcome::Transfer { seq: transfer.seq, transfer }).map_err(No::from);
        self.settle(&used, judged)
    }

    /// Makes a transfer, unless it is refused.
    pub(super) fn make_transfer(
        &mut self,
        actor: Actor,
        key: &IdempotencyKey,
        id: TransferId,
        terms: &Terms,
        hold: Option<Hold>,
    ) -> Result<Arc<Transfer>, Refusal> {
        let effect = self.check(actor, terms, hold)?;
        let event = self.next_event(
            id,
            EventKind::Created(Creation {
                terms: terms.clone(),
                pending: hold.is_some(),
                expires_at: hold.and_then(|hold| hold.expires_at(self.now)),
                created_by: actor.id,
                idempotency_key: key.clone(),
            }),
        );
        self.log(&event);
        match effect {
            Effect::Moves(moved) => self.move_money(terms, moved, &event),
            Effect::Holds(held) => self.hold(terms, held),
        }
        let transfer = Arc::new(event.created_transfer().expect("a created event makes a transfer"));
        self.make(Arc::clone(&transfer));
        Ok(transfer)
    }

    fn check(&self, actor: Actor, terms: &Terms, hold: Option<Hold>) -> Result<Effect, Refusal> {
        if terms.debit_account == terms.credit_account {
            return Err(Rejection::SameAccount.into());
        }
        let not_found = |side| Rejection::AccountNotFound { side };
        let debit = self.accounts.get(&terms.debit_account).ok_or(not_found(Side::Debit))?;
        if !actor.may_use(debit.owner) {
            return Err(Refusal::Forbidden);
        }
        let credit = self.accounts.get(&terms.credit_account).ok_or(not_found(Side::Credit))?;
        for (side, account) in [(Side::Debit, debit), (Side::Credit, credit)] {
            if account.currency != terms.currency {
                return Err(Rejection::CurrencyMismatch { side, currency: account.currency }.into());
            }
        }
        Ok(if hold.is_some() {
            Effect::Holds(debit.after_hold(terms.amount).map_err(|error| cannot_pay(debit, error))?)
        } else {
            Effect::Moves(moved(debit, credit, terms)?)
        })
    }

    /// Moves a transfer's money by `event`.
    pub(super) fn move_money(&mut self, terms: &Terms, moved: Moved, event: &Event) {
        let amount = terms.amount.money();
        let held = |books: &Self, id| books.accounts.get(id).map_or(Money::ZERO, |account| account.held);
        let (debit_held, credit_held) = (held(self, &terms.debit_account), held(self, &terms.credit_account));
        self.enter(terms.debit_account, moved.debit, debit_held, amount.negated(), event);
        self.enter(terms.credit_account, moved.credit, credit_held, amount, event);
    }

    fn hold(&mut self, terms: &Terms, held: Money) {
        let balance = self.accounts.get(&terms.debit_account).map(|account| account.balance);
        if let Some(balance) = balance {
            self.set(terms.debit_account, balance, held);
        }
    }
}

/// What the accounts would have once the money of `terms` has moved.
pub(super) fn moved(debit: &Account, credit: &Account, terms: &Terms) -> Result<Moved, Rejection> {
    let debited = debit.after_debit(terms.amount).map_err(|error| cannot_pay(debit, error))?;
    let credited =
        credit.after_credit(terms.amount).map_err(|_| Rejection::BalanceOverflow { side: Side::Credit })?;
    Ok(Moved { debit: debited, credit: credited })
}

fn cannot_pay(debit: &Account, error: MoveError) -> Rejection {
    match error {
        MoveError::Insufficient => Rejection::InsufficientFunds { available: debit.available() },
        MoveError::Overflow => Rejection::BalanceOverflow { side: Side::Debit },
    }
}
