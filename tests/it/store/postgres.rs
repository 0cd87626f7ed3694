//! The contract on Postgres, and what is Postgres' own: settings of the server, races, migrations side by side.

mod holds;
mod moves;
mod tampering;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ringledger::models::posting::Command;
use ringledger::services::audit::audit;
use ringledger::store::migrations::{POSTGRES, SchemaError};
use ringledger::store::postgres::{Carrier, Options, Target};
use ringledger::store::{Location, Store, StoreError};
use throwaway_postgres::{Client, Rows};

use super::contract::{self, contract_on};
use super::ledger::{Fixture, Ledger, posted};
use crate::support::postgres::{new_cluster, shared_cluster};
use crate::support::wait_until;

contract_on!(Schema::new());

/// Replicas that start at once.
const REPLICAS: usize = 10;
/// How long a lock is held that a batch must wait for.
const HELD: Duration = Duration::from_millis(500);
/// Bounds everything else that the store may wait for.
const PATIENCE: Duration = Duration::from_secs(10);
/// When a batch that always fails is given up.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(4);
/// How much later a busy machine may be.
const LATE: Duration = Duration::from_secs(3);

/// A database of the shared cluster.
#[derive(Clone)]
struct Database(String);

impl Database {
    fn new() -> Self {
        Self(shared_cluster().database().unwrap())
    }

    /// One whose sessions begin with another setting than the server's.
    fn with_default(name: &str, value: &str) -> Self {
        let database = Self::new();
        database.set_default(name, value);
        database
    }

    fn set_default(&self, name: &str, value: &str) {
        self.query(&format!("alter database {} set {name} = '{value}'", self.0));
    }

    fn query(&self, sql: &str) -> Rows {
        shared_cluster().query(&self.0, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn connect(&self) -> Client {
        shared_cluster().connect(&self.0).unwrap()
    }

    fn ledger(&self) -> Ledger {
        Ledger::new(Box::new(self.clone()))
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.location())
    }

    fn open_existing(&self) -> Result<Store, StoreError> {
        Store::open_existing(&self.location())
    }

    /// Holds a lock for so long, from now on, without the limits of the database.
    fn lock_for(&self, time: Duration, lock: &str) -> JoinHandle<()> {
        let mut somebody = self.connect();
        let limits = "set idle_in_transaction_session_timeout = 0; set statement_timeout = 0";
        somebody.batch_execute(&format!("{limits}; begin; {lock}")).unwrap();
        thread::spawn(move || {
            thread::sleep(time);
            somebody.batch_execute("rollback").unwrap();
        })
    }

    /// Waits until a session waits for a lock of another one.
    fn wait_for_a_waiter(&self) {
        let waiters = "select count(*) from pg_locks join pg_database d on d.oid = database
                       where not granted and datname = current_database()";
        wait_until(PATIENCE, || match self.query(waiters)[0][0].as_str() {
            "0" => Err("nobody waits".to_owned()),
            _ => Ok(()),
        });
    }
}

impl Fixture for Database {
    fn location(&self) -> Location {
        location(&shared_cluster().url(&self.0))
    }

    fn another(&self) -> Box<dyn Fixture> {
        Box::new(Self::new())
    }

    fn kept_keys(&self) -> u64 {
        self.query("select count(*) from idempotency")[0][0].parse().unwrap()
    }

    fn execute(&self, sql: &str) {
        self.query(sql);
    }
}

/// A schema of a database that the cases of the contract share: it is made in a hundredth of the time.
struct Schema(String);

impl Schema {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("ledger_{}", MADE.fetch_add(1, Ordering::Relaxed));
        Self::database().query(&format!("create schema {name}"));
        Self(name)
    }

    fn database() -> &'static Database {
        static SHARED: OnceLock<Database> = OnceLock::new();
        SHARED.get_or_init(Database::new)
    }
}

