//! The order of a history: the log claims one, and this checks it.
//!
//! Every command that changed the ledger is decided again, in the order of the log, by the pure rule in memory. It must
//! be answered as it was, and bring the very bytes of the log. The order must keep real time: what was answered before
//! another was sent comes before it. What changed nothing must have a place, between the two, where the rule answers
//! so.

use std::collections::HashMap;
use std::sync::Arc;

use ringledger::models::posting::{BatchOutcome, Command, ExpireHolds, Outcome, Refusal, Rejection};
use ringledger::models::{
    Account, AccountId, Amount, Event, EventKind, Money, Timestamp, Transfer, TransferId,
};
use ringledger::store::audit::{Source, StoredEvent};
use ringledger::store::{AccountQuery, Location, Store, StoreError};
use serde_json::{Value, json};

use super::calls::{Call, What};
use crate::store::ledger::{ALL, runtime};
use crate::store::memory::Memory;

/// A ledger as it was at one moment.
pub(super) struct Log {
    events: Vec<StoredEvent>,
    /// As they were opened.
    accounts: Vec<Account>,
    /// Balance, held and version of some accounts after the last event.
    shown: Vec<(AccountId, [i64; 3])>,
}

/// What an event did to its transfer; with the transfer's id it names the call that brought it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Did {
    Made,
    Posted,
    Voided,
}

impl Log {
    /// Reads a ledger, and what is shown of it, at a moment in which it does not change.
    pub(super) fn read(location: &Location, shown: impl Fn() -> Vec<(AccountId, [i64; 3])>) -> Self {
        let store = Store::open_existing(location).unwrap();
        let reader = store.reader().unwrap();
        loop {
            let shown = shown();
            let mut events = Vec::new();
            let collected = store.audit().unwrap().each_event(|event| -> Result<(), StoreError> {
                events.push(event);
                Ok(())
            });
            collected.unwrap();
            let query = AccountQuery { owner: None, after: None, limit: ALL };
            let runtime = runtime();
            let accounts = runtime.block_on(reader.accounts(query)).unwrap();
            let balances = |account: &Account| [account.balance, account.held].map(Money::minor_units);
            let is_still = shown.iter().all(|(id, [balance, held, _])| {
                accounts.iter().any(|account| account.id == *id && balances(account) == [*balance, *held])
            });
            let head = runtime.block_on(reader.head()).unwrap();
            if is_still && head.seq == events.len() as u64 {
                let accounts = accounts.into_iter().map(as_opened).collect();
                return Self { events, accounts, shown };
            }
        }
    }
}

fn as_opened(account: Account) -> Account {
    Account { balance: Money::ZERO, held: Money::ZERO, version: 1, ..account }
}

/// Checks that the log is an order in which all calls would have been told the same.
pub(super) fn check(calls: &[Call], log: &Log) {
    let (originals, replays) = apart(calls);
    for replay in replays {
        let first = originals.iter().find(|call| call.key == replay.key).expect("a replay has a first");
        assert_eq!((replay.status, &replay.body), (first.status, &first.body), "{replay:?}");
    }
    let brought = brought_by(&originals);
    let decoded: Vec<_> = log.events.iter().map(|event| Event::decode(&event.body).unwrap()).collect();
    let mut spans: Vec<Option<(u64, u64)>> = vec![None; originals.len()];
    for event in &decoded {
        if let Some(call) = name(event).map(|name| brought[&name]) {
            let span = spans[call].get_or_insert((event.seq, event.seq));
            span.1 = event.seq;
        }
    }
    check_real_time(&originals, &spans);
    let mut unexplained = Unexplained::of(&originals, &spans);
    let mut memory = Memory::new();
    memory.accounts = log.accounts.iter().map(|account| (account.id, account.clone())).collect();
    let mut next = 0;
    while let Some(event) = decoded.get(next) {
        unexplained.try_at(&memory);
        let call = name(event).map(|name| originals[brought[&name]]);
        let command = call.map_or(Command::ExpireHolds(ExpireHolds { limit: 1 }), Call::command);
        let (outcome, journal) = memory.judge(&command, event.at);
        assert!(call.is_none_or(|call| fits(call, &outcome)), "{outcome:?} for {call:?}");
        assert!(!journal.events.is_empty(), "event {} for {command:?}", event.seq);
        for (made, stored) in journal.events.iter().zip(&log.events[next..]) {
            assert_eq!((made.seq, &made.body, made.hash), (stored.seq, &stored.body, stored.hash));
        }
        next += journal.events.len();
        memory.keep(journal);
    }
    unexplained.try_at(&memory);
    unexplained.assert_none();
    for (id, shown) in &log.shown {
        let account = &memory.accounts[id];
        let version = i64::try_from(account.version).unwrap();
        let expected = [account.balance.minor_units(), account.held.minor_units(), version];
        assert_eq!(*shown, expected, "account {id}");
    }
}

