//! A hand outside the program has changed the tables; an audit names what it broke.

use ringledger::models::Event;
use ringledger::models::event::ChainHash;
use ringledger::models::idempotency::KEY_LIFE_S;
use ringledger::services::audit::{AuditError, Invariant, audit};
use ringledger::store::Store;
use ringledger::store::audit::Source;
use rusqlite::Connection;

use super::{Directory, directory_of};
use crate::store::ledger::{Fixture, Ledger, OPERATOR, euros, micros_after, posted, rejected, second};

/// A closed ledger with six events, each as far from the next as a second. The fourth has the key `known`, and
/// there is a rejection under the key `poor`.
fn sample() -> Box<dyn Fixture> {
    let mut ledger = Ledger::on_sqlite();
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    let history = [(bank, purse, 100), (bank, other, 50), (purse, other, 10), (other, purse, 5)];
    for (number, (debit, credit, amount)) in (1..).zip(history) {
        ledger.clock = second(number);
        let key = if number == 4 { "known" } else { &*format!("payment-{number}") };
        let request = ledger.request(OPERATOR, key, euros(debit, credit, amount));
        posted(ledger.decide(request));
    }
    let poor = ledger.request(OPERATOR, "poor", euros(purse, bank, 1_000_000));
    rejected(ledger.decide(poor));
    for number in [5, 6] {
        ledger.clock = second(number);
        ledger.pay(bank, purse, 1);
    }
    assert_eq!(ledger.audit().head.seq, 6);
    ledger.closed()
}

/// What is done to the [`sample`], and the invariant that is broken first.
const TAMPERINGS: &[(&str, Invariant)] = &[
    // accounts
    ("update accounts set balance = balance + 1 where balance > 0", Invariant::I4),
    ("update accounts set held = 1 where balance > 0", Invariant::I4),
    ("update accounts set min_balance = balance + 1 where balance > 0", Invariant::I5),
    ("update accounts set min_balance = 0 where balance < 0", Invariant::I5),
    ("update accounts set currency = 'USD' where balance < 0", Invariant::I3),
    ("delete from accounts where balance < 0", Invariant::I3),
    ("update accounts set owner = 'nobody' where balance < 0", Invariant::I6),
    // entries
    ("update entries set amount = amount + 1 where seq = 2", Invariant::I4),
    ("update entries set balance = balance + 1 where seq = 2", Invariant::I4),
    (
        "update entries set transfer_id = (select id from transfers where seq = 1) where seq = 2",
        Invariant::I4,
    ),
    ("update entries set created_at = created_at + 1 where seq = 2", Invariant::I4),
    ("delete from entries where seq = 2 and amount > 0", Invariant::I4),
    ("update entries set seq = 7 where seq = 6", Invariant::I4),
    (
        "insert into entries select account_id, 7, transfer_id, 0, balance, 0 from entries where seq = 6",
        Invariant::I4,
    ),
    (
        "insert into entries select 'nobody', seq, transfer_id, 0, 0, 0 from entries where seq = 6 limit 1",
        Invariant::I4,
    ),
    // transfers
    ("update transfers set amount = amount + 1 where seq = 2", Invariant::I6),
    ("update transfers set posted_amount = 1 where seq = 2", Invariant::I6),
    ("update transfers set posted_amount = null where seq = 2", Invariant::I6),
    ("update transfers set status = 'voided' where seq = 2", Invariant::I6),
    ("update transfers set status = 'pending', posted_amount = null where seq = 2", Invariant::I4),
    ("update transfers set currency = 'USD' where seq = 2", Invariant::I6),
    ("update transfers set reference = 'mine' where seq = 2", Invariant::I6),
    ("update transfers set expires_at = 0 where seq = 2", Invariant::I6),
    ("update transfers set reverses = id where seq = 2", Invariant::I6),
    ("update transfers set reversed_by = id where seq = 2", Invariant::I6),
    ("update transfers set created_by = '01900000-0000-7000-8000-00000000000f' where seq = 2", Invariant::I6),
    ("update transfers set idempotency_key = 'known' where seq = 5", Invariant::I6),
    ("update transfers set seq = 7 where seq = 6", Invariant::I6),
    ("delete from transfers where seq = 2", Invariant::I1),
    // idempotency
    ("update idempotency set seq = 2 where key = 'known'", Invariant::I2),
    ("update idempotency set seq = 7 where key = 'known'", Invariant::I2),
    ("update idempotency set key = 'unknown' where key = 'known'", Invariant::I2),
    (
        "update idempotency set user_id = '01900000-0000-7000-8000-00000000000f' where key = 'known'",
        Invariant::I2,
    ),
    ("delete from idempotency where key = 'known'", Invariant::I2),
    ("update idempotency set fingerprint = zeroblob(32) where key = 'known'", Invariant::I2),
    ("update idempotency set used_at = used_at - 1 where key = 'known'", Invariant::I2),
    ("update idempotency set rejection = '{}' where key = 'poor'", Invariant::I2),
    // events
    ("update events set body = cast(body || x'00' as blob) where seq = 2", Invariant::I6),
    ("update events set body = (select body from events where seq = 1) where seq = 2", Invariant::I6),
    ("update events set hash = zeroblob(32) where seq = 6", Invariant::I6),
    ("update events set hash = x'00' where seq = 2", Invariant::I6),
    ("delete from events where seq = 1", Invariant::I6),
    ("delete from events where seq = 6", Invariant::I6),
    ("delete from events", Invariant::I6),
    ("update events set seq = 7 where seq = 6", Invariant::I6),
    // head
    ("update head set seq = 5", Invariant::I6),
    ("update head set seq = 7", Invariant::I6),
    ("update head set hash = zeroblob(32)", Invariant::I6),
    ("update head set at = at - 1", Invariant::I6),
    ("update head set at = at + 1", Invariant::I6),
    ("delete from head", Invariant::I6),
];

