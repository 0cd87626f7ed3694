//! Idempotency keys: what is decided once is replayed for a day, to its user, for the same request.

use ringledger::models::idempotency::KEY_LIFE_S;
use ringledger::models::posting::{Command, OpenAccount, Outcome, Rejection, Side, TransferRequest};
use ringledger::models::{AccountId, Fingerprint, Terms};

use crate::store::ledger::{
    Ledger, NOWHERE, OPERATOR, euros, micros_after, money, most, opened, posted, rejected, replay_of, second,
};

/// A key's life in microseconds.
const LIFE_MICROS: i64 = KEY_LIFE_S * 1_000_000;

/// Accounts between which every kind of rejection can be had.
struct Rejecting {
    /// At the lower end of the range.
    drained: AccountId,
    /// At the upper end of the range.
    full: AccountId,
    /// Without a floor.
    bank: AccountId,
    /// With 10 euros.
    purse: AccountId,
    yen: AccountId,
}

impl Rejecting {
    fn new(ledger: &mut Ledger) -> Self {
        let opening = OpenAccount { currency: "JPY".parse().unwrap(), ..ledger.opening(OPERATOR.id) };
        let yen = opened(ledger.decide(opening)).id;
        let [drained, bank] = [ledger.bank(), ledger.bank()];
        let [full, purse] = [ledger.purse(), ledger.purse()];
        ledger.pay(drained, full, most().money().minor_units());
        ledger.pay(bank, purse, 10);
        Self { drained, full, bank, purse, yen }
    }

    /// Terms of which each is rejected in another way, and how.
    fn rejections(&self) -> [(Terms, Rejection); 8] {
        let &Self { drained, full, bank, purse, yen } = self;
        let (debit, credit) = (Side::Debit, Side::Credit);
        let yens = |side| Rejection::CurrencyMismatch { side, currency: "JPY".parse().unwrap() };
        let available = money(10);
        [
            (euros(purse, purse, 1), Rejection::SameAccount),
            (euros(NOWHERE, purse, 1), Rejection::AccountNotFound { side: debit }),
            (euros(purse, NOWHERE, 1), Rejection::AccountNotFound { side: credit }),
            (euros(yen, purse, 1), yens(debit)),
            (euros(purse, yen, 1), yens(credit)),
            (euros(purse, bank, 11), Rejection::InsufficientFunds { available }),
            (euros(drained, purse, 1), Rejection::BalanceOverflow { side: debit }),
            (euros(bank, full, 1), Rejection::BalanceOverflow { side: credit }),
        ]
    }
}

pub(crate) fn every_decision_is_replayed_after_a_restart(mut ledger: Ledger) {
    let accounts = Rejecting::new(&mut ledger);
    let mut requests = Vec::new();
    let mut decided = Vec::new();
    for (number, (terms, rejection)) in accounts.rejections().into_iter().enumerate() {
        let request = ledger.request(OPERATOR, &format!("rejected-{number}"), terms);
        let outcome = ledger.decide(request.clone());
        let request_id = request.request_id.clone();
        assert_eq!(outcome, Outcome::Rejected { rejection, request_id, replayed: false });
        requests.push(request);
        decided.push(outcome);
    }
    let accepted = ledger.payment(accounts.purse, accounts.bank, 10);
    decided.push(ledger.decide(accepted.clone()));
    posted(decided[8].clone());
    requests.push(accepted);
    // What was rejected for want of money could be paid by now.
    ledger.pay(accounts.bank, accounts.purse, 1_000);
    let rows = ledger.audit().rows;

    let mut ledger = ledger.reopened();
    let replays: Vec<_> = decided.iter().map(replay_of).collect();
    assert_eq!(send_again(&mut ledger, &requests), replays, "in one batch");
    let mut ledger = ledger.abandoned();
    for (request, replay) in requests.iter().zip(&replays) {
        let again = ledger.again(request);
        assert_eq!(ledger.decide(again), *replay);
    }
    assert_eq!(ledger.audit().rows, rows);
}

/// Sends requests another time, in one batch.
fn send_again(ledger: &mut Ledger, requests: &[TransferRequest]) -> Vec<Outcome> {
    let batch: Vec<_> = requests.iter().map(|request| Command::Transfer(ledger.again(request))).collect();
    ledger.commit(&batch)
}

