//! The store: what the ledger keeps, behind one contract for every database.
//!
//! A store is three things. [`Writer`] belongs to the posting lane and commits batches: it loads what a
//! batch needs, lets the rule of [`crate::models::posting`] judge it, and writes the journal in one
//! transaction. [`Reader`] belongs to one core and answers queries. [`audit::Source`] lets `verify` walk
//! through everything. Nothing here knows HTTP, tokens or threads; a store never decides about money itself.

pub mod audit;
mod columns;
mod events;
pub mod import;
mod keys;
pub mod migrations;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(not(feature = "postgres"))]
#[path = "postgres_left_out.rs"]
pub mod postgres;
mod reader;
pub mod sqlite;
pub mod statements;

use std::path::PathBuf;

use self::audit::AuditSource;
pub use self::reader::Reader;

use crate::models::posting::{Command, Outcome};
use crate::models::transfer::Reference;
use crate::models::{AccountId, Head, IdempotencyKey, Timestamp, Transfer, TransferStatus, User, UserId};

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
    /// It is of a kind, or set up in a way, that no ledger can stand on.
    #[error("{0}")]
    Unfit(String),
    /// It cannot be opened.
    #[error("cannot open {}: {detail}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
}

/// The wall clock's time, asked for when it is needed.
pub type Clock<'a> = &'a (dyn Fn() -> Timestamp + Sync);

/// Where the ledger is kept.
#[derive(Debug, Clone)]
pub enum Location {
    /// In an SQLite file in this directory.
    Sqlite {
        /// The data directory.
        directory: PathBuf,
    },
    /// In a Postgres database.
    Postgres(Box<postgres::Options>),
}

impl Location {
    /// Holds a store that serves one server only until the guard is dropped. Taken before the store is opened, so
    /// that a second server changes nothing. `None` for a store that any number of servers share.
    pub fn lock(&self) -> Result<Option<sqlite::ServerLock>, StoreError> {
        match self {
            Self::Sqlite { directory } => sqlite::ServerLock::take(directory).map(Some),
            Self::Postgres(_) => Ok(None),
        }
    }

    /// Which store it is and where, without secrets; the replica's where that one is meant and there is one.
    pub fn describe(&self, replica: bool) -> String {
        match self {
            Self::Sqlite { directory } => format!("SQLite at {}", sqlite::whole_path(directory).display()),
            Self::Postgres(options) => {
                options.replica.as_ref().filter(|_| replica).unwrap_or(&options.target).describe()
            }
        }
    }
}

/// An opened store with a current schema.
#[derive(Debug)]
pub enum Store {
    /// SQLite.
    Sqlite(sqlite::Database),
    /// Postgres.
    Postgres(postgres::Database),
}

/// What the posting lane writes through. Owned by one thread.
#[derive(Debug)]
pub enum Writer {
    /// SQLite.
    Sqlite(sqlite::Writer),
    /// Postgres.
    Postgres(postgres::Writer),
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

/// Which transfers are wanted, newest first.
#[derive(Debug, Clone, Copy)]
pub struct TransferQuery<'a> {
    /// The index that is walked.
    pub by: TransferIndex<'a>,
    /// Only transfers with this `seq` or a greater one.
    pub from_seq: u64,
    /// Only transfers with a smaller `seq`.
    pub before_seq: u64,
    /// How many rows of the index are looked at.
    pub limit: u32,
}