/// The calls that were decided, and the replays. Of each key one was decided, and never two.
fn apart(calls: &[Call]) -> (Vec<&Call>, Vec<&Call>) {
    let decided = calls.iter().filter(|call| !call.was_in_flight());
    let (replays, originals): (Vec<_>, Vec<_>) = decided.partition(|call| call.replayed);
    let mut keys: Vec<_> = originals.iter().filter(|call| call.status != 404).map(|call| &call.key).collect();
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "a key was used twice");
    (originals, replays)
}

/// Which call brought what.
fn brought_by(calls: &[&Call]) -> HashMap<(TransferId, Did), usize> {
    let mut brought = HashMap::new();
    for (place, call) in calls.iter().enumerate().filter(|(_, call)| call.status < 300) {
        let did = match call.what {
            What::Post(..) => Did::Posted,
            What::Void(_) => Did::Voided,
            What::Transfer(_) | What::Reverse(_) | What::Batch { .. } => Did::Made,
        };
        for transfer in call.transfers() {
            let earlier = brought.insert((transfer, did), place);
            assert_eq!(earlier, None, "{call:?} did what was done before");
        }
    }
    brought
}

/// What names the call that brought an event; nobody calls for an expiry.
fn name(event: &Event) -> Option<(TransferId, Did)> {
    let did = match event.kind {
        EventKind::Created(_) | EventKind::Reversed { .. } => Did::Made,
        EventKind::Posted { .. } => Did::Posted,
        EventKind::Voided => Did::Voided,
        EventKind::Expired => return None,
    };
    Some((event.transfer_id, did))
}

/// What was answered before another was sent comes before it.
fn check_real_time(calls: &[&Call], spans: &[Option<(u64, u64)>]) {
    for (call, span) in calls.iter().zip(spans) {
        let made = !call.transfers().is_empty() && call.status < 300;
        assert_eq!(span.is_some(), made, "the log and the reply tell otherwise: {call:?}");
        let Some((first, _)) = *span else { continue };
        assert!(last_before(call, calls, spans) < first, "{call:?} overtook another");
    }
}

/// The last event of those calls that were answered before `call` was sent; 0 if there is none.
fn last_before(call: &Call, calls: &[&Call], spans: &[Option<(u64, u64)>]) -> u64 {
    let spans = calls.iter().zip(spans).filter(|(other, _)| other.answered < call.sent);
    spans.filter_map(|(_, span)| *span).map(|(_, last)| last).max().unwrap_or(0)
}

/// Calls that changed nothing, each with the places in the log where it may have been decided: after how many events at
/// least, and at most.
struct Unexplained<'a>(Vec<(&'a Call, Command, u64, u64)>);

