//! Batches: commands that are committed together are decided one after the other, and stored all or none.

use ringledger::models::Role;
use ringledger::models::posting::{Command, OpenAccount, Outcome, Owner, Rejection};

use crate::store::ledger::{Ledger, OPERATOR, euros, money, opened, posted, rejected, replay_of};

/// The posting lane's largest batch.
const LANE_BATCH: usize = 4_096;

pub(crate) fn a_batch_may_depend_on_itself(mut ledger: Ledger) {
    let registration = ledger.registration("Alice");
    let alice = ringledger::models::Actor { id: registration.id, role: Role::User };
    let by_name = Owner::Name("alice".parse().unwrap());
    let bank = OpenAccount { min_balance: None, ..ledger.opening(OPERATOR.id) };
    let purse = OpenAccount { owner: by_name, ..ledger.opening(OPERATOR.id) };
    let other = ledger.opening(alice.id);
    let ids = [bank.id, purse.id, other.id];
    let requests = [
        ledger.request(OPERATOR, "fund", euros(ids[0], ids[1], 10)),
        ledger.request(alice, "move", euros(ids[1], ids[2], 4)),
    ];
    let mut batch = vec![Command::RegisterUser(registration)];
    batch.extend([bank, purse, other].map(Command::OpenAccount));
    batch.extend(requests.map(Command::Transfer));

    let outcomes = ledger.commit(&batch);
    assert!(matches!(&outcomes[0], Outcome::Registered(user) if user.id == alice.id));
    // An account is told as it was opened, although the same batch has gone on to change it.
    assert_eq!(outcomes[1..4].iter().cloned().map(|outcome| opened(outcome).version).max(), Some(1));
    assert_eq!([4, 5].map(|place| posted(outcomes[place].clone()).seq), [1, 2]);
    assert_eq!(ids.map(|id| ledger.balance(id)), [-10, 6, 4]);
    assert_eq!(ids.map(|id| ledger.account(id).version), [2, 3, 2]);
    assert_eq!(ids.map(|id| ledger.account(id).owner), [OPERATOR.id, alice.id, alice.id]);
    ledger.audit();
}

pub(crate) fn what_comes_later_in_a_batch_is_not_there_yet(mut ledger: Ledger) {
    let (bank, owner) = (ledger.bank(), ledger.registration("late"));
    let early = ledger.opening(owner.id);
    let purse = ledger.opening(OPERATOR.id);
    let payment = ledger.payment(bank, purse.id, 1);
    let again = ledger.again(&payment);
    let outcomes = ledger.commit(&[
        Command::OpenAccount(early),
        Command::RegisterUser(owner),
        Command::Transfer(payment),
        Command::OpenAccount(purse),
        Command::Transfer(again),
    ]);
    assert_eq!(outcomes[0], Outcome::OwnerNotFound);
    assert!(matches!(rejected(outcomes[2].clone()), Rejection::AccountNotFound { .. }));
    assert_eq!(outcomes[4], replay_of(&outcomes[2]), "decided, although the account is there now");
    ledger.audit();
}

pub(crate) fn a_keys_second_use_in_a_batch_is_a_replay(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let good = ledger.request(OPERATOR, "good", euros(bank, purse, 5));
    let bad = ledger.request(OPERATOR, "bad", euros(purse, bank, 6));
    let requests = [
        good.clone(),
        ledger.again(&good),
        bad.clone(),
        ledger.again(&bad),
        ledger.request(OPERATOR, "good", euros(bank, purse, 6)),
        ledger.request(OPERATOR, "bad", euros(bank, purse, 6)),
        ledger.again(&good),
    ];
    let outcomes = ledger.commit(&requests.map(Command::Transfer));
    posted(outcomes[0].clone());
    rejected(outcomes[2].clone());
    assert_eq!(outcomes[1], replay_of(&outcomes[0]));
    assert_eq!(outcomes[3], replay_of(&outcomes[2]));
    assert_eq!(outcomes[4..6], [Outcome::KeyReused, Outcome::KeyReused]);
    assert_eq!(outcomes[6], replay_of(&outcomes[0]));
    assert_eq!(ledger.balance(purse), 5);
    assert_eq!(ledger.audit().rows.transfers, 1);
}

