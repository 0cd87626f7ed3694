//! The rule, decided in memory: by name, and against a naive model.

mod again;
mod batches;
mod holds;
mod model;
mod overflow;
mod precedence;
mod replays;
mod reversals;
mod transfers;

use std::collections::HashMap;

use uuid::Uuid;

use super::*;
use crate::models::event::ChainHash;
use crate::models::{
    Account, AccountId, Actor, Amount, Fingerprint, Head, Hold, Money, Role, Terms, Timestamp, Transfer,
    TransferId, TransferStatus, User, UserId,
};

const ACCOUNTS: u128 = 5;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn genesis() -> Head {
    Head { seq: 0, hash: ChainHash::default(), at: at(0) }
}

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(100 + n))
}

fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

fn transfer_id(n: u128) -> TransferId {
    TransferId::from_uuid(Uuid::from_u128(1000 + n))
}

/// Accounts 0 and 1 belong to user 0, 2 and 3 to user 1, 4 to user 2; 0 is unbounded; 4 counts yen.
fn opened_accounts() -> impl Iterator<Item = Account> {
    (0..ACCOUNTS).map(|n| {
        let currency = if n == 4 { "JPY" } else { "EUR" };
        let least = if n == 0 { None } else { Some(Money::ZERO) };
        Account::opened(account_id(n), user(n / 2), None, currency.parse().unwrap(), least, at(0))
    })
}

fn books_with_accounts(head: Head, clock: Timestamp) -> Books {
    let mut books = Books::new(head, None, clock);
    for account in opened_accounts() {
        books.load_account(account);
    }
    books
}

fn as_user(n: u128) -> Actor {
    Actor { id: user(n), role: Role::User }
}

fn as_operator(n: u128) -> Actor {
    Actor { id: user(n), role: Role::Operator }
}

fn money(minor_units: i64) -> Money {
    Money::new(minor_units).unwrap()
}

fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).unwrap()
}

/// A transfer of euros that moves at once.
fn item(id: u128, debit: u128, credit: u128, minor_units: i64) -> BatchItem {
    let terms = Terms {
        debit_account: account_id(debit),
        credit_account: account_id(credit),
        amount: amount(minor_units),
        currency: "EUR".parse().unwrap(),
        description: None,
        metadata: None,
        reference: None,
    };
    BatchItem { id: transfer_id(id), terms, hold: None }
}

/// A transfer of euros that waits, for `timeout_s` seconds if any.
fn held_item(id: u128, debit: u128, credit: u128, minor_units: i64, timeout_s: Option<u32>) -> BatchItem {
    BatchItem { hold: Some(Hold { timeout_s }), ..item(id, debit, credit, minor_units) }
}

/// The request that a key is first used by.
fn request_id(key: &str) -> Box<str> {
    format!("request-{key}").into()
}

fn transfer(actor: Actor, key: &str, BatchItem { id, terms, hold }: BatchItem) -> Command {
    let fingerprint = Fingerprint::of_transfer(&terms, hold);
    let (key, request_id) = (key.parse().unwrap(), request_id(key));
    Command::Transfer(TransferRequest { actor, key, fingerprint, id, terms, hold, request_id })
}

fn post(actor: Actor, key: &str, of: u128, part: Option<i64>) -> Command {
    resolve(actor, key, of, HoldDecision::Post(part.map(amount)))
}

fn void(actor: Actor, key: &str, of: u128) -> Command {
    resolve(actor, key, of, HoldDecision::Void)
}

fn resolve(actor: Actor, key: &str, of: u128, decision: HoldDecision) -> Command {
    let transfer_id = transfer_id(of);
    let fingerprint = match decision {
        HoldDecision::Post(amount) => Fingerprint::of_post(transfer_id, amount),
        HoldDecision::Void => Fingerprint::of_void(transfer_id),
    };
    let (key, request_id) = (key.parse().unwrap(), request_id(key));
    Command::Resolve(HoldRequest { actor, key, fingerprint, transfer_id, decision, request_id })
}

/// Reverses transfer `of` by transfer `id`.
fn reverse(actor: Actor, key: &str, of: u128, id: u128) -> Command {
    let (id, reverses) = (transfer_id(id), transfer_id(of));
    let fingerprint = Fingerprint::of_reversal(reverses);
    let (key, request_id) = (key.parse().unwrap(), request_id(key));
    Command::Reverse(ReversalRequest { actor, key, fingerprint, id, reverses, request_id })
}