pub(crate) fn a_key_is_its_users_own(mut ledger: Ledger) {
    let bank = ledger.bank();
    let paid = ["alice", "bob"].map(|name| {
        let user = ledger.user(name);
        let purse = ledger.purse_of(user);
        ledger.pay(bank, purse, 30);
        let request = ledger.request(user, "mine", euros(purse, bank, 30));
        let first = ledger.decide(request.clone());
        posted(first.clone());
        (request, first)
    });
    for (request, first) in &paid {
        let again = ledger.again(request);
        assert_eq!(ledger.decide(again), replay_of(first));
    }
    assert_eq!(ledger.balance(bank), 0);
    ledger.audit();
}

pub(crate) fn keys_differ_by_every_character(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let longest = "k".repeat(255);
    // Case counts, unlike in names; nothing is trimmed, and no character has a meaning.
    let keys = ["k", "K", "kk", "k%", "k_", "'k'", "\"k\"", "k\\", "0", "00", &longest, &longest[1..]];
    for key in keys {
        let request = ledger.request(OPERATOR, key, euros(bank, purse, 1));
        assert_eq!(posted(ledger.decide(request)).idempotency_key.as_str(), key);
    }
    assert_eq!(ledger.balance(purse), i64::try_from(keys.len()).unwrap());
    ledger.audit();
}

pub(crate) fn a_key_used_for_something_else_is_refused(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let paid = ledger.request(OPERATOR, "paid", euros(bank, purse, 1));
    let poor = ledger.request(OPERATOR, "poor", euros(purse, bank, 2));
    let outcomes = [&paid, &poor].map(|request| ledger.decide(request.clone()));
    let other_terms = [
        euros(bank, purse, 2),
        euros(purse, bank, 1),
        Terms { currency: "JPY".parse().unwrap(), ..euros(bank, purse, 1) },
        Terms { description: Some("x".parse().unwrap()), ..euros(bank, purse, 1) },
        Terms { reference: Some("x".parse().unwrap()), ..euros(bank, purse, 1) },
        Terms { metadata: Some("{}".into()), ..euros(bank, purse, 1) },
    ];
    let mut ledger = ledger.reopened();
    for key in ["paid", "poor"] {
        for terms in &other_terms {
            let request = ledger.request(OPERATOR, key, terms.clone());
            assert_eq!(ledger.decide(request), Outcome::KeyReused, "{key}: {terms:?}");
        }
    }
    let elsewhere = Fingerprint::from_bytes([7; 32]);
    let request = TransferRequest { fingerprint: elsewhere, ..ledger.again(&paid) };
    assert_eq!(ledger.decide(request), Outcome::KeyReused, "another action");
    assert_eq!(send_again(&mut ledger, &[paid, poor]), outcomes.map(|outcome| replay_of(&outcome)));
    assert_eq!(ledger.balance(purse), 1);
}

pub(crate) fn a_key_is_free_again_after_a_day(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let paid = ledger.request(OPERATOR, "paid", euros(bank, purse, 5));
    let poor = ledger.request(OPERATOR, "poor", euros(purse, bank, 1_000));
    let requests = [paid, poor];
    let first = requests.clone().map(|request| ledger.decide(request));
    let first_replays = first.clone().map(|outcome| replay_of(&outcome));

    ledger.clock = micros_after(second(0), LIFE_MICROS - 1);
    assert_eq!(send_again(&mut ledger, &requests), first_replays, "its last microsecond");
    let mut ledger = ledger.reopened();
    ledger.clock = micros_after(second(0), LIFE_MICROS);
    let second_time = send_again(&mut ledger, &requests);
    let transfer = posted(second_time[0].clone());
    assert_eq!((transfer.seq, ledger.balance(purse)), (2, 10));
    rejected(second_time[1].clone());
    assert_ne!(second_time[1], first[1], "another request was told so");

    // From now on the second use is what is replayed, for a day of its own.
    ledger.clock = micros_after(second(0), 2 * LIFE_MICROS - 1);
    let replays: Vec<_> = second_time.iter().map(replay_of).collect();
    assert_eq!(send_again(&mut ledger, &requests), replays);
    // A day later a key may be used for something else.
    ledger.clock = micros_after(second(0), 2 * LIFE_MICROS);
    let other = ledger.request(OPERATOR, "paid", euros(bank, purse, 1));
    posted(ledger.decide(other));
    ledger.audit();
}