impl Fixture for Schema {
    fn location(&self) -> Location {
        let url = shared_cluster().url(&Self::database().0);
        location(&format!("{url}?options=-csearch_path%3D{}", self.0))
    }

    fn another(&self) -> Box<dyn Fixture> {
        Box::new(Self::new())
    }

    fn kept_keys(&self) -> u64 {
        let count = format!("select count(*) from {}.idempotency", self.0);
        Self::database().query(&count)[0][0].parse().unwrap()
    }

    fn execute(&self, sql: &str) {
        Self::database().query(&format!("set search_path = {}; {sql}", self.0));
    }
}

/// The store at `url`.
pub(crate) fn location(url: &str) -> Location {
    Location::Postgres(Box::new(Options {
        target: Target::parse(url).unwrap(),
        replica: None,
        carrier: Carrier::Tokio,
        connections_per_core: 2,
        connect_timeout: PATIENCE,
        acquire_timeout: PATIENCE,
        statement_timeout: PATIENCE,
        commit_timeout: COMMIT_TIMEOUT,
    }))
}

// Migrations.

#[test]
fn ten_replicas_migrate_at_once() {
    let database = Database::new();
    let start = Barrier::new(REPLICAS);
    let migrate = || {
        start.wait();
        database.open().map(drop)
    };
    thread::scope(|scope| {
        let replicas: Vec<_> = (0..REPLICAS).map(|_| scope.spawn(migrate)).collect();
        for replica in replicas {
            replica.join().unwrap().unwrap();
        }
    });
    let applied = database.query("select version from schema_migrations order by version");
    let known: Vec<_> = POSTGRES.iter().map(|migration| vec![migration.version.to_string()]).collect();
    assert_eq!(applied, known);
    database.ledger().audit();
}

#[test]
fn a_place_without_a_ledger_is_left_alone() {
    let database = Database::new();
    let behind = database.open_existing();
    assert!(matches!(behind, Err(StoreError::Schema(SchemaError::Behind { version: 1 }))), "{behind:?}");
    let status = Store::migration_status(&database.location()).unwrap();
    assert!(status.iter().all(|line| line.applied_at.is_none()), "{status:?}");
    assert_eq!(status.len(), POSTGRES.len());
    let tables = "select count(*) from information_schema.tables where table_schema = 'public'";
    assert_eq!(database.query(tables), [["0"]], "nothing was made");
}

#[test]
fn a_migration_runs_once() {
    let database = Database::new();
    let status = || Store::migration_status(&database.location()).unwrap();
    let times = || status().iter().map(|line| line.applied_at).collect::<Vec<_>>();
    database.open().unwrap();
    let applied = times();
    assert!(applied.iter().all(Option::is_some), "{applied:?}");
    database.open().unwrap();
    database.open_existing().unwrap();
    assert_eq!(times(), applied);
}

#[test]
fn a_newer_or_changed_schema_is_refused() {
    type Refusal = fn(&StoreError) -> bool;
    let newer: Refusal = |error| matches!(error, StoreError::Schema(SchemaError::Newer { found: 99, .. }));
    let changed: Refusal = |error| matches!(error, StoreError::Schema(SchemaError::Changed { version: 1 }));
    for (sql, refused) in [
        ("insert into schema_migrations values (99, 'later', 'digest', now())", newer),
        ("update schema_migrations set digest = 'other' where version = 1", changed),
    ] {
        let database = Database::new();
        database.open().unwrap();
        database.query(sql);
        for result in [database.open(), database.open_existing()] {
            let error = result.unwrap_err();
            assert!(refused(&error), "{error:?}");
        }
        assert!(refused(&Store::migration_status(&database.location()).unwrap_err()));
    }
}

// What a server can be set to.