/// What transfers are found by. Each is an index of the store, so that no walk goes past what is not wanted.
#[derive(Debug, Clone, Copy)]
pub enum TransferIndex<'a> {
    /// Nothing: all there are.
    Seq,
    /// The key they were asked with, whoever used it.
    Key(&'a IdempotencyKey),
    /// Their reference.
    Reference(&'a Reference),
    /// Where they stand; no transfer is found as posted, as nearly all are.
    Unposted(TransferStatus),
    /// These accounts, if they were posted when they were made.
    Direct(&'a [AccountId]),
    /// These accounts, if they began as holds.
    Holds(&'a [AccountId]),
}

/// What was found on a stretch of an index, in descending order of `seq`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stretch {
    /// Each once.
    pub transfers: Vec<Transfer>,
    /// The rest has a smaller `seq` than this one; `None` at the end. Fewer transfers than rows may be found: an
    /// account's entries tell of holds as well.
    pub rest: Option<u64>,
}

impl Store {
    /// Opens the store, making it and applying migrations as needed.
    pub fn open(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Sqlite { directory } => sqlite::Database::open(directory).map(Self::Sqlite),
            Location::Postgres(options) => postgres::Database::open(options).map(Self::Postgres),
        }
    }

    /// Opens a store that must exist and have a current schema, without changing it.
    pub fn open_existing(location: &Location) -> Result<Self, StoreError> {
        match location {
            Location::Sqlite { directory } => sqlite::Database::open_existing(directory).map(Self::Sqlite),
            Location::Postgres(options) => postgres::Database::open_existing(options).map(Self::Postgres),
        }
    }

    /// The migrations of a store, applied or not. Makes and changes nothing.
    pub fn migration_status(location: &Location) -> Result<Vec<migrations::Status>, StoreError> {
        match location {
            Location::Sqlite { directory } => sqlite::Database::migration_status(directory),
            Location::Postgres(options) => postgres::Database::migration_status(options),
        }
    }

    /// The connection of the posting lane.
    pub fn writer(&self) -> Result<Writer, StoreError> {
        match self {
            Self::Sqlite(database) => database.writer().map(Writer::Sqlite),
            Self::Postgres(database) => Ok(Writer::Postgres(database.writer())),
        }
    }

    /// A connection for one core.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        match self {
            Self::Sqlite(database) => database.reader().map(Reader::Sqlite),
            Self::Postgres(database) => database.reader().map(Reader::Postgres),
        }
    }

    /// Hears when other servers commit, of a store that several share.
    pub fn listener(&self) -> Option<postgres::Listener> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(database) => Some(database.listener()),
        }
    }

    /// One consistent view of everything, for `verify`.
    pub fn audit(&self) -> Result<AuditSource, StoreError> {
        self.audit_with(0)
    }

    /// The same, of a view that is known to reach to `seq`: a replica may lag behind it.
    pub fn audit_with(&self, seq: u64) -> Result<AuditSource, StoreError> {
        match self {
            Self::Sqlite(database) => database.audit().map(AuditSource::Sqlite),
            Self::Postgres(database) => database.audit(seq).map(AuditSource::Postgres),
        }
    }

    /// Lets signing keys, known by their fingerprints, sign tokens of this ledger if they are the first that ask or one of
    /// them may already: who has that one may bring others. Says whether they may now. A store of one server takes every
    /// key.
    pub fn accept_signing_keys(&self, fingerprints: &[[u8; 32]]) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(true),
            Self::Postgres(database) => database.accept_signing_keys(fingerprints),
        }
    }

    /// What it is and where, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Sqlite(database) => database.describe(),
            Self::Postgres(database) => database.describe(),
        }
    }
}

impl Writer {
    /// Decides and stores a batch. When this returns `Ok`, the outcomes are on stable storage; when it
    /// returns an error, none of them may be told to a caller.
    ///
    /// `clock` is read when nobody else can commit any more, so that the clocks of several servers do not disorder
    /// the log; the commit time is never before the last event's.
    pub async fn commit(
        &mut self,
        commands: &[Command],
        clock: Clock<'_>,
    ) -> Result<Vec<Outcome>, StoreError> {
        match self {
            Self::Sqlite(writer) => writer.commit(commands, clock),
            Self::Postgres(writer) => writer.commit(commands, clock).await,
        }
    }

    /// The `seq` of the last event when the last batch was stored; 0 where that is not known.
    pub fn last_seq(&self) -> u64 {
        match self {
            Self::Sqlite(writer) => writer.last_seq(),
            Self::Postgres(writer) => writer.last_seq(),
        }
    }

    /// Runs a real query: the end of the log.
    pub async fn head(&mut self) -> Result<Head, StoreError> {
        match self {
            Self::Sqlite(writer) => writer.head(),
            Self::Postgres(writer) => writer.head().await,
        }
    }

    /// The first time limit of a pending transfer that is up at `clock`, or at the time that a batch of now would have if
    /// that is later. Fails at once while the way to the store is known to be lost.
    pub async fn first_due(&mut self, clock: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        match self {
            Self::Sqlite(writer) => writer.first_due(clock),
            Self::Postgres(writer) => writer.first_due(clock).await,
        }
    }

    /// Ends the work in order.
    pub fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(writer) => writer.close(),
            Self::Postgres(_) => Ok(()),
        }
    }
}