impl<'a> Unexplained<'a> {
    fn of(calls: &[&'a Call], spans: &[Option<(u64, u64)>]) -> Self {
        let without = calls.iter().zip(spans).filter(|(_, span)| span.is_none());
        let with_window = without.map(|(call, _)| {
            let later = calls.iter().zip(spans).filter(|(other, _)| other.sent > call.answered);
            let first = later.filter_map(|(_, span)| *span).map(|(first, _)| first).min();
            let most = first.map_or(u64::MAX, |first| first - 1);
            (*call, call.command(), last_before(call, calls, spans), most)
        });
        Self(with_window.collect())
    }

    /// Drops those that the rule would have answered so here. A hold may have been over before anybody swept it: then
    /// it is the time of the reply that tells.
    fn try_at(&mut self, memory: &Memory) {
        let seq = memory.head.seq;
        self.0.retain(|(call, command, least, most)| {
            let is_here = (*least..=*most).contains(&seq);
            let clocks: [Timestamp; 2] = [memory.head.at, call.answered_at];
            !is_here || !clocks.iter().any(|clock| fits(call, &memory.judge(command, *clock).0))
        });
    }

    fn assert_none(&self) {
        assert!(self.0.is_empty(), "no order explains {:#?}", self.0);
    }
}

/// Whether a call was answered so.
fn fits(call: &Call, outcome: &Outcome) -> bool {
    let (status, body) = (call.status, &call.body);
    match outcome {
        Outcome::Transferred { transfer, replayed: false } => {
            let ended = matches!(call.what, What::Post(..) | What::Void(_));
            status == if ended { 200 } else { 201 } && shows(body, transfer)
        }
        Outcome::Rejected { rejection, replayed: false, .. } => tells(body, rejection),
        Outcome::Batch { batch, replayed: false } => {
            status == if batch.aborted { 422 } else { 200 } && lists(&body["results"], batch)
        }
        Outcome::NotFound => status == 404,
        _ => false,
    }
}

fn lists(results: &Value, batch: &BatchOutcome) -> bool {
    let Some(results) = results.as_array() else { return false };
    let fits = |(result, item): (&Value, &Result<Arc<Transfer>, Refusal>)| match item {
        Ok(transfer) => result["status"] == 201 && shows(&result["transfer"], transfer),
        Err(Refusal::Rejected(rejection)) => tells(&result["problem"], rejection),
        Err(Refusal::Aborted) => result["status"] == 424 && result["problem"]["code"] == "batch_aborted",
        Err(Refusal::Forbidden) => result["status"] == 403,
    };
    results.len() == batch.items.len() && results.iter().zip(&batch.items).all(fits)
}

fn shows(shown: &Value, transfer: &Transfer) -> bool {
    let terms = &transfer.terms;
    *shown
        == json!({
            "id": transfer.id,
            "seq": transfer.seq,
            "status": transfer.status.as_str(),
            "debit_account": terms.debit_account,
            "credit_account": terms.credit_account,
            "amount": terms.amount,
            "posted_amount": transfer.posted_amount.map(Amount::money),
            "currency": "EUR",
            "description": null,
            "metadata": null,
            "reference": null,
            "expires_at": transfer.expires_at,
            "reverses": transfer.reverses,
            "reversed_by": transfer.reversed_by,
            "created_at": transfer.created_at,
        })
}

/// Whether a problem tells this rejection, with the figures that it names.
fn tells(problem: &Value, rejection: &Rejection) -> bool {
    let (code, figure) = match rejection {
        Rejection::SameAccount => ("same_account", String::new()),
        Rejection::InsufficientFunds { available } => ("insufficient_funds", format!(" {available} ")),
        Rejection::TransferNotPending { status } => ("transfer_not_pending", status.as_str().to_owned()),
        Rejection::TransferNotPosted { status } => ("transfer_not_posted", status.as_str().to_owned()),
        Rejection::AmountExceedsPending { pending } => ("amount_exceeds_pending", pending.to_string()),
        Rejection::NotReversible => ("not_reversible", String::new()),
        Rejection::AlreadyReversed => ("already_reversed", String::new()),
        Rejection::AccountNotFound { .. }
        | Rejection::CurrencyMismatch { .. }
        | Rejection::BalanceOverflow { .. } => return false,
    };
    problem["code"] == code && problem["detail"].as_str().is_some_and(|detail| detail.contains(&figure))
}
