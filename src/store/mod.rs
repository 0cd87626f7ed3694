//! The store: what the ledger keeps, behind one contract for every database.
//!
//! A store is three things. [`Writer`] belongs to the posting lane and commits batches: it loads what a
//! batch needs, lets the rule of [`crate::models::posting`] judge it, and writes the journal in one
//! transaction. [`Reader`] belongs to one core and answers queries. [`audit::Source`] lets `verify` walk
//! through everything. Nothing here knows HTTP, tokens or threads; a store never decides about money itself.

pub mod audit;
pub mod migrations;
pub mod sqlite;

use std::path::PathBuf;

use crate::models::posting::{Command, Entry, Outcome};
use crate::models::{Account, AccountId, Head, Timestamp, Transfer, TransferId, User, UserId};

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot work now; the same call may succeed later. Nothing of a batch is known to be applied.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// It holds something that it never wrote.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    /// Its schema and this program do not fit.
    #[error("{0}")]
    Schema(#[from] migrations::SchemaError),
    /// It is in use by another server.
    #[error("{} is in use by another ringledger server", .0.display())]
    InUse(PathBuf),
    /// It cannot be opened.
    #[error("cannot open {}: {detail}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

/// Where the ledger is kept.
#[derive(Debug, Clone)]
pub enum Location {
    /// In an SQLite file in this directory.
    Sqlite {
        /// The data directory.
        directory: PathBuf,
    },
}

impl Location {
    /// Holds the store for one server until the guard is dropped. Taken before the store is opened, so that a
    /// second server changes nothing.
    pub fn lock(&self) -> Result<sqlite::ServerLock, StoreError> {
        match self {
            Self::Sqlite { directory } => sqlite::ServerLock::take(directory),
        }
    }
}

/// An opened store with a current schema.
#[derive(Debug)]
pub enum Store {
    /// SQLite.
    Sqlite(sqlite::Database),
}

/// What the posting lane writes through. Owned by one thread.
#[derive(Debug)]
pub enum Writer {
    /// SQLite.
    Sqlite(sqlite::Writer),
}

/// What one core reads through.
#[derive(Debug)]
pub enum Reader {
    /// SQLite.
    Sqlite(sqlite::Reader),
}

/// A user's row as a login needs it.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user.
    pub user: User,
    /// The password's hash in PHC string form; `None` for a user who cannot log in.
    pub password_hash: Option<String>,
}

/// Which entries of an account are wanted, newest first.
#[derive(Debug, Clone, Copy)]
pub struct EntryQuery {
    /// The account.
    pub account_id: AccountId,
    /// Only entries with a smaller `seq`.
    pub before_seq: Option<u64>,
    /// Only entries at or after this time.
    pub from: Option<Timestamp>,
    /// Only entries before this time.
    pub to: Option<Timestamp>,
    /// How many at most.
    pub limit: u32,
}

/// Which accounts are wanted, oldest first.
#[derive(Debug, Clone, Copy)]
pub struct AccountQuery {
    /// Only this owner's; all if `None`.
    pub owner: Option<UserId>,
    /// Only accounts with a greater id.
    pub after: Option<AccountId>,
    /// How many at most.
    pub limit: u32,
}

impl Store {
    /// Opens the store, making it and applying migrations as needed.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Sqlite { directory } => sqlite::Database::open(directory).map(Self::Sqlite),
        }
    }

    /// Opens a store that must exist and have a current schema, without changing it.
    pub fn open_existing(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Sqlite { directory } => sqlite::Database::open_existing(directory).map(Self::Sqlite),
        }
    }

    /// The migrations of a store, applied or not. Makes and changes nothing.
    pub fn migration_status(location: &Location) -> Result<Vec<migrations::Status>, StoreError> {
        match location {
            Location::Sqlite { directory } => sqlite::Database::migration_status(directory),
        }
    }

    /// The connection of the posting lane.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        match self {
            Self::Sqlite(database) => database.writer().map(Writer::Sqlite),
        }
    }

    /// A connection for one core.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        match self {
            Self::Sqlite(database) => database.reader().map(Reader::Sqlite),
        }
    }

    /// One consistent view of everything, for `verify`.
    pub fn audit(&self) -> Result<sqlite::AuditSource, StoreError> {
        match self {
            Self::Sqlite(database) => database.audit(),
        }
    }

    /// What it is and where, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite(database) => database.describe(),
        }
    }
}

#[expect(clippy::unused_async, reason = "a store behind a socket is awaited; callers cannot tell")]
impl Writer {
    /// Decides and stores a batch. When this returns `Ok`, the outcomes are on stable storage; when it
    /// returns an error, none of them may be told to a caller.
    ///
    /// `clock` is the wall clock's time; the commit time is never before the last event's.
    pub async fn commit(
        &mut self,
        commands: &[Command],
        clock: Timestamp,
    ) -> Result<Vec<Outcome>, StoreError> {
        match self {
            Self::Sqlite(writer) => writer.commit(commands, clock),
        }
    }

    /// Runs a real query: the end of the log.
    pub async fn head(&self) -> Result<Head, StoreError> {
        match self {
            Self::Sqlite(writer) => writer.head(),
        }
    }

    /// Ends the work in order.
    pub fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writer) => writer.close(),
        }
    }
}

#[expect(clippy::unused_async, reason = "a store behind a socket is awaited; callers cannot tell")]
impl Reader {
    /// Runs a real query: the end of the log.
    pub async fn head(&self) -> Result<Head, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.head(),
        }
    }

    /// A user by id.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.user(id),
        }
    }

    /// A user by name, whatever its case.
    pub async fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.credentials(username),
        }
    }

    /// An account by id.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.account(id),
        }
    }

    /// A stretch of accounts.
    pub async fn accounts(&self, query: AccountQuery) -> Result<Vec<Account>, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.accounts(query),
        }
    }

    /// A stretch of an account's entries.
    pub async fn entries(&self, query: EntryQuery) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.entries(query),
        }
    }

    /// A transfer by id.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
        match self {
            Self::Sqlite(reader) => reader.transfer(id),
        }
    }
}
