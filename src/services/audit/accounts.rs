//! The accounts against their entries: two walks in one order of ids, joined.

use std::collections::BTreeMap;
use std::vec;

use super::{AuditError, Invariant, broken};
use crate::models::posting::Entry;
use crate::models::{Account, AccountId, Currency, Money};
use crate::store::StoreError;
use crate::store::audit::Source;

/// A walk along the accounts in ascending order of id, led by that along the entries.
pub(super) struct AccountCheck<'a, S> {
    source: &'a S,
    page: vec::IntoIter<(Account, Money)>,
    last_id: Option<AccountId>,
    current: Option<Open>,
    seen: u64,
    sums: BTreeMap<Currency, i128>,
}

/// An account whose entries are being read.
struct Open {
    account: Account,
    holds: Money,
    running: i128,
    last_seq: u64,
    entries: u64,
}

impl<'a, S: Source> AccountCheck<'a, S> {
    pub(super) fn new(source: &'a S) -> Self {
        let page = Vec::new().into_iter();
        Self { source, page, last_id: None, current: None, seen: 0, sums: BTreeMap::new() }
    }

    /// Takes the next entry of all, in ascending order of account and `seq`.
    pub(super) fn entry(&mut self, entry: &Entry) -> Result<(), AuditError> {
        let wanted = entry.account_id;
        while self.current.as_ref().is_none_or(|open| open.account.id < wanted) {
            if !self.advance()? {
                break;
            }
        }
        match &mut self.current {
            Some(open) if open.account.id == wanted => open.add(entry),
            _ => {
                let detail = format!("entry {} is of account {wanted}, which does not exist", entry.seq);
                Err(broken(Invariant::I4, detail))
            }
        }
    }

    /// Ends the walk. How many accounts there are.
    pub(super) fn finish(mut self) -> Result<u64, AuditError> {
        while self.advance()? {}
        match self.sums.iter().find(|(_, sum)| **sum != 0) {
            Some((currency, sum)) => {
                Err(broken(Invariant::I3, format!("the balances in {currency} sum to {sum}")))
            }
            None => Ok(self.seen),
        }
    }

    /// Ends the current account and goes on to the next one; `false` after the last.
    fn advance(&mut self) -> Result<bool, AuditError> {
        if let Some(open) = self.current.take() {
            open.finish()?;
            *self.sums.entry(open.account.currency).or_default() += open.running;
        }
        let Some((account, holds)) = self.next_account()? else { return Ok(false) };
        if self.last_id.is_some_and(|last| last >= account.id) {
            return Err(broken(Invariant::I6, format!("account {} stands out of order", account.id)));
        }
        self.last_id = Some(account.id);
        self.seen += 1;
        self.current = Some(Open { account, holds, running: 0, last_seq: 0, entries: 0 });
        Ok(true)
    }

    fn next_account(&mut self) -> Result<Option<(Account, Money)>, StoreError> {
        if self.page.len() == 0 {
            self.page = self.source.accounts_after(self.last_id)?.into_iter();
        }
        Ok(self.page.next())
    }
}

impl Open {
    fn add(&mut self, entry: &Entry) -> Result<(), AuditError> {
        let id = self.account.id;
        self.running += i128::from(entry.amount.minor_units());
        self.entries += 1;
        if entry.seq <= self.last_seq || i128::from(entry.balance.minor_units()) != self.running {
            let detail = format!(
                "entry {} of account {id} says {}, its sum is {}",
                entry.seq, entry.balance, self.running
            );
            return Err(broken(Invariant::I4, detail));
        }
        self.last_seq = entry.seq;
        Ok(())
    }

    fn finish(&self) -> Result<(), AuditError> {
        let Account { id, balance, held, version, .. } = &self.account;
        let (invariant, detail) = if i128::from(balance.minor_units()) != self.running {
            (Invariant::I4, format!("says {balance}, its entries sum to {}", self.running))
        } else if *held != self.holds {
            (Invariant::I4, format!("holds {held}, its open transfers sum to {}", self.holds))
        } else if self.account.min_balance.is_some_and(|least| self.account.available() < least) {
            (Invariant::I5, "is below its min_balance".to_owned())
        } else if *version <= self.entries {
            (Invariant::I4, format!("is at version {version}, but has {} entries", self.entries))
        } else {
            return Ok(());
        };
        Err(broken(invariant, format!("account {id} {detail}")))
    }
}
