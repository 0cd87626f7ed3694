//! The derivation: what each event of the log makes of transfers, accounts and entries.
//!
//! An import rebuilds a ledger with it, and an audit knows by it what must stand in the tables. It knows nothing of
//! the rule that made the events: an event that no ledger could have made is refused here a second time.

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use super::event::Creation;
use super::posting::Entry;
use super::{
    Account, AccountId, Amount, Event, EventKind, Money, Terms, Timestamp, Transfer, TransferId,
    TransferStatus,
};

/// What an event does to one side of its transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Whose account.
    pub account_id: AccountId,
    /// The change of `balance`, for which there is an entry; `None` if no money moves.
    pub moved: Option<Money>,
    /// The change of `held`.
    pub held: Money,
}

/// The effects of an event on the accounts of its transfer, the debit account first.
pub fn effects(kind: &EventKind, terms: &Terms) -> [Effect; 2] {
    let reserved = terms.amount.money();
    let (moved, held) = match kind {
        EventKind::Created(creation) if creation.pending => (None, reserved),
        EventKind::Created(creation) | EventKind::Reversed { creation, .. } => {
            (Some(creation.terms.amount.money()), Money::ZERO)
        }
        EventKind::Posted { amount } => (Some(amount.money()), reserved.negated()),
        EventKind::Voided | EventKind::Expired => (None, reserved.negated()),
    };
    [
        Effect { account_id: terms.debit_account, moved: moved.map(Money::negated), held },
        Effect { account_id: terms.credit_account, moved, held: Money::ZERO },
    ]
}

/// How a transfer stands after the event that ended its wait; `None` if this event ends none.
pub fn ending(kind: &EventKind) -> Option<(TransferStatus, Option<Amount>)> {
    match kind {
        EventKind::Created(_) | EventKind::Reversed { .. } => None,
        EventKind::Posted { amount } => Some((TransferStatus::Posted, Some(*amount))),
        EventKind::Voided => Some((TransferStatus::Voided, None)),
        EventKind::Expired => Some((TransferStatus::Expired, None)),
    }
}

/// Whether an event ends a transfer on the right side of its time limit: only its expiry comes after it.
pub fn is_timely(event: &Event, expires_at: Option<Timestamp>) -> bool {
    let due = expires_at.is_some_and(|limit| limit <= event.at);
    due == matches!(event.kind, EventKind::Expired)
}

/// Whether a reversal moves all that `original` has moved, the other way.
pub fn moves_back(reversal: &Creation, original: &Transfer) -> bool {
    let (back, forth) = (&reversal.terms, &original.terms);
    !reversal.pending
        && original.reverses.is_none()
        && original.status == TransferStatus::Posted
        && Some(back.amount) == original.posted_amount
        && (back.debit_account, back.credit_account) == (forth.credit_account, forth.debit_account)
        && back.currency == forth.currency
}

/// Why no ledger can have made an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It names an account that was never opened.
    #[error("account {0} does not exist")]
    NoAccount(AccountId),
    /// It is about a transfer that was not made before.
    #[error("transfer {0} does not exist")]
    NoTransfer(TransferId),
    /// It makes a transfer that exists.
    #[error("transfer {0} exists already")]
    Exists(TransferId),
    /// Both sides are one account.
    #[error("account {0} is on both sides")]
    SameAccount(AccountId),
    /// An account counts another currency.
    #[error("account {0} counts another currency")]
    Currency(AccountId),
    /// It ends a transfer that does not wait.
    #[error("transfer {0} is not pending")]
    NotPending(TransferId),
    /// It ends a transfer on the wrong side of its time limit.
    #[error("transfer {0} cannot end then, because of its time limit")]
    Untimely(TransferId),
    /// It posts more than was reserved.
    #[error("more is posted than transfer {0} reserves")]
    BeyondReserved(TransferId),
    /// It reverses a transfer otherwise than by moving all of its money back, once.
    #[error("transfer {0} cannot be reversed like this")]
    NotReversible(TransferId),
    /// `balance` or `held` would leave its range.
    #[error("account {0} cannot count this")]
    Range(AccountId),
}

/// What a stretch of events needs to know of the ledger before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Accounts.
    pub accounts: BTreeSet<AccountId>,
    /// Transfers. One that an event names must exist; one that an event makes must not.
    pub transfers: BTreeSet<TransferId>,
}

impl Needs {
    /// The transfers and the accounts that these events name. The accounts of a transfer from before them are not
    /// known yet: see [`Self::add_transfer`].
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut needs = Self::default();
        for event in events {
            needs.transfers.insert(event.transfer_id);
            match &event.kind {
                EventKind::Created(creation) => needs.add_terms(&creation.terms),
                EventKind::Reversed { creation, reverses } => {
                    needs.transfers.insert(*reverses);
                    needs.add_terms(&creation.terms);
                }
                EventKind::Posted { .. } | EventKind::Voided | EventKind::Expired => {}
            }
        }
        needs
    }

    /// The accounts of a transfer that was found.
    pub fn add_transfer(&mut self, transfer: &Transfer) {
        self.add_terms(&transfer.terms);
    }

    fn add_terms(&mut self, terms: &Terms) {
        self.accounts.extend([terms.debit_account, terms.credit_account]);
    }
}

