//! What statements read: the span of a period, and its lines oldest first, with the words of their transfers.

use ringledger::models::{AccountId, Timestamp};
use ringledger::store::statements::{Line, LineQuery, Span, SpanQuery, StatementReader};

use crate::store::ledger::{Ledger, NOWHERE, euros, micros_after, money, second};

/// An account with ten entries at five moments, in and out, and the other account.
fn with_history(ledger: &mut Ledger) -> (AccountId, AccountId) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    for place in 0..10 {
        ledger.clock = second(place / 2);
        if place % 3 == 2 {
            ledger.pay(purse, bank, 1);
        } else {
            ledger.pay(bank, purse, 100);
        }
    }
    (purse, bank)
}

fn reader(ledger: &Ledger) -> StatementReader {
    ledger.store.statement_readers(1).unwrap().remove(0)
}

fn lines(
    ledger: &Ledger,
    reader: &StatementReader,
    account_id: AccountId,
    span: Span,
    limit: u32,
) -> Vec<Line> {
    let mut read = Vec::new();
    let mut first_seq = span.first_seq;
    loop {
        let query =
            LineQuery { account_id, first_seq, end_seq: span.end_seq, may_lag: span.is_of_replica, limit };
        let page = ledger.read(reader.lines(query));
        assert!(page.len() <= limit as usize);
        let Some(last) = page.last() else { return read };
        first_seq = last.seq + 1;
        read.extend(page);
    }
}

pub(crate) fn a_span_is_cut_at_exact_times(mut ledger: Ledger) {
    let (account_id, _) = with_history(&mut ledger);
    let mut entries = ledger.entries(account_id);
    entries.reverse();
    let reader = reader(&ledger);
    let moments: Vec<Timestamp> = [-1, 0, 2, 4, 5]
        .into_iter()
        .flat_map(|at| [-1, 0, 1].map(|more| micros_after(second(at), more)))
        .collect();
    let balance_before = |time| {
        let before = entries.iter().take_while(|entry| entry.created_at < time).last();
        before.map_or(money(0), |entry| entry.balance)
    };
    for (place, from) in moments.iter().enumerate() {
        for to in &moments[place..] {
            let query = SpanQuery { account_id, from: *from, to: *to };
            let span = ledger.read(reader.span(query));
            assert_eq!(
                (span.opening, span.closing),
                (balance_before(*from), balance_before(*to)),
                "{query:?}"
            );
            let read: Vec<_> =
                lines(&ledger, &reader, account_id, span, 100).iter().map(|line| line.seq).collect();
            let wanted = entries.iter().filter(|entry| entry.created_at >= *from && entry.created_at < *to);
            assert_eq!(read, wanted.map(|entry| entry.seq).collect::<Vec<_>>(), "{query:?}");
        }
    }
}

pub(crate) fn lines_say_what_their_transfers_say(mut ledger: Ledger) {
    let (account_id, bank) = with_history(&mut ledger);
    let mut terms = euros(bank, account_id, 5);
    terms.description = Some("Rent".parse().unwrap());
    terms.reference = Some("r-1".parse().unwrap());
    let command = ledger.request(crate::store::ledger::OPERATOR, "key", terms);
    ledger.decide(command);
    let reader = reader(&ledger);
    let everything = SpanQuery { account_id, from: second(-1), to: second(100) };
    let span = ledger.read(reader.span(everything));
    let whole = lines(&ledger, &reader, account_id, span, 100);
    assert_eq!(whole.len(), 11);
    for limit in [1, 3, 11] {
        assert_eq!(lines(&ledger, &reader, account_id, span, limit), whole, "{limit} at a time");
    }
    let entries = ledger.entries(account_id);
    for (line, entry) in whole.iter().rev().zip(&entries) {
        assert_eq!(
            (line.seq, line.created_at, line.transfer_id, line.amount, line.balance),
            (entry.seq, entry.created_at, entry.transfer_id, entry.amount, entry.balance)
        );
        assert_eq!(line.counterparty, bank);
    }
    let rent = whole.last().unwrap();
    assert_eq!(rent.description, Some("Rent".parse().unwrap()));
    assert_eq!(rent.reference, Some("r-1".parse().unwrap()));
    assert_eq!((&whole[0].description, &whole[0].reference), (&None, &None));
}

/// What is committed later, even at the same moment, is not part of a span that was read before.
pub(crate) fn a_span_stays_as_it_was_read(mut ledger: Ledger) {
    let (account_id, bank) = with_history(&mut ledger);
    let reader = reader(&ledger);
    let everything = SpanQuery { account_id, from: second(0), to: second(100) };
    let span = ledger.read(reader.span(everything));
    let before = lines(&ledger, &reader, account_id, span, 4);
    ledger.pay(bank, account_id, 7);
    assert_eq!(lines(&ledger, &reader, account_id, span, 4), before);
    assert_eq!(before.last().unwrap().balance, span.closing);
    let after = ledger.read(reader.span(everything));
    assert_eq!(after.closing.minor_units(), span.closing.minor_units() + 7);
    let nowhere = ledger.read(reader.span(SpanQuery { account_id: NOWHERE, ..everything }));
    assert_eq!((nowhere.opening, nowhere.closing), (money(0), money(0)));
    assert_eq!(lines(&ledger, &reader, NOWHERE, nowhere, 4), []);
}
