//! Many transfers under one key: done one by one or all together, and told again item by item.

use std::time::{Duration, Instant};

use ringledger::models::posting::{BatchRequest, Command, Outcome, Refusal, Rejection, Side};
use ringledger::models::{Hold, Money, Terms, TransferStatus};

use crate::store::ledger::{Ledger, NOWHERE, euros, judged, money, posted, replay_of};

/// The most transfers that the service takes in one request; more than the lane's batch has commands.
const MOST_ITEMS: i64 = 8_192;

const POOR: Refusal = Refusal::Rejected(Rejection::InsufficientFunds { available: Money::ZERO });

fn at_once(terms: Terms) -> (Terms, Option<Hold>) {
    (terms, None)
}

fn held(terms: Terms, timeout_s: Option<u32>) -> (Terms, Option<Hold>) {
    (terms, Some(Hold { timeout_s }))
}

pub(crate) fn items_are_done_one_by_one(mut ledger: Ledger) {
    let (alice, bank) = (ledger.user("alice"), ledger.bank());
    let (purse, others) = (ledger.purse_of(alice), ledger.purse());
    ledger.pay(bank, purse, 10);
    let yen = Terms { currency: "JPY".parse().unwrap(), ..euros(purse, bank, 1) };
    let items = [
        at_once(euros(purse, bank, 11)),
        at_once(euros(purse, bank, 4)),
        at_once(euros(others, bank, 1)),
        held(euros(purse, bank, 3), Some(9)),
        at_once(euros(purse, purse, 1)),
        at_once(euros(purse, NOWHERE, 1)),
        at_once(yen),
        held(euros(purse, bank, 3), None),
        at_once(euros(purse, bank, 1)),
    ];
    let request = BatchRequest { actor: alice, ..ledger.many(false, items) };
    let ids: Vec<_> = request.items.iter().map(|item| item.id).collect();
    let told = judged(ledger.decide(request));
    let poor = |available| Rejection::InsufficientFunds { available: money(available) };
    let (side, currency) = (Side::Debit, "EUR".parse().unwrap());
    let refusals: Vec<_> = told.items.iter().map(|item| item.clone().err()).collect();
    assert_eq!(
        refusals,
        [
            Some(poor(10).into()),
            None,
            Some(Refusal::Forbidden),
            None,
            Some(Rejection::SameAccount.into()),
            Some(Rejection::AccountNotFound { side: Side::Credit }.into()),
            Some(Rejection::CurrencyMismatch { side, currency }.into()),
            None,
            Some(poor(0).into()),
        ]
    );
    let mut ledger = ledger.reopened();
    let made: Vec<_> = told.items.iter().flatten().collect();
    assert_eq!(made.iter().map(|made| made.seq).collect::<Vec<_>>(), [2, 3, 4]);
    assert!(made.iter().all(|made| ledger.transfer(made.id) == ***made));
    for refused in [0, 2, 4, 5, 6, 8] {
        assert_eq!(ledger.read(ledger.reader.transfer(ids[refused])), None);
    }
    assert_eq!(ledger.funds(purse), (6, 6));
    let post = ledger.posting(ids[7], None);
    posted(ledger.decide(post));
    ledger.audit();
}

pub(crate) fn an_atomic_request_is_done_all_or_not_at_all(mut ledger: Ledger) {
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    let good = [
        at_once(euros(bank, purse, 5)),
        at_once(euros(purse, other, 5)),
        held(euros(other, bank, 5), Some(3)),
    ];
    let bad = good.clone().into_iter().chain([at_once(euros(other, bank, 1))]);
    let (bad, good) = (ledger.many(true, bad), ledger.many(true, good.clone()));
    let bad_ids: Vec<_> = bad.items.iter().map(|item| item.id).collect();
    let before = (ledger.head(), ledger.accounts());

    let told = judged(ledger.decide(bad.clone()));
    let aborted = Err(Refusal::Aborted);
    assert_eq!(told.items, [aborted.clone(), aborted.clone(), aborted, Err(POOR)]);
    assert!(told.aborted);
    assert_eq!((ledger.head(), ledger.accounts()), before);
    assert!(bad_ids.iter().all(|&id| ledger.read(ledger.reader.transfer(id)).is_none()));
    assert_eq!(ledger.next_expiry(), None);

    let mut ledger = ledger.reopened();
    let told = judged(ledger.decide(good));
    assert!(!told.aborted && told.items.iter().all(Result::is_ok), "{told:?}");
    assert_eq!([bank, purse, other].map(|id| ledger.funds(id)), [(-5, 0), (0, 0), (5, 5)]);
    assert_eq!(ledger.next_expiry(), told.items[2].clone().unwrap().expires_at);
    ledger.audit();
}