/// Applies a stretch of the log to what it needs of the ledger before it.
#[derive(Debug, Default)]
pub struct Replay {
    accounts: HashMap<AccountId, Account>,
    transfers: HashMap<TransferId, Transfer>,
    made: Vec<TransferId>,
    changed: HashSet<TransferId>,
    touched: HashSet<AccountId>,
    entries: Vec<Entry>,
}

/// What a stretch of the log changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// New transfers in order of `seq`, as they are at the end.
    pub made: Vec<Transfer>,
    /// Transfers from before whose status, posted amount or reversal is another now.
    pub changed: Vec<Transfer>,
    /// New entries in order of `seq`.
    pub entries: Vec<Entry>,
    /// Accounts with another balance, another sum held or both.
    pub accounts: Vec<Account>,
}

impl Replay {
    /// Takes in an account as it was before.
    pub fn load_account(&mut self, account: Account) {
        self.accounts.insert(account.id, account);
    }

    /// Takes in a transfer as it was before.
    pub fn load_transfer(&mut self, transfer: Transfer) {
        self.transfers.insert(transfer.id, transfer);
    }

    /// Applies the next event.
    pub fn apply(&mut self, event: &Event) -> Result<(), ReplayError> {
        match &event.kind {
            EventKind::Created(_) => {}
            EventKind::Reversed { creation, reverses } => self.reverse(event, creation, *reverses)?,
            EventKind::Posted { .. } | EventKind::Voided | EventKind::Expired => self.end(event)?,
        }
        if let Some(transfer) = event.created_transfer() {
            self.make(transfer)?;
        }
        let transfer = self.transfer(event.transfer_id)?;
        for effect in effects(&event.kind, &transfer.terms) {
            self.take_effect(event, effect)?;
        }
        Ok(())
    }

    /// Ends the stretch.
    pub fn into_changes(mut self) -> Changes {
        let made = self.made.iter().filter_map(|id| self.transfers.remove(id)).collect();
        let changed = self.changed.iter().filter_map(|id| self.transfers.remove(id)).collect();
        let accounts = self.touched.iter().filter_map(|id| self.accounts.remove(id)).collect();
        Changes { made, changed, entries: self.entries, accounts }
    }

    fn transfer(&self, id: TransferId) -> Result<&Transfer, ReplayError> {
        self.transfers.get(&id).ok_or(ReplayError::NoTransfer(id))
    }

    /// A transfer that this event changes.
    fn changing(&mut self, id: TransferId) -> Result<&mut Transfer, ReplayError> {
        let transfer = self.transfers.get_mut(&id).ok_or(ReplayError::NoTransfer(id))?;
        self.changed.insert(id);
        Ok(transfer)
    }

    fn make(&mut self, transfer: Transfer) -> Result<(), ReplayError> {
        let (id, terms) = (transfer.id, &transfer.terms);
        if self.transfers.contains_key(&id) {
            return Err(ReplayError::Exists(id));
        }
        if terms.debit_account == terms.credit_account {
            return Err(ReplayError::SameAccount(terms.debit_account));
        }
        for account_id in [terms.debit_account, terms.credit_account] {
            let account = self.accounts.get(&account_id).ok_or(ReplayError::NoAccount(account_id))?;
            if account.currency != terms.currency {
                return Err(ReplayError::Currency(account_id));
            }
        }
        self.made.push(id);
        self.transfers.insert(id, transfer);
        Ok(())
    }

    fn end(&mut self, event: &Event) -> Result<(), ReplayError> {
        let Some((status, posted_amount)) = ending(&event.kind) else { return Ok(()) };
        let transfer = self.changing(event.transfer_id)?;
        if transfer.status != TransferStatus::Pending {
            return Err(ReplayError::NotPending(transfer.id));
        }
        if !is_timely(event, transfer.expires_at) {
            return Err(ReplayError::Untimely(transfer.id));
        }
        if posted_amount.is_some_and(|amount| amount > transfer.terms.amount) {
            return Err(ReplayError::BeyondReserved(transfer.id));
        }
        (transfer.status, transfer.posted_amount) = (status, posted_amount);
        Ok(())
    }

    fn reverse(
        &mut self,
        event: &Event,
        reversal: &Creation,
        reverses: TransferId,
    ) -> Result<(), ReplayError> {
        let original = self.changing(reverses)?;
        if original.reversed_by.is_some() || !moves_back(reversal, original) {
            return Err(ReplayError::NotReversible(reverses));
        }
        original.reversed_by = Some(event.transfer_id);
        Ok(())
    }

    fn take_effect(&mut self, event: &Event, effect: Effect) -> Result<(), ReplayError> {
        let id = effect.account_id;
        if effect.moved.is_none() && effect.held == Money::ZERO {
            return Ok(());
        }
        let account = self.accounts.get_mut(&id).ok_or(ReplayError::NoAccount(id))?;
        let held = account.held.checked_add(effect.held).filter(|&held| held >= Money::ZERO);
        account.held = held.ok_or(ReplayError::Range(id))?;
        account.version += 1;
        self.touched.insert(id);
        let Some(amount) = effect.moved else { return Ok(()) };
        account.balance = account.balance.checked_add(amount).ok_or(ReplayError::Range(id))?;
        self.entries.push(Entry {
            account_id: id,
            seq: event.seq,
            transfer_id: event.transfer_id,
            amount,
            balance: account.balance,
            created_at: event.at,
        });
        Ok(())
    }
}