#[test]
fn a_hand_in_any_table_is_noticed() {
    let sample = sample();
    let mut missed = Vec::new();
    for &(sql, broken) in TAMPERINGS {
        let place = Directory::copy_of(&directory_of(&*sample));
        let sqlite = place.connect();
        // What stops a clumsy hand does not stop a cunning one.
        sqlite.pragma_update(None, "ignore_check_constraints", true).unwrap();
        sqlite.execute_batch(sql).unwrap();
        assert!(sqlite.total_changes() > 0, "nothing was changed by {sql}");
        let found = audit(&place.open_existing().unwrap().audit().unwrap(), None, |_| ());
        if !matches!(&found, Err(AuditError::Broken { invariant, .. }) if *invariant == broken) {
            missed.push(format!("{sql}: {found:?} and not {broken}"));
        }
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), TAMPERINGS.len());
}

/// Makes the [`sample`]'s last event another one, with every hash and row in accord. Returns the place.
fn forged(sample: &dyn Fixture, change: impl FnOnce(&mut Event)) -> Directory {
    let place = Directory::copy_of(&directory_of(sample));
    let sqlite = place.connect();
    let bytes = |sql: &str| -> Vec<u8> { sqlite.query_row(sql, (), |row| row.get(0)).unwrap() };
    let mut event = Event::decode(&bytes("select body from events where seq = 6")).unwrap();
    change(&mut event);
    let before = bytes("select hash from events where seq = 5").try_into().unwrap();
    let (body, at) = (event.encode(), event.at.as_micros());
    let hash = *ChainHash::from_bytes(before).next(&body).as_bytes();
    sqlite.execute("update events set body = ?1, hash = ?2 where seq = 6", (body, hash)).unwrap();
    sqlite.execute("update head set hash = ?1, at = ?2", (hash, at)).unwrap();
    sqlite.execute("update transfers set created_at = ?1 where seq = 6", [at]).unwrap();
    sqlite.execute("update entries set created_at = ?1 where seq = 6", [at]).unwrap();
    sqlite.execute("update idempotency set used_at = ?1 where seq = 6", [at]).unwrap();
    place
}

#[test]
fn a_log_forged_with_care_must_not_fall_in_time_nor_lose_its_witness() {
    let sample = sample();
    let head = Store::open(&sample.location()).unwrap().audit().unwrap().head().unwrap();
    // The fifth event is of the fifth second.
    for (at, falls) in [(second(5), false), (micros_after(second(5), -1), true)] {
        let place = forged(&*sample, |event| event.at = at);
        let store = place.open_existing().unwrap();
        let found = audit(&store.audit().unwrap(), None, |_| ());
        let named = matches!(found, Err(AuditError::Broken { invariant: Invariant::I6, .. }));
        assert_eq!((named, found.is_err()), (falls, falls), "{found:?}");
        let witnessed = audit(&store.audit().unwrap(), Some((head.seq, head.hash)), |_| ());
        assert!(witnessed.is_err(), "{witnessed:?}");
    }
}

/// A key that was applied twice in its life, with a log that is whole in every other way.
#[test]
fn a_key_that_was_applied_twice_is_noticed() {
    for (seconds, broken) in [(KEY_LIFE_S - 1, true), (KEY_LIFE_S, false)] {
        let mut ledger = Ledger::on_sqlite();
        let (bank, purse) = (ledger.bank(), ledger.purse());
        let request = ledger.request(OPERATOR, "twice", euros(bank, purse, 1));
        posted(ledger.decide(request.clone()));
        // As if the store had lost the record of the first use.
        let sqlite = Connection::open(ledger.directory().join("ledger.db")).unwrap();
        assert_eq!(sqlite.execute("delete from idempotency", ()).unwrap(), 1);
        ledger.clock = second(seconds);
        let again = ledger.again(&request);
        posted(ledger.decide(again));
        let found = audit(&ledger.store.audit().unwrap(), None, |_| ());
        let named = matches!(found, Err(AuditError::Broken { invariant: Invariant::I2, .. }));
        assert_eq!((named, found.is_err()), (broken, broken), "{found:?}");
    }
}