#[test]
fn a_server_that_forgets_commits_is_refused() {
    let cluster = new_cluster(&[("fsync", "off")]);
    let database = cluster.database().unwrap();
    for open in [Store::open, Store::open_existing] {
        match open(&location(&cluster.url(&database))) {
            Err(StoreError::Unfit(reason)) => assert!(reason.contains("fsync"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
    let tables = "select count(*) from information_schema.tables where table_schema = 'public'";
    assert_eq!(cluster.query(&database, tables).unwrap(), [["0"]], "nothing was made");
}

/// One transfer with a text that the database cannot hold would fail all that share its batch.
#[test]
fn a_database_that_cannot_hold_all_text_is_refused() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("in_{encoding}");
        let create = format!("create database {name} encoding '{encoding}' template template0");
        shared_cluster().query("postgres", &create).unwrap();
        match Database(name.to_lowercase()).open() {
            Err(StoreError::Unfit(reason)) => assert!(reason.contains("UTF8"), "{reason}"),
            other => panic!("{encoding}: {other:?}"),
        }
    }
}

/// Under a stricter isolation a statement behind the head's lock would not see what its last holder committed, and
/// whoever had to wait would have to begin anew.
#[test]
fn two_writers_share_one_order_where_transactions_are_serializable_by_default() {
    for isolation in ["repeatable read", "serializable"] {
        let database = Database::with_default("default_transaction_isolation", isolation);
        contract::order::two_writers_share_one_order(database.ledger());
    }
    assert!(!shared_cluster().log().contains("could not serialize access"), "batches began anew");
}

/// Limits that administrators set for other programs. None of them may end what takes its time here.
const LIMITS: [(&str, &str); 3] = [
    ("idle_in_transaction_session_timeout", "1ms"),
    ("lock_timeout", "50ms"),
    ("statement_timeout", "200ms"),
];

#[test]
fn a_batch_waits_for_its_turn_whatever_the_servers_limits_are() {
    for (name, value) in LIMITS {
        let database = Database::with_default(name, value);
        let mut ledger = database.ledger();
        let (bank, purse) = (ledger.bank(), ledger.purse());
        let locked = database.lock_for(HELD, "select from head for update");
        assert_eq!(ledger.pay(bank, purse, 1).seq, 1, "{name}");
        locked.join().unwrap();
        for _ in 0..20 {
            ledger.pay(bank, purse, 1);
        }
        assert_eq!(ledger.balance(purse), 21, "{name}");
    }
}

#[test]
fn an_audit_takes_its_time_whatever_the_servers_limits_are() {
    for (name, value) in LIMITS {
        let database = Database::with_default(name, value);
        let mut ledger = database.ledger();
        let (bank, purse) = (ledger.bank(), ledger.purse());
        ledger.pay(bank, purse, 1);
        let source = ledger.store.audit().unwrap();
        let locked = database.lock_for(HELD, "lock table entries in access exclusive mode");
        audit(&source, None, |_| ()).unwrap_or_else(|error| panic!("{name}: {error}"));
        locked.join().unwrap();
    }
}

#[test]
fn migrations_wait_for_each_other_whatever_the_servers_limits_are() {
    for (name, value) in LIMITS {
        let database = Database::with_default(name, value);
        // As another replica would hold it: the lock's name is a part of what versions agree on.
        let lock = format!("select pg_advisory_xact_lock({})", i64::from_be_bytes(*b"\0\0ledger"));
        let locked = database.lock_for(HELD, &lock);
        database.open().unwrap_or_else(|error| panic!("{name}: {error}"));
        locked.join().unwrap();
    }
}

// Races.

/// Has the first `times` inserts into the events fail with `code`.
fn fail_events(database: &Database, code: &str, times: u32) {
    database.query(&format!(
        "create sequence failures;
         create function fail() returns trigger language plpgsql as $$
         begin
             if nextval('failures') <= {times} then
                 raise exception 'injected' using errcode = '{code}';
             end if;
             return null;
         end $$;
         create trigger fail after insert on events for each statement execute function fail()"
    ));
}

#[test]
fn a_batch_that_lost_a_race_is_tried_again() {
    for code in ["40001", "40P01", "55P03"] {
        let database = Database::new();
        let mut ledger = database.ledger();
        fail_events(&database, code, 3);
        let (bank, purse) = (ledger.bank(), ledger.purse());
        assert_eq!(ledger.pay(bank, purse, 1).seq, 1, "{code}");
        assert_eq!((ledger.balance(purse), ledger.audit().head.seq), (1, 1), "{code}");
    }
}

#[test]
fn a_batch_that_always_fails_ends_in_time_and_leaves_nothing() {
    // A race without end, a full disk, a session that is ended each time.
    for code in ["40001", "53100", "57P01"] {
        let database = Database::new();
        let mut ledger = database.ledger();
        fail_events(&database, code, u32::MAX);
        let (bank, purse) = (ledger.bank(), ledger.purse());
        let payment = Command::Transfer(ledger.payment(bank, purse, 1));
        let begin = Instant::now();
        let failed = ledger.try_commit(std::slice::from_ref(&payment));
        assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{code}: {failed:?}");
        assert!(begin.elapsed() < COMMIT_TIMEOUT + LATE, "{code}: {:?}", begin.elapsed());
        assert_eq!((ledger.balance(purse), ledger.head().seq), (0, 0), "{code}");
        // The key is still free.
        database.query("drop trigger fail on events");
        posted(ledger.commit(&[payment]).remove(0));
        assert_eq!(ledger.audit().head.seq, 1);
    }
}

/// The writer holds the head and wants an account; somebody holds the account and wants the head. The server ends
/// the one that has waited for `deadlock_timeout`, which is the writer.
#[test]
fn a_real_deadlock_is_got_over() {
    let database = Database::with_default("deadlock_timeout", "2s");
    let mut ledger = database.ledger();
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let mut somebody = database.connect();
    let begin =
        "set deadlock_timeout = '1h'; set lock_timeout = '10s'; begin; lock table accounts in share mode";
    somebody.batch_execute(begin).unwrap();
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            database.wait_for_a_waiter();
            somebody.batch_execute("select from head for update; rollback").unwrap();
        });
        assert_eq!(ledger.pay(bank, purse, 1).seq, 1);
        other.join().unwrap();
    });
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    wait_until(PATIENCE, || match database.query(deadlocks)[0][0].as_str() {
        "0" => Err("there was no deadlock".to_owned()),
        _ => Ok(()),
    });
    ledger.audit();
}

