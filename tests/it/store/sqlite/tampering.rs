//! Tampering with SQLite's file.

use ringledger::models::Event;
use ringledger::models::event::ChainHash;
use ringledger::services::audit::{AuditError, Audited, Invariant, audit};
use ringledger::store::Store;
use ringledger::store::audit::Source;
use rusqlite::Connection;

use super::{Directory, directory_of};
use crate::store::kinds;
use crate::store::ledger::{Fixture, Ledger, micros_after, second};
use crate::store::tampering::{
    Dialect, assert_double_use_is_noticed, assert_noticed, assert_noticed_of_kinds, sample,
};

const DIALECT: Dialect = Dialect {
    zeros: "zeroblob(32)",
    short_hash: "x'00'",
    longer_body: "cast(body || x'00' as blob)",
    tick: "1",
    epoch: "0",
};

/// What an audit finds in a copy of a ledger that `sql` was done to.
fn tampered(original: &dyn Fixture, sql: &str) -> Result<Audited, AuditError> {
    let place = Directory::copy_of(&directory_of(original));
    let sqlite = place.connect();
    // What stops a clumsy hand does not stop a cunning one.
    sqlite.pragma_update(None, "ignore_check_constraints", true).unwrap();
    sqlite.execute_batch(sql).unwrap();
    assert!(sqlite.total_changes() > 0, "nothing was changed by {sql}");
    audit(&place.open_existing().unwrap().audit().unwrap(), None, |_| ())
}

#[test]
fn a_hand_in_any_table_is_noticed() {
    let sample = sample(Ledger::on_sqlite());
    assert_noticed(&DIALECT, |sql| tampered(&*sample, sql));
}

#[test]
fn a_hand_in_what_any_kind_of_event_made_is_noticed() {
    let mut ledger = Ledger::on_sqlite();
    kinds::write(&mut ledger);
    let sample = ledger.closed();
    assert_noticed_of_kinds(&DIALECT, |sql| tampered(&*sample, sql));
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
    let sample = sample(Ledger::on_sqlite());
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

#[test]
fn a_key_that_was_applied_twice_is_noticed() {
    assert_double_use_is_noticed(Ledger::on_sqlite, |ledger| {
        let sqlite = Connection::open(ledger.directory().join("ledger.db")).unwrap();
        assert_eq!(sqlite.execute("delete from idempotency", ()).unwrap(), 1);
    });
}
