//! The embedded store: one SQLite file in WAL mode, one writer, a read connection for every core.
//!
//! Durable means `synchronous = FULL`: a commit returns after its frames of the write-ahead log are synced
//! (<https://www.sqlite.org/pragma.html#pragma_synchronous>).

mod audit;
mod check;
mod checkpoint;
mod convert;
mod import;
mod reader;
mod rows;
mod statements;
mod write;
mod writer;

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

pub use audit::AuditSource;
pub use reader::Reader;
pub use statements::StatementReader;
pub use writer::Writer;

use super::StoreError;
use super::migrations::{self, Applied, SchemaError, Status};

/// The database file in the data directory.
const DATABASE_FILE: &str = "ledger.db";
/// Held locked while a server runs.
const LOCK_FILE: &str = "ledger.lock";
/// How long a connection waits for another process's write (`user add` beside a server) before it gives up.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read on a core may wait for a lock before its caller gets a 503. Readers of a WAL wait only while
/// another process recovers it; a core that waits serves nobody.
const READER_BUSY_TIMEOUT: Duration = Duration::from_millis(5);
/// The writer's page cache in KiB: it holds the tails of a few thousand accounts, which every batch touches. With
/// SQLite's default of 2,000 a batch of 256 reads most of its pages again (8,400 against 17,000 transfers a
/// second). More is no better: after a balance of a tree, a commit looks at every page in the cache, and with
/// 64 MiB batches of 32 were a tenth slower (`cargo bench --bench store`).
const WRITER_CACHE_KIB: i64 = 16 << 10;
/// How many statements each connection keeps prepared; more than there are.
const STATEMENT_CACHE: usize = 32;

/// An SQLite database with a current schema.
#[derive(Debug)]
pub struct Database {
    directory: PathBuf,
}

/// Keeps a second server away while it lives. The system drops it with the process.
#[derive(Debug)]
pub struct ServerLock {
    _file: File,
}

impl ServerLock {
    /// Keeps other servers away from this directory, making it (mode 0700) where it is missing.
    pub fn take(directory: &Path) -> Result<Self, StoreError> {
        make_directory(directory)?;
        let path = directory.join(LOCK_FILE);
        let open = |error: std::io::Error| StoreError::Open { path: path.clone(), detail: error.to_string() };
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(open)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(directory.to_owned())),
            Err(TryLockError::Error(error)) => Err(open(error)),
        }
    }
}

impl Database {
    /// Opens the database in `directory`, making both (the directory with mode 0700) and migrating as needed. A file
    /// that is found to be damaged is named and left as it is.
    pub fn open(directory: &Path) -> Result<Self, StoreError> {
        let database = Self { directory: directory.to_owned() };
        make_directory(directory)?;
        database.prepare().map_err(|error| in_file(error, &database.path()))?;
        Ok(database)
    }

    fn prepare(&self) -> Result<(), StoreError> {
        let mut connection =
            self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        check::check(&connection, &self.path())?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        migrate(&mut connection)
    }

    /// Opens a database that must exist and have a current schema. Makes and changes nothing.
    pub fn open_existing(directory: &Path) -> Result<Self, StoreError> {
        let database = Self { directory: directory.to_owned() };
        if !database.path().exists() {
            return Err(StoreError::Open { path: database.path(), detail: "there is no such file".into() });
        }
        let status = Self::migration_status(directory)?;
        match status.iter().find(|line| line.applied_at.is_none()) {
            Some(line) => Err(SchemaError::Behind { version: line.migration.version }.into()),
            None => Ok(database),
        }
    }

    /// What `migrate --status` lists. Makes nothing.
    pub fn migration_status(directory: &Path) -> Result<Vec<Status>, StoreError> {
        let database = Self { directory: directory.to_owned() };
        if !database.path().exists() {
            return Ok(migrations::status(migrations::SQLITE, &[])?);
        }
        let connection = database.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        Ok(migrations::status(migrations::SQLITE, &applied(&connection)?)?)
    }