pub(crate) fn a_key_used_when_the_clock_was_ahead_lives_on(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.clock = second(1_000);
    let request = ledger.payment(bank, purse, 1);
    let first = ledger.decide(request.clone());
    ledger.clock = second(0);
    assert_eq!(send_again(&mut ledger, std::slice::from_ref(&request)), [replay_of(&first)]);
    ledger.clock = micros_after(second(1_000), LIFE_MICROS - 1);
    assert_eq!(send_again(&mut ledger, &[request]), [replay_of(&first)]);
}

pub(crate) fn a_dead_key_does_not_live_again_when_the_clock_steps_back(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let request = ledger.payment(bank, purse, 1);
    posted(ledger.decide(request.clone()));
    let died_at = micros_after(second(0), LIFE_MICROS);
    ledger.clock = died_at;
    for _ in 0..10 {
        // No event, and yet a decision by whose time dead keys may be dropped.
        let poor = ledger.payment(purse, bank, 1_000);
        rejected(ledger.decide(poor));
    }
    let mut ledger = ledger.reopened();
    ledger.clock = micros_after(died_at, -1);
    let again = ledger.again(&request);
    // At the earlier time the key would be applied twice within its life.
    assert_eq!(posted(ledger.decide(again)).created_at, died_at);
    ledger.audit();
}

/// Keys of the day before, of which half stand for rejections.
const DEAD_KEYS: usize = 60;

pub(crate) fn dead_keys_are_dropped_by_later_batches(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    for number in 0..DEAD_KEYS {
        let amount = if number % 2 == 0 { 1 } else { 1_000_000 };
        let (debit, credit) = if number % 2 == 0 { (bank, purse) } else { (purse, bank) };
        let payment = ledger.payment(debit, credit, amount);
        ledger.decide(payment);
    }
    assert_eq!(ledger.fixture.kept_keys(), DEAD_KEYS as u64);
    ledger.clock = micros_after(second(0), LIFE_MICROS - 1);
    let living = ledger.payment(bank, purse, 1);
    let first = ledger.decide(living.clone());
    assert_eq!(ledger.fixture.kept_keys(), DEAD_KEYS as u64 + 1, "none is dropped before its time");

    ledger.clock = micros_after(second(0), LIFE_MICROS);
    // Dead keys go at least as fast as new ones come, or the table would grow for ever.
    for number in 1..=DEAD_KEYS {
        ledger.pay(bank, purse, 1);
        let kept = ledger.fixture.kept_keys();
        assert!(kept <= DEAD_KEYS as u64 + 1, "{kept} after {number} of a new day");
    }
    assert_eq!(ledger.fixture.kept_keys(), DEAD_KEYS as u64 + 1, "those of the new day and the living one");
    assert_eq!(send_again(&mut ledger, &[living]), [replay_of(&first)]);
    ledger.audit();
}

pub(crate) fn a_damaged_record_fails_its_own_command_alone(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let paid = ["not-json", "no-such-event", "whole"].map(|key| {
        let request = ledger.request(OPERATOR, key, euros(bank, purse, 1));
        posted(ledger.decide(request.clone()));
        request
    });
    let many = ledger.many(false, [(euros(bank, purse, 1), None), (euros(bank, purse, 1), None)]);
    ledger.decide(many.clone());
    ledger.fixture.execute(&format!(
        "update idempotency set seq = null, outcome = '{{' where key = 'not-json';
         update idempotency set seq = 99 where key = 'no-such-event';
         update idempotency set outcome = replace(outcome, '\"items\":2', '\"items\":9') where key = '{}'",
        many.key.as_str()
    ));
    let many = Command::Batch(many);
    let commands = [
        Command::Transfer(ledger.again(&paid[0])),
        Command::Transfer(ledger.again(&paid[1])),
        ledger.sent_again(&many),
        Command::Transfer(ledger.again(&paid[2])),
        Command::Transfer(ledger.payment(bank, purse, 1)),
    ];
    let told = ledger.commit(&commands);
    assert_eq!(told[..3], [const { Outcome::KeyDamaged }; 3]);
    assert!(matches!(told[3], Outcome::Transferred { replayed: true, .. }), "{:?}", told[3]);
    posted(told[4].clone());
    assert_eq!((ledger.balance(purse), ledger.head().seq), (6, 6));
    // What is asked for otherwise is refused without a look at what became of it.
    let other = ledger.request(OPERATOR, "not-json", euros(bank, purse, 2));
    assert_eq!(ledger.decide(other), Outcome::KeyReused);
}