/// An account that was changed before in the batch of commands is written as it was before the refused request, and one
/// that only the request touched is not written at all.
pub(crate) fn an_atomic_request_that_is_refused_undoes_itself_alone(mut ledger: Ledger) {
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    let opening = ledger.opening(ringledger::models::user::BUILT_IN_OPERATOR);
    let new = opening.id;
    let refused = [
        at_once(euros(bank, purse, 1)),
        at_once(euros(purse, other, 2)),
        held(euros(purse, other, 2), Some(1)),
        at_once(euros(purse, new, 1)),
        at_once(euros(new, other, 1)),
        at_once(euros(purse, bank, 1_000)),
    ];
    let refused = ledger.many(true, refused);
    let payments = [ledger.payment(bank, purse, 10), ledger.payment(purse, new, 4)];
    let [before, after] = payments.map(Command::Transfer);
    let told = ledger.commit(&[Command::OpenAccount(opening), before, Command::Batch(refused), after]);
    assert!(matches!(&told[2], Outcome::Batch { batch, .. } if batch.aborted), "{told:?}");
    assert_eq!([1, 3].map(|place| posted(told[place].clone()).seq), [1, 2]);
    let mut ledger = ledger.reopened();
    let all = [bank, purse, new, other];
    assert_eq!(all.map(|id| ledger.funds(id)), [(-10, 0), (6, 0), (4, 0), (0, 0)]);
    assert_eq!(all.map(|id| ledger.account(id).version), [2, 3, 2, 1]);
    assert_eq!((ledger.head().seq, ledger.next_expiry()), (2, None));
    ledger.audit();
}

pub(crate) fn a_request_of_which_nothing_is_done_is_told_again(mut ledger: Ledger) {
    let (alice, bank) = (ledger.user("alice"), ledger.bank());
    let (purse, sink) = (ledger.purse_of(alice), ledger.purse());
    let nothing = [at_once(euros(purse, bank, 1)), held(euros(bank, purse, 1), None)];
    let refused = [Err(POOR), Err(Refusal::Forbidden)];
    // Of one that stands first in the log, and of one behind others.
    for (round, key) in ["first", "second"].into_iter().enumerate() {
        for atomic in [false, true] {
            let key = format!("{key}-{atomic}").parse().unwrap();
            let request = BatchRequest { actor: alice, key, ..ledger.many(atomic, nothing.clone()) };
            let outcome = ledger.decide(request.clone());
            assert_eq!((&*judged(outcome.clone()).items, ledger.head().seq), (&refused[..], round as u64));
            ledger = ledger.reopened();
            let again = ledger.sent_again(&Command::Batch(request.clone()));
            assert_eq!(ledger.decide(again), replay_of(&outcome));
            let other = ledger.many(!atomic, nothing.clone());
            let other = BatchRequest { actor: alice, key: request.key, ..other };
            assert_eq!(ledger.decide(other), Outcome::KeyReused);
        }
        ledger.pay(bank, sink, 1);
    }
    ledger.audit();
}

pub(crate) fn a_request_may_be_larger_than_a_batch_of_commands(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    // Each third waits, and each thousandth cannot be.
    let orders = (0..MOST_ITEMS).map(|n| {
        let terms = if n % 1_000 == 999 { euros(bank, bank, 1) } else { euros(bank, purse, 1) };
        (terms, (n % 3 == 0).then_some(Hold { timeout_s: Some(5) }))
    });
    let request = ledger.many(false, orders);
    let outcome = ledger.decide(request.clone());
    let told = judged(outcome.clone());
    let made: Vec<_> = told.items.iter().flatten().collect();
    assert_eq!(ledger.head().seq, made.len() as u64);
    let pending = made.iter().filter(|made| made.status == TransferStatus::Pending).count();
    assert_eq!((told.items.len() - made.len(), pending), (8, 2_728));
    let mut ledger = ledger.reopened();
    assert_eq!(ledger.audit().rows.transfers, made.len() as u64);
    let again = ledger.sent_again(&Command::Batch(request));
    assert_eq!(ledger.decide(again), replay_of(&outcome));
}

/// Transfers of a large batch that are made, and as many that are refused.
const HALF: usize = 4_000;
/// Far more than an audit of 4,000 events takes, far less than reading the record of 4,000 refusals for each of them.
const AUDITED_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn the_record_of_a_large_batch_is_audited_once(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let order = |made: usize| (euros(bank, if made.is_multiple_of(2) { purse } else { NOWHERE }, 1), None);
    let large = ledger.many(false, (0..2 * HALF).map(order));
    ledger.decide(large);
    assert_eq!(ledger.head().seq, HALF as u64);
    let begin = Instant::now();
    ledger.audit();
    assert!(begin.elapsed() < AUDITED_WITHIN, "{:?}", begin.elapsed());
}
