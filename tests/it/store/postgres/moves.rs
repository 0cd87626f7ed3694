//! Between Postgres and SQLite.

use ringledger::store::Location;

use super::{Database, PATIENCE};
use crate::store::contract::files::{content, exported, imported};
use crate::store::kinds;
use crate::store::ledger::{Fixture, Ledger};
use crate::support::wait_until;

/// A data directory.
struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap())
    }

    fn connect(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.0.path().join("ledger.db")).unwrap()
    }
}

impl Fixture for Directory {
    fn location(&self) -> Location {
        Location::Sqlite { directory: self.0.path().to_owned() }
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

#[test]
fn every_kind_of_event_moves_from_sqlite_to_postgres_and_back() {
    let mut sqlite = Ledger::new(Box::new(Directory::new()));
    kinds::write(&mut sqlite);
    let file = exported(&sqlite.store);
    let postgres = Database::new().ledger();
    imported(&postgres.store, &file).unwrap();
    assert_eq!(content(&postgres), content(&sqlite));
    assert_eq!(exported(&postgres.store), file);
    let back = Ledger::new(Box::new(Directory::new()));
    imported(&back.store, &file).unwrap();
    assert_eq!(content(&back), content(&sqlite));
}

/// Between the look whether a database is empty and the end of an import, nobody else can write.
#[test]
fn nobody_writes_beside_an_import() {
    let database = Database::new();
    let store = database.open().unwrap();
    let importer = store.importer().unwrap();
    let (told, done) = std::sync::mpsc::channel();
    let beside = std::thread::spawn({
        let database = database.clone();
        move || {
            let bank = database.ledger().bank();
            told.send(()).unwrap();
            bank
        }
    });
    let waiting = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    wait_until(PATIENCE, || match database.query(waiting)[0][0].as_str() {
        "0" => Err("nobody waits".to_owned()),
        _ => Ok(()),
    });
    assert!(done.try_recv().is_err(), "an account was opened beside an import");
    drop(importer);
    done.recv_timeout(PATIENCE).unwrap();
    let bank = beside.join().unwrap();
    let ledger = Ledger::new(Box::new(database));
    assert_eq!(ledger.accounts()[0].id, bank);
}
