//! Tampering with the tables of a Postgres database.

use std::cell::RefCell;

use ringledger::services::audit::{AuditError, Audited, audit};

use super::Database;
use crate::store::kinds;
use crate::store::tampering::{
    Dialect, assert_double_use_is_noticed, assert_noticed, assert_noticed_of_kinds, sample,
};

const DIALECT: Dialect = Dialect {
    zeros: "decode(repeat('00', 32), 'hex')",
    short_hash: r"'\x00'",
    longer_body: r"body || '\x00'",
    tick: "interval '1 microsecond'",
    epoch: "to_timestamp(0)",
};

/// Tables that a hand may change.
const TABLES: [&str; 7] = ["users", "accounts", "events", "head", "transfers", "entries", "idempotency"];

/// What stops a clumsy hand does not stop a cunning one.
const UNCHECKED: &str = "do $$
    declare bar record;
    begin
        for bar in select conrelid::regclass as name, conname from pg_constraint
            where contype = 'c' and connamespace = 'public'::regnamespace
        loop
            execute format('alter table %s drop constraint %I', bar.name, bar.conname);
        end loop;
    end $$";

/// Hands out what an audit finds after some SQL, each time on the ledger as it is now.
fn tampering(database: &Database) -> impl Fn(&str) -> Result<Audited, AuditError> {
    database.query(UNCHECKED);
    let each = |sql: &str| TABLES.map(|table| sql.replace("TABLE", table)).join(";");
    database.query(&format!("create schema kept; {}", each("create table kept.TABLE as table TABLE")));
    let restore = each("delete from TABLE; insert into TABLE table kept.TABLE");
    move |sql| {
        database.query(&restore);
        if !sql.is_empty() {
            assert!(database.connect().execute(sql, &[]).unwrap() > 0, "nothing was changed by {sql}");
        }
        audit(&database.open_existing().unwrap().audit().unwrap(), None, |_| ())
    }
}

#[test]
fn a_hand_in_any_table_is_noticed() {
    let database = Database::new();
    sample(database.ledger());
    let tamper = tampering(&database);
    assert_noticed(&DIALECT, &tamper);
    tamper("").unwrap();
}

#[test]
fn a_hand_in_what_any_kind_of_event_made_is_noticed() {
    let database = Database::new();
    kinds::write(&mut database.ledger());
    let tamper = tampering(&database);
    assert_noticed_of_kinds(&DIALECT, &tamper);
    tamper("").unwrap();
}

#[test]
fn a_key_that_was_applied_twice_is_noticed() {
    let database = RefCell::new(Database::new());
    let ledger = || {
        *database.borrow_mut() = Database::new();
        database.borrow().ledger()
    };
    assert_double_use_is_noticed(ledger, |_| {
        database.borrow().query("delete from idempotency");
    });
}