fn batch(actor: Actor, key: &str, atomic: bool, items: Vec<BatchItem>) -> Command {
    let fingerprint = Fingerprint::of_batch(atomic, &items);
    let (key, request_id) = (key.parse().unwrap(), request_id(key));
    Command::Batch(BatchRequest { actor, key, fingerprint, atomic, items, request_id })
}

fn expire(limit: u32) -> Command {
    Command::ExpireHolds(ExpireHolds { limit })
}

/// The transfer of a command that was accepted now.
#[track_caller]
fn accepted(outcome: Outcome) -> Transfer {
    match outcome {
        Outcome::Transferred { transfer, replayed: false } => Transfer::clone(&transfer),
        other => panic!("{other:?}"),
    }
}

/// Why a command was rejected now.
#[track_caller]
fn rejection(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected { rejection, replayed: false, .. } => rejection,
        other => panic!("{other:?}"),
    }
}

/// What became of a batch now.
#[track_caller]
fn judged(outcome: Outcome) -> BatchOutcome {
    match outcome {
        Outcome::Batch { batch, replayed: false } => BatchOutcome::clone(&batch),
        other => panic!("{other:?}"),
    }
}

/// The same outcome as it is told to a later command with the key.
#[track_caller]
fn replay_of(outcome: &Outcome) -> Outcome {
    match outcome.clone() {
        Outcome::Transferred { transfer, .. } => Outcome::Transferred { transfer, replayed: true },
        Outcome::Rejected { rejection, request_id, .. } => {
            Outcome::Rejected { rejection, request_id, replayed: true }
        }
        Outcome::Batch { batch, .. } => Outcome::Batch { batch, replayed: true },
        other => panic!("{other:?} is not kept"),
    }
}

/// The same command as another request would send it, with new ids.
fn sent_again(command: &Command) -> Command {
    let mut command = command.clone();
    let other_id = transfer_id(900);
    match &mut command {
        Command::Transfer(request) => (request.request_id, request.id) = ("other".into(), other_id),
        Command::Resolve(request) => request.request_id = "other".into(),
        Command::Reverse(request) => (request.request_id, request.id) = ("other".into(), other_id),
        Command::Batch(request) => {
            request.request_id = "other".into();
            for (n, item) in (901..).zip(&mut request.items) {
                item.id = transfer_id(n);
            }
        }
        Command::RegisterUser(_) | Command::OpenAccount(_) | Command::ExpireHolds(_) => {}
    }
    command
}

impl Books {
    fn account(&self, n: u128) -> &Account {
        &self.accounts[&account_id(n)]
    }

    /// Balance and held of an account.
    fn funds(&self, n: u128) -> (i64, i64) {
        let account = self.account(n);
        (account.balance.minor_units(), account.held.minor_units())
    }

    fn status(&self, n: u128) -> TransferStatus {
        self.transfers[&transfer_id(n)].status
    }

    /// Moves money to an account from the unbounded one, under a key of its own.
    fn fund(&mut self, n: u128, minor_units: i64) {
        let id = 500 + self.next_seq();
        let funding = item(id.into(), 0, n, minor_units);
        accepted(self.decide(&transfer(as_user(0), &format!("fund-{id}"), funding)));
    }

    /// The next batch of commands, at another time: what a store would load of all that there is.
    fn committed(self, clock: Timestamp) -> Self {
        let Self { accounts, keys, users, transfers, .. } = &self;
        let (accounts, keys, users) = (accounts.clone(), keys.clone(), users.clone());
        let transfers: HashMap<_, _> = transfers.clone();
        let last_key_use = keys.values().map(|record| record.used_at).max();
        let mut next = Self::new(self.into_journal().head, last_key_use, clock);
        for account in accounts.into_values() {
            next.load_account(account);
        }
        for transfer in transfers.into_values() {
            next.load_transfer(Transfer::clone(&transfer));
        }
        for ((user, key), record) in keys {
            next.load_key(user, key, record);
        }
        for user in users.into_values() {
            next.load_user(user);
        }
        next
    }
}
