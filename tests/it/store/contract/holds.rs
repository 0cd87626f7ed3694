//! Holds: what is kept of them, how they end, and in which order they end by themselves.

use ringledger::models::posting::{Command, ExpireHolds, HoldRequest, Outcome, Rejection, TransferRequest};
use ringledger::models::{Amount, Transfer, TransferId, TransferStatus};
use uuid::Uuid;

use crate::store::ledger::{Ledger, OPERATOR, euros, money, posted, rejected, second};

/// No transfer has this id.
const NOTHING: TransferId = TransferId::from_uuid(Uuid::nil());

#[track_caller]
fn expired(ledger: &mut Ledger, limit: u32) -> u32 {
    match ledger.decide(ExpireHolds { limit }) {
        Outcome::Expired(count) => count,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn a_hold_reserves_until_it_ends(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 100);
    let made = [30, 20, 10].map(|amount| ledger.reserve(purse, bank, amount, Some(60)));
    let mut ledger = ledger.reopened();
    assert_eq!((ledger.funds(purse), ledger.account(purse).version), ((100, 60), 5));
    for hold in &made {
        assert_eq!(hold.expires_at, Some(second(60)));
        assert_eq!((ledger.transfer(hold.id), hold.status), (Transfer::clone(hold), TransferStatus::Pending));
    }
    ledger.audit();
    let poor = ledger.payment(purse, bank, 41);
    assert_eq!(rejected(ledger.decide(poor)), Rejection::InsufficientFunds { available: money(40) });

    let commands = [
        Command::Resolve(ledger.posting(made[0].id, None)),
        Command::Resolve(ledger.posting(made[1].id, Some(5))),
        Command::Resolve(ledger.voiding(made[2].id)),
    ];
    let told: Vec<_> = ledger.commit(&commands).into_iter().map(posted).collect();
    let ends: Vec<_> = told.iter().map(|transfer| (transfer.status, transfer.posted_amount)).collect();
    let amount = |minor_units| Some(Amount::new(minor_units).unwrap());
    let (all, part) = ((TransferStatus::Posted, amount(30)), (TransferStatus::Posted, amount(5)));
    assert_eq!(ends, [all, part, (TransferStatus::Voided, None)]);
    let mut ledger = ledger.reopened();
    for (transfer, hold) in told.iter().zip(&made) {
        assert_eq!(ledger.transfer(transfer.id), **transfer);
        assert_eq!((&transfer.terms, transfer.seq), (&hold.terms, hold.seq));
    }
    assert_eq!((ledger.funds(purse), ledger.account(purse).version), ((65, 0), 8));
    assert_eq!((ledger.head().seq, ledger.entries(purse).len(), ledger.next_expiry()), (7, 3, None));
    ledger.audit();
}

pub(crate) fn a_hold_is_over_before_it_is_swept(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let hold = ledger.reserve(bank, purse, 5, Some(10));
    ledger.clock = second(10);
    let late = [
        Command::Resolve(ledger.posting(hold.id, None)),
        Command::Resolve(ledger.voiding(hold.id)),
        Command::Reverse(ledger.reversal(hold.id)),
    ];
    let status = TransferStatus::Expired;
    let (ended, unposted) =
        (Rejection::TransferNotPending { status }, Rejection::TransferNotPosted { status });
    let told: Vec<_> = ledger.commit(&late).into_iter().map(rejected).collect();
    assert_eq!(told, [ended, ended, unposted]);
    assert_eq!((ledger.transfer(hold.id).status, ledger.funds(bank)), (TransferStatus::Pending, (0, 5)));
    // The clock that steps back does not open it again.
    ledger.clock = second(9);
    let early = ledger.posting(hold.id, None);
    assert_eq!(rejected(ledger.decide(early)), ended);
    assert_eq!(expired(&mut ledger, 1), 1);
    assert_eq!((ledger.transfer(hold.id).status, ledger.funds(bank)), (status, (0, 0)));
    ledger.audit();
}

pub(crate) fn a_sweep_takes_the_earliest_first_up_to_its_limit(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let holds = [50, 10, 40, 20, 30].map(|timeout_s| ledger.reserve(bank, purse, 1, Some(timeout_s)));
    ledger.reserve(bank, purse, 100, None);
    let later = ledger.reserve(bank, purse, 1_000, Some(51));
    assert_eq!(ledger.next_expiry(), Some(second(10)));
    ledger.clock = second(9);
    assert_eq!(expired(&mut ledger, 100), 0);

    ledger.clock = second(50);
    let mut order = Vec::new();
    for (limit, count) in [(0, 0), (2, 2), (1, 1), (10, 2), (10, 0)] {
        ledger = ledger.reopened();
        assert_eq!(expired(&mut ledger, limit), count, "of {limit}");
        let now = holds.iter().filter(|hold| ledger.transfer(hold.id).status == TransferStatus::Expired);
        let new: Vec<_> = now.map(|hold| hold.seq).filter(|seq| !order.contains(seq)).collect();
        order.extend(new);
    }
    // By the event that made each: those of 10 and 20 s, of 30, then of 40 and 50.
    assert_eq!(order, [2, 4, 5, 1, 3]);
    assert_eq!((ledger.funds(bank), ledger.next_expiry()), ((0, 1_100), later.expires_at));
    assert_eq!(ledger.head().seq, 12);
    ledger.audit();
}

/// A sweep that comes with commands about the very holds that it looks at.
pub(crate) fn a_sweep_may_share_its_batch(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let [first, second_hold] = [10, 11].map(|timeout_s| ledger.reserve(bank, purse, 1, Some(timeout_s)));
    ledger.clock = second(10);
    let sweep = Command::ExpireHolds(ExpireHolds { limit: 1 });
    let commands = [
        Command::Resolve(ledger.posting(second_hold.id, None)),
        sweep.clone(),
        Command::Resolve(ledger.posting(first.id, None)),
        sweep,
    ];
    let told = ledger.commit(&commands);
    posted(told[0].clone());
    assert_eq!(told[1], Outcome::Expired(1));
    let status = TransferStatus::Expired;
    assert_eq!(rejected(told[2].clone()), Rejection::TransferNotPending { status });
    assert_eq!(told[3], Outcome::Expired(0));
    assert_eq!((ledger.funds(bank), ledger.funds(purse)), ((-1, 0), (1, 0)));
    ledger.audit();
}

pub(crate) fn a_hold_is_made_and_ended_in_one_batch(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let [one, two, three] = [30, 20, 10].map(|amount| ledger.holding(bank, purse, amount, Some(9)));
    let (post, back) = (ledger.posting(one.id, Some(29)), ledger.reversal(one.id));
    let (void, back_id) = (ledger.voiding(two.id), back.id);
    let ids = [one.id, two.id, three.id];
    let commands = [
        Command::Transfer(one),
        Command::Resolve(post),
        Command::Transfer(two),
        Command::Reverse(back),
        Command::Resolve(void),
        Command::Transfer(three),
    ];
    let told: Vec<_> = ledger.commit(&commands).into_iter().map(posted).collect();
    // Each was told what it was then; the store has what it has become.
    assert_eq!((told[0].status, told[1].reversed_by), (TransferStatus::Pending, None));
    let ledger = ledger.reopened();
    let kept = ids.map(|id| ledger.transfer(id));
    let statuses = kept.each_ref().map(|transfer| transfer.status);
    assert_eq!(statuses, [TransferStatus::Posted, TransferStatus::Voided, TransferStatus::Pending]);
    assert_eq!(kept[0].reversed_by, Some(back_id));
    assert_eq!((ledger.funds(bank), ledger.funds(purse)), ((0, 10), (0, 0)));
    ledger.audit();
}

pub(crate) fn a_transfer_that_is_not_there_leaves_the_key_free(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let hold = ledger.reserve(bank, purse, 5, None);
    let (post, void, reverse) =
        (ledger.posting(NOTHING, None), ledger.voiding(NOTHING), ledger.reversal(NOTHING));
    let key = post.key.clone();
    let later = ledger.holding(bank, purse, 1, None);
    let too_early = ledger.posting(later.id, None);
    let commands = [
        Command::Resolve(post),
        Command::Resolve(void),
        Command::Reverse(reverse),
        Command::Resolve(too_early),
        Command::Transfer(later),
    ];
    let told = ledger.commit(&commands);
    assert_eq!(told[..4], [const { Outcome::NotFound }; 4]);
    assert_eq!(ledger.head().seq, 2);
    let real = HoldRequest { key, ..ledger.posting(hold.id, None) };
    posted(ledger.decide(real));
    ledger.audit();
}

pub(crate) fn only_payers_and_operators_end_a_hold(mut ledger: Ledger) {
    let (alice, bob) = (ledger.user("alice"), ledger.user("bob"));
    let (from, to, bank) = (ledger.purse_of(alice), ledger.purse_of(bob), ledger.bank());
    ledger.pay(bank, from, 10);
    for actor in [alice, OPERATOR] {
        let hold = ledger.reserve(from, to, 5, None);
        let theft = HoldRequest { actor: bob, ..ledger.posting(hold.id, None) };
        assert_eq!(ledger.decide(theft), Outcome::Forbidden);
        let own = HoldRequest { actor, ..ledger.posting(hold.id, None) };
        posted(ledger.decide(own));
    }
    assert_eq!((ledger.funds(from), ledger.funds(to)), ((0, 0), (10, 0)));
}

pub(crate) fn holds_reach_the_ends_of_the_range(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let most = crate::store::ledger::most().money().minor_units();
    let hold = ledger.reserve(bank, purse, most, Some(u32::MAX));
    let mut ledger = ledger.reopened();
    assert_eq!((ledger.transfer(hold.id), ledger.funds(bank)), (Transfer::clone(&hold), (0, most)));
    assert_eq!(ledger.next_expiry(), Some(second(i64::from(u32::MAX))));
    let more = ledger.holding(bank, purse, 1, None);
    assert!(matches!(rejected(ledger.decide(more)), Rejection::BalanceOverflow { .. }));
    let post = ledger.posting(hold.id, None);
    posted(ledger.decide(post));
    assert_eq!((ledger.funds(bank), ledger.funds(purse)), ((-most, 0), (most, 0)));
    ledger.audit();
}

/// A clock that steps back, as by another replica's, keeps no money held.
pub(crate) fn what_is_due_goes_by_the_ledgers_time(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let hold = ledger.reserve(bank, purse, 5, Some(10));
    ledger.clock = second(9);
    assert_eq!(ledger.first_due(), None);
    ledger.clock = second(10);
    assert_eq!(ledger.first_due(), hold.expires_at);
    ledger.pay(bank, purse, 1);
    ledger.clock = second(9);
    assert_eq!(ledger.first_due(), hold.expires_at, "an event was after it");
    assert_eq!(expired(&mut ledger, 1), 1);

    let hold = ledger.reserve(bank, purse, 5, Some(10));
    assert_eq!(hold.expires_at, Some(second(20)));
    ledger.clock = second(21);
    let poor = ledger.payment(purse, bank, 1_000);
    rejected(ledger.decide(poor));
    ledger.clock = second(9);
    assert_eq!(ledger.first_due(), hold.expires_at, "a refusal was after it");
    assert_eq!((expired(&mut ledger, 1), ledger.first_due()), (1, None));
    ledger.audit();
}

/// The hold is part of what a key stands for.
pub(crate) fn a_hold_and_a_payment_are_two_uses_of_a_key(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let plain = ledger.payment(bank, purse, 1);
    let holds = [None, Some(5), Some(6)].map(|timeout_s| ledger.holding(bank, purse, 1, timeout_s));
    let [for_ever, short, longer] = holds;
    let uses = [plain, for_ever, short, longer]
        .map(|request| TransferRequest { key: "k".parse().unwrap(), ..request });
    posted(ledger.decide(uses[1].clone()));
    let mut ledger = ledger.reopened();
    for other in [0, 2, 3] {
        assert_eq!(ledger.decide(uses[other].clone()), Outcome::KeyReused);
    }
    let plain = ledger.request(OPERATOR, "k", euros(bank, purse, 2));
    assert_eq!(ledger.decide(plain), Outcome::KeyReused);
}