    /// The one connection that writes.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = self.connect(flags)?;
        connection.pragma_update(None, "cache_size", -WRITER_CACHE_KIB)?;
        Writer::new(connection, self.connect(flags)?)
    }

    /// A connection that reads.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(READER_BUSY_TIMEOUT)?;
        Ok(Reader::new(connection))
    }

    /// What statements of all cores are read through: a thread with a connection of its own.
    pub fn statement_reader(&self) -> Result<StatementReader, StoreError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "cache_size", -statements::CACHE_KIB)?;
        StatementReader::start(connection)
    }

    /// One snapshot of everything.
    pub fn audit(&self) -> Result<AuditSource, StoreError> {
        AuditSource::new(self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?)
    }

    /// A transaction for a whole ledger.
    pub fn import(&self) -> Result<AuditSource, StoreError> {
        AuditSource::begin_import(self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?)
    }

    /// For people: what and where.
    pub fn describe(&self) -> String {
        format!("SQLite {} at {}", rusqlite::version(), self.path().display())
    }

    fn path(&self) -> PathBuf {
        self.directory.join(DATABASE_FILE)
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, StoreError> {
        let path = self.path();
        // Every connection stays on one thread, so SQLite's own mutexes would only cost.
        let connection = Connection::open_with_flags(&path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|error| StoreError::Open { path, detail: error.to_string() })?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "temp_store", "FILE")?;
        Ok(connection)
    }
}

/// The database file in a data directory, from the root on where the system tells the working directory.
pub(super) fn whole_path(directory: &Path) -> PathBuf {
    let path = directory.join(DATABASE_FILE);
    std::path::absolute(&path).unwrap_or(path)
}

/// Makes the data directory with mode 0700 where it is missing. It is on disk when this returns: SQLite syncs the names
/// in it, but not its own.
///
/// SQLite keeps the mode of its `-wal` and `-shm` files like that of the database, so the directory's mode
/// is what guards all of them.
pub fn make_directory(directory: &Path) -> Result<(), StoreError> {
    make_and_sync(directory)
        .map_err(|error| StoreError::Open { path: directory.to_owned(), detail: error.to_string() })
}

fn make_and_sync(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    make_and_sync(parent)?;
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    File::open(parent)?.sync_all()
}

/// Names the file that the error is about.
fn in_file(error: StoreError, path: &Path) -> StoreError {
    let named = |detail: String| format!("{}: {detail}", path.display());
    match error {
        StoreError::Corrupt(detail) => StoreError::Corrupt(named(detail)),
        StoreError::Unavailable(detail) => StoreError::Unavailable(named(detail)),
        other @ (StoreError::Schema(_)
        | StoreError::InUse(_)
        | StoreError::Unfit(_)
        | StoreError::Open { .. }) => other,
    }
}

/// Applies what is missing in one transaction; two programs that start at once do it one after the other.
fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let pending = |connection: &Connection| -> Result<Vec<Status>, StoreError> {
        let mut status = migrations::status(migrations::SQLITE, &applied(connection)?)?;
        status.retain(|line| line.applied_at.is_none());
        Ok(status)
    };
    if pending(connection)?.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(
        "create table if not exists schema_migrations (
            version integer not null primary key, name text not null, digest text not null,
            applied_at integer not null
        ) strict",
    )?;
    for Status { migration, .. } in pending(&transaction)? {
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "insert into schema_migrations (version, name, digest, applied_at)
             values (?1, ?2, ?3, cast(unixepoch('subsec') * 1000000 as integer))",
            (migration.version, migration.name, migration.digest()),
        )?;
    }
    Ok(transaction.commit()?)
}

fn applied(connection: &Connection) -> Result<Vec<Applied>, StoreError> {
    if !connection.table_exists(None, "schema_migrations")? {
        return Ok(Vec::new());
    }
    let mut statement =
        connection.prepare("select version, digest, applied_at from schema_migrations order by version")?;
    let rows = statement
        .query_map((), |row| Ok(Applied { version: row.get(0)?, digest: row.get(1)?, at: row.get(2)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match &error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::QueryReturnedNoRows => Self::Corrupt(error.to_string()),
            other => match other.sqlite_error_code() {
                Some(
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation,
                ) => Self::Corrupt(error.to_string()),
                _ => Self::Unavailable(error.to_string()),
            },
        }
    }
}
