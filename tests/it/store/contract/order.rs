//! The log: one gapless, chained order of events, whose time never falls.

use std::thread;

use ringledger::models::event::ChainHash;
use ringledger::models::posting::Command;
use ringledger::models::{Event, Head, Timestamp};
use ringledger::services::audit::{AuditError, Invariant, audit};
use ringledger::store::audit::{Source, StoredEvent};
use ringledger::store::{StoreError, Writer};

use crate::store::ledger::{Ledger, posted, rejected, runtime, second};

pub(crate) fn time_never_falls_when_the_clock_does(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let mut pay_at = |clock: Timestamp| {
        ledger.clock = clock;
        let at = ledger.pay(bank, purse, 1).created_at;
        assert_eq!(ledger.entries(purse)[0].created_at, at);
        assert_eq!(ledger.head().at, at);
        at
    };
    assert_eq!(pay_at(second(100)), second(100));
    assert_eq!(pay_at(second(50)), second(100));
    assert_eq!(pay_at(second(-1_000_000)), second(100));
    assert_eq!(pay_at(second(101)), second(101));
    // The store remembers, not the writer.
    let mut ledger = ledger.reopened();
    ledger.clock = second(0);
    assert_eq!(ledger.pay(bank, purse, 1).created_at, second(101));
    ledger.audit();
}

pub(crate) fn numbers_are_gapless_and_hashes_chained(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let mut expected = 0;
    for size in [1, 2, 3, 5, 8, 1, 13] {
        ledger.clock = second(size);
        let mut batch = Vec::new();
        for _ in 0..size {
            // Every second command is rejected and takes no number.
            batch.push(Command::Transfer(ledger.payment(bank, purse, 1)));
            batch.push(Command::Transfer(ledger.payment(purse, bank, 1_000)));
        }
        for (place, outcome) in ledger.commit(&batch).into_iter().enumerate() {
            if place % 2 == 0 {
                expected += 1;
                assert_eq!(posted(outcome).seq, expected);
            } else {
                rejected(outcome);
            }
        }
        assert_eq!(ledger.head().seq, expected);
        ledger = ledger.reopened();
    }
    let end = walk(&ledger);
    assert_eq!(end, ledger.head());
    assert_eq!(end.seq, expected);
    ledger.audit();
}

/// Follows the log from its beginning, link by link; returns where it ends.
fn walk(ledger: &Ledger) -> Head {
    let mut end = Head { seq: 0, hash: ChainHash::default(), at: second(-1_000_000) };
    let follow = |stored: StoredEvent| -> Result<(), StoreError> {
        let event = Event::decode(&stored.body).unwrap();
        assert_eq!((stored.seq, event.seq), (end.seq + 1, end.seq + 1));
        assert_eq!(stored.hash, end.hash.next(&stored.body));
        assert!(event.at >= end.at);
        assert_eq!(stored.entries.len(), 2, "event {}", event.seq);
        assert_eq!(stored.transfer, event.created_transfer());
        end = Head { seq: event.seq, hash: stored.hash, at: event.at };
        Ok(())
    };
    ledger.store.audit().unwrap().each_event(follow).unwrap();
    end
}

pub(crate) fn heads_of_the_past_stay_in_the_chain(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let mut heads = vec![ledger.head()];
    for _ in 0..5 {
        ledger.pay(bank, purse, 1);
        heads.push(ledger.head());
    }
    let audit_for = |seq, hash| audit(&ledger.store.audit().unwrap(), Some((seq, hash)), |_| ());
    for head in &heads {
        assert_eq!(audit_for(head.seq, head.hash).unwrap().head, heads[5], "{head}");
    }
    let strangers = [(0, heads[1].hash), (1, heads[2].hash), (5, ChainHash::default()), (6, heads[5].hash)];
    for (seq, hash) in strangers {
        let found = audit_for(seq, hash);
        assert!(
            matches!(found, Err(AuditError::Broken { invariant: Invariant::I1, .. })),
            "{seq}:{hash}: {found:?}"
        );
    }
}

/// Batches of each of two writers.
const TURNS: usize = 25;

pub(crate) fn two_writers_share_one_order(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    // Another process: a second server of a shared database, or `user add` beside one.
    let other = ledger.store.writer().unwrap();
    let commands: Vec<_> = (0..TURNS).map(|_| Command::Transfer(ledger.payment(bank, purse, 1))).collect();
    let mut numbers = thread::scope(|scope| {
        let others = scope.spawn(move || commit_each(other, &commands));
        let mut own: Vec<_> = (0..TURNS).map(|_| ledger.pay(bank, purse, 1).seq).collect();
        own.extend(others.join().unwrap());
        own
    });
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=2 * TURNS as u64).collect::<Vec<_>>());
    assert_eq!(ledger.balance(purse), 2 * i64::try_from(TURNS).unwrap());
    assert_eq!(walk(&ledger), ledger.audit().head);
}

/// Commits transfers in a batch each; returns their numbers.
fn commit_each(mut writer: Writer, commands: &[Command]) -> Vec<u64> {
    let runtime = runtime();
    let mut commit = |command: &Command| {
        let batch = std::slice::from_ref(command);
        let mut outcomes = runtime.block_on(writer.commit(batch, &|| second(0))).unwrap();
        posted(outcomes.remove(0)).seq
    };
    let numbers = commands.iter().map(&mut commit).collect();
    writer.close().unwrap();
    numbers
}
