//! What a batch of commands depends on.

use std::collections::HashSet;

use super::{Command, Owner};
use crate::models::{AccountId, Fingerprint, IdempotencyKey, Terms, TransferId, UserId};

/// What a batch depends on: a store loads these, in this order, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Accounts, in ascending order so that all writers lock in one order.
    pub accounts: Vec<AccountId>,
    /// Idempotency keys, each once.
    pub keys: Vec<(UserId, IdempotencyKey)>,
    /// What they are used for. The outcome of a record that stands for none of these need not be read: it may be that of
    /// thousands of transfers, and all that anybody is told is that the key was reused.
    pub fingerprints: HashSet<Fingerprint>,
    /// Users by id.
    pub user_ids: Vec<UserId>,
    /// Users by folded name.
    pub usernames: Vec<String>,
    /// Transfers by id, each with the two accounts that it names.
    pub transfers: Vec<TransferId>,
    /// How many of the pending transfers with a time limit, those that end first, each with its two accounts.
    pub expiring: u32,
}

impl Needs {
    /// What these commands depend on.
    pub fn of<'a>(commands: impl IntoIterator<Item = &'a Command>) -> Self {
        let mut needs = Self::default();
        for command in commands {
            needs.add(command);
        }
        needs.accounts.sort_unstable();
        needs.accounts.dedup();
        needs.transfers.sort_unstable();
        needs.transfers.dedup();
        let mut seen = HashSet::with_capacity(needs.keys.len());
        needs.keys.retain(|key| seen.insert(key.clone()));
        needs
    }

    fn add(&mut self, command: &Command) {
        match command {
            // Their own ids, too: they are there if an attempt whose end nobody saw was committed.
            Command::RegisterUser(user) => {
                self.user_ids.push(user.id);
                self.usernames.push(user.username.folded());
            }
            Command::OpenAccount(account) => {
                self.accounts.push(account.id);
                match &account.owner {
                    Owner::Id(id) => self.user_ids.push(*id),
                    Owner::Name(name) => self.usernames.push(name.folded()),
                }
            }
            Command::Transfer(request) => {
                self.add_accounts(&request.terms);
                self.add_key(request.actor.id, &request.key, request.fingerprint);
            }
            Command::Resolve(request) => {
                self.transfers.push(request.transfer_id);
                self.add_key(request.actor.id, &request.key, request.fingerprint);
            }
            Command::Reverse(request) => {
                self.transfers.push(request.reverses);
                self.add_key(request.actor.id, &request.key, request.fingerprint);
            }
            Command::Batch(request) => {
                for item in &request.items {
                    self.add_accounts(&item.terms);
                }
                self.add_key(request.actor.id, &request.key, request.fingerprint);
            }
            Command::ExpireHolds(expire) => self.expiring = self.expiring.saturating_add(expire.limit),
        }
    }

    fn add_key(&mut self, user: UserId, key: &IdempotencyKey, fingerprint: Fingerprint) {
        self.keys.push((user, key.clone()));
        self.fingerprints.insert(fingerprint);
    }

    fn add_accounts(&mut self, terms: &Terms) {
        self.accounts.extend([terms.debit_account, terms.credit_account]);
    }

    /// Whether transfers are to be loaded.
    pub fn any_transfers(&self) -> bool {
        !self.transfers.is_empty() || self.expiring > 0
    }
}