pub(crate) fn an_earlier_debit_of_the_batch_counts(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 10);
    let requests = [(purse, bank, 6), (purse, bank, 6), (bank, purse, 2), (purse, bank, 6), (purse, bank, 1)];
    let batch =
        requests.map(|(debit, credit, amount)| Command::Transfer(ledger.payment(debit, credit, amount)));
    let outcomes = ledger.commit(&batch);
    let moved: Vec<_> =
        outcomes.iter().map(|outcome| matches!(outcome, Outcome::Transferred { .. })).collect();
    assert_eq!(moved, [true, false, true, true, false]);
    let poor = |available| Rejection::InsufficientFunds { available: money(available) };
    assert_eq!([1, 4].map(|place| rejected(outcomes[place].clone())), [poor(4), poor(0)]);
    assert_eq!(ledger.balance(purse), 0);
    ledger.audit();
}

pub(crate) fn an_account_changes_often_in_a_batch(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let batch: Vec<_> =
        (1..=100).map(|amount| Command::Transfer(ledger.payment(bank, purse, amount))).collect();
    for (outcome, seq) in ledger.commit(&batch).into_iter().zip(1..) {
        assert_eq!(posted(outcome).seq, seq);
    }
    assert_eq!((ledger.balance(purse), ledger.account(purse).version), (5_050, 101));
    let mut running = 0;
    for (entry, amount) in ledger.entries(purse).iter().rev().zip(1..) {
        running += amount;
        assert_eq!((entry.amount, entry.balance), (money(amount), money(running)));
    }
    assert_eq!(running, 5_050);
    ledger.audit();
}

pub(crate) fn an_empty_batch_changes_nothing(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 1);
    let before = (ledger.head(), ledger.accounts());
    assert_eq!(ledger.commit(&[]), []);
    assert_eq!((ledger.head(), ledger.accounts()), before);
}

pub(crate) fn a_batch_may_be_as_large_as_the_lane_makes_it(mut ledger: Ledger) {
    let bank = ledger.bank();
    let openings: Vec<_> = (0..LANE_BATCH).map(|_| ledger.opening(OPERATOR.id)).collect();
    let payments: Vec<_> =
        openings.iter().map(|purse| Command::Transfer(ledger.payment(bank, purse.id, 1))).collect();
    let openings: Vec<_> = openings.into_iter().map(Command::OpenAccount).collect();
    ledger.commit(&openings);
    ledger.commit(&payments);
    let audited = ledger.audit();
    assert_eq!(audited.head.seq, LANE_BATCH as u64);
    assert_eq!((audited.accounts, audited.rows.entries), (LANE_BATCH as u64 + 1, 2 * LANE_BATCH as u64));
    assert_eq!(ledger.balance(bank), -i64::try_from(LANE_BATCH).unwrap());
}

pub(crate) fn a_batch_that_fails_leaves_nothing(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 10);
    let before = (ledger.head(), ledger.accounts());
    let (newcomer, opening) = (ledger.registration("newcomer"), ledger.opening(OPERATOR.id));
    let payment = ledger.payment(bank, purse, 1);
    // Ids are new ones, or the caller has broken its word.
    let twice = OpenAccount { id: purse, ..ledger.opening(OPERATOR.id) };
    let good = [
        Command::RegisterUser(newcomer.clone()),
        Command::OpenAccount(opening.clone()),
        Command::Transfer(payment.clone()),
    ];
    let failing: Vec<_> = good.iter().cloned().chain([Command::OpenAccount(twice)]).collect();
    ledger.try_commit(&failing).unwrap_err();

    assert_eq!((ledger.head(), ledger.accounts()), before);
    assert_eq!(ledger.read(ledger.reader.user(newcomer.id)), None);
    assert_eq!(ledger.read(ledger.reader.transfer(payment.id)), None);
    ledger.audit();
    // All of it is as new to the ledger as it was, key and name among it.
    let outcomes = ledger.commit(&good);
    assert!(matches!(outcomes[..2], [Outcome::Registered(_), Outcome::Opened(_)]), "{outcomes:?}");
    assert_eq!(posted(outcomes[2].clone()).seq, before.0.seq + 1);
    ledger.audit();
}
