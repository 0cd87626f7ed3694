//! The books: what a batch knows while it is decided, and the journal of what it changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Rejection;
use crate::models::event::ChainHash;
use crate::models::{
    Account, AccountId, Event, Fingerprint, Head, IdempotencyKey, Money, Timestamp, Transfer, TransferId,
    User, UserId,
};

/// What a store loaded for a batch, changed in place as commands are decided.
#[derive(Debug)]
pub struct Books {
    /// The batch's commit time: the clock's, but never before an earlier batch's.
    pub(super) now: Timestamp,
    pub(super) accounts: HashMap<AccountId, Account>,
    pub(super) keys: HashMap<(UserId, IdempotencyKey), KeyRecord>,
    pub(super) users: HashMap<UserId, User>,
    pub(super) usernames: HashMap<String, UserId>,
    pub(super) journal: Journal,
}

/// What a key was used for, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// What it was used for.
    pub fingerprint: Fingerprint,
    /// When.
    pub used_at: Timestamp,
    /// What became of it.
    pub outcome: KeyOutcome,
}

/// A decided outcome as it is kept under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOutcome {
    /// A transfer, as it was when it was made.
    Transfer(Arc<Transfer>),
    /// A rejection, and the request that was told so.
    Rejected(Rejection, Box<str>),
}

/// Money in or out of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The account.
    pub account_id: AccountId,
    /// The event that moved it.
    pub seq: u64,
    /// The transfer.
    pub transfer_id: TransferId,
    /// Signed: negative for money that left.
    pub amount: Money,
    /// The account's balance after it.
    pub balance: Money,
    /// The event's time.
    pub created_at: Timestamp,
}

/// A user with the secret's hash that only the store sees.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user.
    pub user: User,
    /// The password's hash in PHC string form.
    pub password_hash: String,
}

/// An event in the chain: its canonical bytes and its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Its place in the order.
    pub seq: u64,
    /// [`Event::encode`].
    pub body: Vec<u8>,
    /// The chain's hash up to and with it.
    pub hash: ChainHash,
}

/// All that a batch changed, for one transaction.
#[derive(Debug)]
pub struct Journal {
    /// Where the log ends now.
    pub head: Head,
    /// New events in order.
    pub events: Vec<LoggedEvent>,
    /// New transfers.
    pub transfers: Vec<Arc<Transfer>>,
    /// New entries in order.
    pub entries: Vec<Entry>,
    /// New accounts, as they are at the end of the batch.
    pub opened: Vec<Account>,
    /// Accounts from before, as they are at the end of the batch.
    pub changed: Vec<Account>,
    /// New users.
    pub users: Vec<NewUser>,
    /// Keys used; a record replaces a dead one of the same key.
    pub keys: Vec<((UserId, IdempotencyKey), KeyRecord)>,
    opened_ids: Vec<AccountId>,
    changed_ids: HashSet<AccountId>,
}

impl Journal {
    /// Whether nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.opened.is_empty() && self.users.is_empty() && self.keys.is_empty()
    }
}

impl Books {
    /// Empty books behind `head`, for a batch that commits at `clock` or, if that lies before the last event or
    /// the last use of a key, at their time: when a clock steps back, no key that has died lives again.
    pub fn new(head: Head, last_key_use: Option<Timestamp>, clock: Timestamp) -> Self {
        Self {
            now: clock.max(head.at).max(last_key_use.unwrap_or(head.at)),
            accounts: HashMap::new(),
            keys: HashMap::new(),
            users: HashMap::new(),
            usernames: HashMap::new(),
            journal: Journal {
                head,
                events: Vec::new(),
                transfers: Vec::new(),
                entries: Vec::new(),
                opened: Vec::new(),
                changed: Vec::new(),
                users: Vec::new(),
                keys: Vec::new(),
                opened_ids: Vec::new(),
                changed_ids: HashSet::new(),
            },
        }
    }

    /// The batch's time.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Takes in an account from the store.
    pub fn load_account(&mut self, account: Account) {
        self.accounts.insert(account.id, account);
    }

    /// Takes in a key's record from the store.
    pub fn load_key(&mut self, user: UserId, key: IdempotencyKey, record: KeyRecord) {
        self.keys.insert((user, key), record);
    }

    /// Takes in a user from the store.
    pub fn load_user(&mut self, user: User) {
        self.usernames.insert(user.username.folded(), user.id);
        self.users.insert(user.id, user);
    }

    /// Ends the batch.
    pub fn into_journal(mut self) -> Journal {
        for id in &self.journal.opened_ids {
            self.journal.opened.extend(self.accounts.remove(id));
        }
        for id in &self.journal.changed_ids {
            // An account opened in this very batch is already among `opened`.
            self.journal.changed.extend(self.accounts.remove(id));
        }
        self.journal
    }

    /// Appends an event to the log.
    pub(super) fn log(&mut self, event: &Event) {
        let body = event.encode();
        let hash = self.journal.head.hash.next(&body);
        self.journal.head = Head { seq: event.seq, hash, at: event.at };
        self.journal.events.push(LoggedEvent { seq: event.seq, body, hash });
    }

    /// The `seq` of the next event.
    pub(super) const fn next_seq(&self) -> u64 {
        self.journal.head.seq + 1
    }

    /// Gives an account a new balance and writes the entry for it.
    pub(super) fn enter(
        &mut self,
        account_id: AccountId,
        balance: Money,
        amount: Money,
        transfer: &Transfer,
    ) {
        let Some(account) = self.accounts.get_mut(&account_id) else { return };
        account.set_balance(balance);
        self.journal.changed_ids.insert(account_id);
        self.journal.entries.push(Entry {
            account_id,
            seq: transfer.seq,
            transfer_id: transfer.id,
            amount,
            balance,
            created_at: transfer.created_at,
        });
    }

    /// Adds a new account.
    pub(super) fn open(&mut self, account: Account) {
        self.journal.opened_ids.push(account.id);
        self.accounts.insert(account.id, account);
    }

    /// Adds a new user.
    pub(super) fn register(&mut self, user: NewUser) {
        self.load_user(user.user.clone());
        self.journal.users.push(user);
    }

    /// Keeps an outcome under its key.
    pub(super) fn remember(&mut self, key: (UserId, IdempotencyKey), record: KeyRecord) {
        self.keys.insert(key.clone(), record.clone());
        self.journal.keys.push((key, record));
    }
}
