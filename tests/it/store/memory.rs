//! A ledger in memory: the pure rule over all that there is, one command after the other. It is what stores and servers
//! are compared with, and shares with them nothing but the rule.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ringledger::models::event::ChainHash;
use ringledger::models::posting::{Books, Command, Entry, Journal, KeyRecord, Outcome};
use ringledger::models::user::{BUILT_IN_OPERATOR, BUILT_IN_OPERATOR_NAME};
use ringledger::models::{Account, AccountId, Head, IdempotencyKey, Role, Timestamp, Transfer, User, UserId};

/// All rows of a ledger.
pub(crate) struct Memory {
    pub(crate) head: Head,
    pub(crate) users: Vec<User>,
    pub(crate) accounts: BTreeMap<AccountId, Account>,
    pub(crate) entries: Vec<Entry>,
    /// By the number of the event that made each.
    pub(crate) transfers: BTreeMap<u64, Arc<Transfer>>,
    keys: HashMap<(UserId, IdempotencyKey), KeyRecord>,
}

impl Memory {
    pub(crate) fn new() -> Self {
        let epoch = Timestamp::from_micros(0).unwrap();
        Self {
            head: Head { seq: 0, hash: ChainHash::default(), at: epoch },
            users: vec![User {
                id: BUILT_IN_OPERATOR,
                username: BUILT_IN_OPERATOR_NAME.parse().unwrap(),
                role: Role::Operator,
                created_at: epoch,
            }],
            accounts: BTreeMap::new(),
            entries: Vec::new(),
            transfers: BTreeMap::new(),
            keys: HashMap::new(),
        }
    }

    /// Decides a command and keeps what it changes.
    pub(crate) fn decide(&mut self, command: &Command, clock: Timestamp) -> Outcome {
        let (outcome, journal) = self.judge(command, clock);
        self.keep(journal);
        outcome
    }

    /// What the rule says of a command, and what that would change.
    pub(crate) fn judge(&self, command: &Command, clock: Timestamp) -> (Outcome, Journal) {
        let last_key_use = self.keys.values().map(|record| record.used_at).max();
        let mut books = Books::new(self.head, last_key_use, clock);
        for user in &self.users {
            books.load_user(user.clone());
        }
        for account in self.accounts.values() {
            books.load_account(account.clone());
        }
        for transfer in self.transfers.values() {
            books.load_transfer(Transfer::clone(transfer));
        }
        for ((user, key), record) in &self.keys {
            books.load_key(*user, key.clone(), record.clone());
        }
        let outcome = books.decide(command);
        (outcome, books.into_journal())
    }

    pub(crate) fn keep(&mut self, journal: Journal) {
        self.head = journal.head;
        self.users.extend(journal.users.into_iter().map(|new| new.user));
        let accounts = journal.opened.into_iter().chain(journal.changed);
        self.accounts.extend(accounts.map(|account| (account.id, account)));
        self.entries.extend(journal.entries);
        let transfers = journal.transfers.into_iter().chain(journal.updated_transfers);
        self.transfers.extend(transfers.map(|transfer| (transfer.seq, transfer)));
        self.keys.extend(journal.keys);
    }
}
