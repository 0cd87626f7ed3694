//! The contract on SQLite, and what is SQLite's own: files, locks, migrations and tampering.

mod tampering;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ringledger::store::migrations::{SQLITE, SchemaError};
use ringledger::store::{Location, Store, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;

use super::contract::contract_on;
use super::ledger::{Fixture, Ledger};

contract_on!(Directory::new());

/// A data directory.
struct Directory(TempDir);

impl Directory {
    /// On the file system of the target directory: the system's temporary one is often memory.
    fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join("ledger.db")
    }

    /// A connection beside the program's own.
    fn connect(&self) -> Connection {
        Connection::open(self.database()).unwrap()
    }

    /// A copy of all files of a ledger that is closed.
    fn copy_of(directory: &Path) -> Self {
        let copy = Self::new();
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
        copy
    }

    fn open(&self) -> Result<Store, StoreError> {
        Store::open(&self.location())
    }

    fn open_existing(&self) -> Result<Store, StoreError> {
        Store::open_existing(&self.location())
    }
}

impl Fixture for Directory {
    fn location(&self) -> Location {
        Location::Sqlite { directory: self.path().to_owned() }
    }

    fn another(&self) -> Box<dyn Fixture> {
        Box::new(Self::new())
    }

    fn kept_keys(&self) -> u64 {
        self.connect().query_row("select count(*) from idempotency", (), |row| row.get(0)).unwrap()
    }

    fn execute(&self, sql: &str) {
        self.connect().execute_batch(sql).unwrap();
    }
}

impl Ledger {
    fn on_sqlite() -> Self {
        Self::new(Box::new(Directory::new()))
    }

    fn directory(&self) -> PathBuf {
        directory_of(&*self.fixture)
    }
}

