//! The books: what a batch knows while it is decided, and the journal of what it changed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{BatchOutcome, Rejection};
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
    /// Keys with a record that cannot be read.
    pub(super) damaged_keys: HashSet<(UserId, IdempotencyKey)>,
    pub(super) users: HashMap<UserId, User>,
    pub(super) usernames: HashMap<String, UserId>,
    /// Those that commands name, those whose time may be up, and those made in this batch.
    pub(super) transfers: HashMap<TransferId, Arc<Transfer>>,
    pub(super) journal: Journal,
    /// What accounts were before an atomic batch touched them, while one is judged.
    undo: Option<Vec<AccountBefore>>,
}

/// An account as it was, and whether the journal had it already.
#[derive(Debug)]
struct AccountBefore {
    account: Account,
    was_changed: bool,
}

/// A place in the journal to go back to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bookmark {
    head: Head,
    events: usize,
    entries: usize,
    made: usize,
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
    /// A transfer, as it was after the event that the command brought.
    Transfer {
        /// That event.
        seq: u64,
        /// The transfer.
        transfer: Arc<Transfer>,
    },
    /// A rejection, and the request that was told so.
    Rejected(Rejection, Box<str>),
    /// What became of each transfer of a batch.
    Batch(Arc<BatchOutcome>),
    /// Not read, since no command of this batch uses the key for the same.
    Unread,
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
    /// New transfers, as they are at the end of the batch.
    pub transfers: Vec<Arc<Transfer>>,
    /// Transfers from before, as they are at the end of the batch. Of one, `status`, `posted_amount` and
    /// `reversed_by` alone can be new.
    pub updated_transfers: Vec<Arc<Transfer>>,
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
    made_ids: Vec<TransferId>,
    updated_ids: HashSet<TransferId>,
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
            damaged_keys: HashSet::new(),
            users: HashMap::new(),
            usernames: HashMap::new(),
            transfers: HashMap::new(),
            undo: None,
            journal: Journal {
                head,
                events: Vec::new(),
                transfers: Vec::new(),
                updated_transfers: Vec::new(),
                entries: Vec::new(),
                opened: Vec::new(),
                changed: Vec::new(),
                users: Vec::new(),
                keys: Vec::new(),
                opened_ids: Vec::new(),
                changed_ids: HashSet::new(),
                made_ids: Vec::new(),
                updated_ids: HashSet::new(),
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

    /// Takes in a transfer from the store, as it stands there.
    pub fn load_transfer(&mut self, transfer: Transfer) {
        self.transfers.insert(transfer.id, Arc::new(transfer));
    }

    /// Takes in a key's record from the store.
    pub fn load_key(&mut self, user: UserId, key: IdempotencyKey, record: KeyRecord) {
        self.keys.insert((user, key), record);
    }

    /// Takes note of a key whose record in the store cannot be read: a command that names it gets no other outcome.
    pub fn load_damaged_key(&mut self, user: UserId, key: IdempotencyKey) {
        self.damaged_keys.insert((user, key));
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
        for id in &self.journal.made_ids {
            self.journal.transfers.extend(self.transfers.remove(id));
        }
        for id in &self.journal.updated_ids {
            // One made in this very batch is already among `transfers`.
            self.journal.updated_transfers.extend(self.transfers.remove(id));
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

    /// Gives an account a new balance and a new sum of holds, and writes the entry for `amount` by the event `at`.
    pub(super) fn enter(
        &mut self,
        account_id: AccountId,
        balance: Money,
        held: Money,
        amount: Money,
        event: &Event,
    ) {
        self.set(account_id, balance, held);
        self.journal.entries.push(Entry {
            account_id,
            seq: event.seq,
            transfer_id: event.transfer_id,
            amount,
            balance,
            created_at: event.at,
        });
    }

    /// Gives an account a new balance and a new sum of holds.
    pub(super) fn set(&mut self, account_id: AccountId, balance: Money, held: Money) {
        let Some(account) = self.accounts.get_mut(&account_id) else { return };
        let before = self.undo.is_some().then(|| account.clone());
        account.set(balance, held);
        let was_changed = !self.journal.changed_ids.insert(account_id);
        if let Some((undo, account)) = self.undo.as_mut().zip(before) {
            undo.push(AccountBefore { account, was_changed });
        }
    }

    /// Adds a new transfer.
    pub(super) fn make(&mut self, transfer: Arc<Transfer>) {
        self.journal.made_ids.push(transfer.id);
        self.transfers.insert(transfer.id, transfer);
    }

    /// Changes a transfer.
    pub(super) fn update(&mut self, transfer: Transfer) -> Arc<Transfer> {
        self.journal.updated_ids.insert(transfer.id);
        let transfer = Arc::new(transfer);
        self.transfers.insert(transfer.id, Arc::clone(&transfer));
        transfer
    }

    /// Begins what may have to be undone: new transfers, and nothing else.
    pub(super) fn begin(&mut self) -> Bookmark {
        self.undo = Some(Vec::new());
        Bookmark {
            head: self.journal.head,
            events: self.journal.events.len(),
            entries: self.journal.entries.len(),
            made: self.journal.made_ids.len(),
        }
    }

    /// Keeps what was done since [`Books::begin`].
    pub(super) fn keep(&mut self) {
        self.undo = None;
    }

    /// Undoes what was done since `bookmark`.
    pub(super) fn undo(&mut self, bookmark: Bookmark) {
        for before in self.undo.take().unwrap_or_default().into_iter().rev() {
            let id = before.account.id;
            if !before.was_changed {
                self.journal.changed_ids.remove(&id);
            }
            self.accounts.insert(id, before.account);
        }
        for id in self.journal.made_ids.drain(bookmark.made..) {
            self.transfers.remove(&id);
        }
        self.journal.head = bookmark.head;
        self.journal.events.truncate(bookmark.events);
        self.journal.entries.truncate(bookmark.entries);
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
