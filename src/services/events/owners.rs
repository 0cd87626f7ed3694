//! Whose accounts are, remembered by each core: an account never changes its owner.

use std::cell::RefCell;
use std::collections::HashMap;

use super::Occurrence;
use crate::models::{AccountId, UserId};
use crate::store::{Reader, StoreError};

/// Accounts that a core remembers: some 4 MiB. Beyond it begins anew, so that the memory does not grow with the ledger.
const REMEMBERED: usize = 64 * 1024;

/// The owners that a core knows.
#[derive(Debug, Default)]
pub(super) struct Owners(RefCell<HashMap<AccountId, UserId>>);

impl Owners {
    /// Fills in the owners of a page, with one query for those that are not known.
    pub(super) async fn look_up(&self, reader: &Reader, page: &mut [Occurrence]) -> Result<(), StoreError> {
        let missing = self.missing(page);
        let found = if missing.is_empty() { Vec::new() } else { reader.owners(&missing).await? };
        let mut known = self.0.borrow_mut();
        for occurrence in &mut *page {
            occurrence.owners = occurrence.accounts().map(|account| {
                let found = found.iter().find(|(id, _)| *id == account).map(|(_, owner)| *owner);
                known.get(&account).copied().or(found)
            });
        }
        if known.len() + found.len() > REMEMBERED {
            known.clear();
        }
        known.extend(found);
        Ok(())
    }

    fn missing(&self, page: &[Occurrence]) -> Vec<AccountId> {
        let known = self.0.borrow();
        let accounts = page.iter().flat_map(Occurrence::accounts);
        let mut missing: Vec<_> = accounts.filter(|account| !known.contains_key(account)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }
}