#[test]
fn a_session_that_was_ended_is_made_again() {
    let database = Database::new();
    let mut ledger = database.ledger();
    let (bank, purse) = (ledger.bank(), ledger.purse());
    for round in 1..=3 {
        let others = "select pg_terminate_backend(pid) from pg_stat_activity
                      where datname = current_database() and pid <> pg_backend_pid()";
        assert_ne!(database.query(others), Rows::new());
        ledger.pay(bank, purse, 1);
        assert_eq!(ledger.balance(purse), round);
    }
    ledger.audit();
}

// For readers.

/// The queries of people who open the database with `psql`.
#[test]
fn the_tables_for_readers_say_what_the_ledger_says() {
    let database = Database::new();
    let mut ledger = database.ledger();
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let transfer = ledger.pay(bank, purse, 1_500);
    let line = |sql: &str| database.query(sql).remove(0).join(" ");
    assert_eq!(
        line("select id, owner, currency, balance, held from accounts where balance > 0"),
        format!("{purse} 01900000-0000-7000-8000-000000000001 EUR 1500 0")
    );
    assert_eq!(
        line("select account_id, seq, amount, balance from entries where amount < 0"),
        format!("{bank} 1 -1500 -1500")
    );
    assert_eq!(
        line(
            "select id, seq, status, debit_account, credit_account, amount, currency,
              created_at at time zone 'UTC' from transfers"
        ),
        format!("{} 1 posted {bank} {purse} 1500 EUR 2026-01-01 00:00:00", transfer.id)
    );
}