fn directory_of(fixture: &dyn Fixture) -> PathBuf {
    let Location::Sqlite { directory } = fixture.location() else {
        panic!("{:?} is no directory", fixture.location());
    };
    directory
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_data_directory_is_made_for_its_owner_alone() {
    let place = Directory::new();
    let made = |name: &str| {
        let directory = place.path().join("deep").join(name);
        (Location::Sqlite { directory: directory.clone() }, directory)
    };
    let (location, directory) = made("opened");
    Store::open(&location).unwrap();
    assert!(directory.join("ledger.db").exists());
    assert_eq!(mode(&directory), 0o700);

    let (location, directory) = made("locked");
    location.lock().unwrap();
    assert_eq!((mode(&directory), mode(&directory.join("ledger.lock"))), (0o700, 0o600));
}

#[test]
fn a_second_server_is_refused_while_the_first_one_lives() {
    let place = Directory::new();
    let lock = place.location().lock().unwrap();
    match place.location().lock() {
        Err(StoreError::InUse(directory)) => assert_eq!(directory, place.path()),
        other => panic!("{other:?}"),
    }
    // Other commands may read and write meanwhile.
    place.open().unwrap().writer().unwrap().close().unwrap();
    drop(lock);
    place.location().lock().unwrap();
}

#[test]
fn a_place_without_a_ledger_is_left_alone() {
    let place = Directory::new();
    assert!(matches!(place.open_existing(), Err(StoreError::Open { path, .. }) if path == place.database()));
    assert_eq!(Store::migration_status(&place.location()).unwrap().len(), SQLITE.len());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn migrations_are_listed_before_and_after_they_run() {
    let place = Directory::new();
    let status = || Store::migration_status(&place.location()).unwrap();
    assert!(status().iter().all(|line| line.applied_at.is_none()));
    // A database that no migration has reached.
    place.connect().execute_batch("create table other (id integer)").unwrap();
    let behind = place.open_existing();
    assert!(matches!(behind, Err(StoreError::Schema(SchemaError::Behind { version: 1 }))), "{behind:?}");

    place.open().unwrap();
    let applied: Vec<_> = status().iter().map(|line| (line.migration.version, line.applied_at)).collect();
    assert!(applied.iter().all(|(_, applied_at)| applied_at.is_some()), "{applied:?}");
    assert_eq!(applied.len(), SQLITE.len());
    place.open().unwrap();
    place.open_existing().unwrap();
    let again: Vec<_> = status().iter().map(|line| (line.migration.version, line.applied_at)).collect();
    assert_eq!(again, applied, "a migration runs once");
}

#[test]
fn a_newer_or_changed_schema_is_refused() {
    type Refusal = fn(&StoreError) -> bool;
    let newer: Refusal = |error| matches!(error, StoreError::Schema(SchemaError::Newer { found: 99, known }) if *known as usize == SQLITE.len());
    let changed: Refusal = |error| matches!(error, StoreError::Schema(SchemaError::Changed { version: 1 }));
    for (sql, refused) in [
        ("insert into schema_migrations values (99, 'later', 'digest', 0)", newer),
        ("update schema_migrations set digest = 'other' where version = 1", changed),
    ] {
        let place = Directory::new();
        place.open().unwrap();
        place.connect().execute_batch(sql).unwrap();
        let before = fs::read(place.database()).unwrap();
        for result in [place.open(), place.open_existing()] {
            let error = result.unwrap_err();
            assert!(refused(&error), "{error:?}");
        }
        assert!(refused(&Store::migration_status(&place.location()).unwrap_err()));
        assert_eq!(fs::read(place.database()).unwrap(), before, "{sql}");
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_kept() {
    let place = Directory::new();
    let content = "precious notes, whatever the name says\n".repeat(200);
    fs::write(place.database(), &content).unwrap();
    for result in [place.open(), place.open_existing()] {
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt(_)), "{error:?}");
    }
    assert_eq!(fs::read_to_string(place.database()).unwrap(), content);
}

/// As `kill -9` leaves them.
#[test]
fn files_copied_from_under_a_writer_hold_all_that_was_committed() {
    let mut ledger = Ledger::on_sqlite();
    let (bank, purse) = (ledger.bank(), ledger.purse());
    for _ in 0..5 {
        ledger.pay(bank, purse, 1);
        let head = ledger.head();
        let copy = Directory::new();
        for file in ["ledger.db", "ledger.db-wal"] {
            fs::copy(ledger.directory().join(file), copy.path().join(file)).unwrap();
        }
        let copied = Ledger::new(Box::new(copy));
        assert_eq!((copied.audit().head, copied.accounts()), (head, ledger.accounts()));
    }
}

#[test]
fn the_last_connection_to_close_leaves_one_file() {
    let mut ledger = Ledger::on_sqlite();
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 1);
    let (directory, head) = (ledger.directory(), ledger.head());
    let log = directory.join("ledger.db-wal");
    assert!(log.exists());
    let kept = ledger.closed();
    assert!(!log.exists());
    let copy = Directory::new();
    fs::copy(directory.join("ledger.db"), copy.path().join("ledger.db")).unwrap();
    assert_eq!(Ledger::new(Box::new(copy)).audit().head, head);
    drop(kept);
}

/// The queries of people who open the database with `sqlite3`.
#[test]
fn the_tables_for_readers_say_what_the_ledger_says() {
    let mut ledger = Ledger::on_sqlite();
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let transfer = ledger.pay(bank, purse, 1_500);
    let sqlite = Connection::open(ledger.directory().join("ledger.db")).unwrap();
    let row = |sql: &str| -> String { sqlite.query_row(sql, (), |row| row.get(0)).unwrap() };
    assert_eq!(
        row("select format('%s %s %s %d %d', id, owner, currency, balance, held) from accounts
             where balance > 0"),
        format!("{purse} 01900000-0000-7000-8000-000000000001 EUR 1500 0")
    );
    assert_eq!(
        row("select format('%s %d %d %d', account_id, seq, amount, balance) from entries where amount < 0"),
        format!("{bank} 1 -1500 -1500")
    );
    assert_eq!(
        row("select format('%s %d %s %s %s %d %s %s', id, seq, status, debit_account, credit_account,
             amount, currency, datetime(created_at / 1000000, 'unixepoch')) from transfers"),
        format!("{} 1 posted {bank} {purse} 1500 EUR 2026-01-01 00:00:00", transfer.id)
    );
}
