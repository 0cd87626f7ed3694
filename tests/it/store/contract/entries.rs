//! An account's history: newest first, in stretches, cut at exact times.

use ringledger::models::posting::Entry;
use ringledger::models::{AccountId, Timestamp};
use ringledger::store::EntryQuery;

use crate::store::ledger::{ALL, Ledger, NOWHERE, micros_after, second};

/// When money moves, in seconds: more than once in one second, and in none for a while.
const TIMES: [i64; 9] = [0, 0, 1, 3, 3, 3, 4, 10, 10];

/// An account with an entry for each of [`TIMES`], whose numbers have gaps, and all its entries.
fn with_history(ledger: &mut Ledger) -> (AccountId, Vec<Entry>) {
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    for (time, amount) in TIMES.into_iter().zip(1..) {
        ledger.clock = second(time);
        for _ in 0..amount % 3 {
            ledger.pay(bank, other, 1);
        }
        ledger.pay(bank, purse, amount);
    }
    let entries = ledger.entries(purse);
    assert_eq!(entries.len(), TIMES.len());
    (purse, entries)
}

pub(crate) fn a_history_is_read_newest_first_in_stretches(mut ledger: Ledger) {
    let (account_id, all) = with_history(&mut ledger);
    let amounts: Vec<_> = all.iter().map(|entry| entry.amount.minor_units()).collect();
    assert_eq!(amounts, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert!(all.iter().all(|entry| entry.account_id == account_id));
    for limit in [1, 2, 4, 9, 10] {
        let mut before_seq = None;
        let mut read = Vec::new();
        loop {
            let query = EntryQuery { account_id, before_seq, from: None, to: None, limit };
            let stretch = ledger.read(ledger.reader.entries(query));
            assert!(stretch.len() <= limit as usize);
            let Some(last) = stretch.last() else { break };
            before_seq = Some(last.seq);
            read.extend(stretch);
        }
        assert_eq!(read, all, "{limit} at a time");
    }
}

/// Whether an entry is among those that are asked for, by the words of the contract.
fn is_wanted(entry: &Entry, query: &EntryQuery) -> bool {
    query.before_seq.is_none_or(|seq| entry.seq < seq)
        && query.from.is_none_or(|from| entry.created_at >= from)
        && query.to.is_none_or(|to| entry.created_at < to)
}

/// Every moment that matters: each time, and the microseconds on both sides of it.
fn moments() -> Vec<Option<Timestamp>> {
    let mut moments = vec![None];
    for time in [0, 1, 3, 10] {
        moments.extend([-1, 0, 1].map(|micros| Some(micros_after(second(time), micros))));
    }
    moments
}

pub(crate) fn a_history_is_cut_at_exact_times(mut ledger: Ledger) {
    let (account_id, all) = with_history(&mut ledger);
    let end = ledger.head().seq;
    for from in moments() {
        for to in moments() {
            for before_seq in [None, Some(0), Some(1), Some(all[4].seq), Some(end), Some(end + 1)] {
                for limit in [2, ALL] {
                    let query = EntryQuery { account_id, before_seq, from, to, limit };
                    let wanted = all.iter().filter(|entry| is_wanted(entry, &query));
                    let wanted: Vec<_> = wanted.take(limit as usize).copied().collect();
                    assert_eq!(ledger.read(ledger.reader.entries(query)), wanted, "{query:?}");
                }
            }
        }
    }
}

pub(crate) fn a_query_may_ask_for_anything(mut ledger: Ledger) {
    let (account_id, all) = with_history(&mut ledger);
    let first = "0001-01-01T00:00:00Z".parse().unwrap();
    let last = "9999-12-29T23:59:59Z".parse().unwrap();
    let ask = |before_seq, from, to| {
        let query = EntryQuery { account_id, before_seq, from, to, limit: u32::MAX };
        ledger.read(ledger.reader.entries(query))
    };
    assert_eq!(ask(None, Some(first), Some(last)), all);
    assert_eq!(ask(None, Some(last), Some(first)), []);
    assert_eq!(ask(None, Some(last), None), []);
    assert_eq!(ask(None, None, Some(first)), []);
    let strange =
        EntryQuery { account_id: NOWHERE, before_seq: None, from: Some(first), to: None, limit: ALL };
    assert_eq!(ledger.read(ledger.reader.entries(strange)), []);
}

/// A cursor of the entries list carries any number that its sender likes.
pub(crate) fn a_query_may_begin_behind_any_number(mut ledger: Ledger) {
    let (account_id, all) = with_history(&mut ledger);
    for before_seq in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
        let query = EntryQuery { account_id, before_seq: Some(before_seq), from: None, to: None, limit: ALL };
        assert_eq!(ledger.read(ledger.reader.entries(query)), all, "{before_seq}");
    }
}

pub(crate) fn the_last_entry_until_a_time_is_found(mut ledger: Ledger) {
    let (account_id, all) = with_history(&mut ledger);
    let last = |until| ledger.read(ledger.reader.last_entry(account_id, until));
    for until in moments() {
        let wanted = all.iter().find(|entry| until.is_none_or(|until| entry.created_at <= until));
        assert_eq!(last(until), wanted.copied(), "{until:?}");
    }
    let end = "9999-12-30T00:00:00Z".parse().unwrap();
    assert_eq!(last(Some(end)), Some(all[0]), "the end of all time");
    assert_eq!(ledger.read(ledger.reader.last_entry(NOWHERE, None)), None);
}
