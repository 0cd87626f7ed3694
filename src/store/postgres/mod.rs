//! The production store: Postgres 13 or later, shared by any number of replicas of the service.
//!
//! Nothing home-made stands between replicas: the lock of the head row orders their batches, and the database keeps
//! everything that they must agree on.

mod audit;
pub mod batch;
mod convert;
mod dial;
mod import;
mod listen;
mod options;
mod pool;
mod prepared;
mod reader;
pub mod rows;
mod schema;
mod target;
mod tls;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

pub use audit::AuditSource;
pub use dial::DialError;
pub use listen::Listener;
pub use options::{Carrier, Options};
pub use reader::Reader;
pub use target::{BadTarget, Target};
pub use writer::Writer;

use dial::{Connector, Dialled, Warned, dial};

use super::StoreError;
use super::migrations::{SchemaError, Status};

/// A database with a current schema.
#[derive(Debug)]
pub struct Database {
    options: Arc<Options>,
    description: String,
}

/// Settings of the server that a ledger stands on.
const SERVER: &str =
    "select current_setting('server_version'), current_setting('server_version_num')::integer,
    current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
    current_setting('server_encoding'), current_setting('synchronous_commit')";
/// The oldest server that is known to work.
const OLDEST_SERVER: i32 = 130_000;

impl Database {
    /// Opens the database, migrating as needed. Refuses a server that forgets commits.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        on_own_runtime(async {
            let client = connect(options, &options.target).await?;
            let server = Server::of(&client).await?;
            schema::migrate(&client).await?;
            Ok(Self::new(options, &server))
        })
    }

    /// Opens a database that must have a current schema. Changes nothing.
    pub fn open_existing(options: &Options) -> Result<Self, StoreError> {
        on_own_runtime(async {
            let client = connect(options, &options.target).await?;
            let server = Server::of(&client).await?;
            match schema::status(&client).await?.iter().find(|line| line.applied_at.is_none()) {
                Some(line) => Err(SchemaError::Behind { version: line.migration.version }.into()),
                None => Ok(Self::new(options, &server)),
            }
        })
    }

    fn new(options: &Options, server: &Server) -> Self {
        let description = format!("{}, version {}", options.target.describe(), server.version);
        Self { options: Arc::new(options.clone()), description }
    }

    /// What `migrate --status` lists. Makes nothing.
    pub fn migration_status(options: &Options) -> Result<Vec<Status>, StoreError> {
        on_own_runtime(async {
            let client = connect(options, &options.target).await?;
            schema::status(&client).await
        })
    }

    /// The connection of the posting lane, made when it is first used.
    pub fn writer(&self) -> Writer {
        Writer::new(Arc::clone(&self.options))
    }

    /// The connections of a core, made when they are first used.
    pub fn reader(&self) -> Result<Reader, StoreError> {
        Reader::new(&self.options)
    }

    /// The connection of a core that statements are read through, made when it is first used. Its long answers are
    /// not in the way of those that requests wait for.
    pub fn statement_reader(&self) -> Result<Reader, StoreError> {
        Reader::new(&Options { connections_per_core: 1, ..(*self.options).clone() })
    }

    /// Hears when any server has committed.
    pub fn listener(&self) -> Listener {
        Listener::new(Arc::clone(&self.options))
    }

    /// One snapshot of everything, up to `seq` at least: from the replica if there is one that has it.
    pub fn audit(&self, seq: u64) -> Result<AuditSource, StoreError> {
        AuditSource::open(&self.options, seq)
    }

    /// A transaction for a whole ledger, on the primary.
    pub fn import(&self) -> Result<AuditSource, StoreError> {
        AuditSource::begin_import(&self.options)
    }

    /// Lets a signing key with this fingerprint (SHA-256) sign tokens of this ledger if it is the first one, or says
    /// whether it is among those that do. A database that does not answer is given up after `commit_timeout`.
    pub fn accept_signing_keys(&self, fingerprints: &[[u8; 32]]) -> Result<bool, StoreError> {
        let Options { target, connect_timeout, commit_timeout, .. } = &*self.options;
        on_own_runtime(async {
            let Dialled { client, .. } = dial(target, Carrier::Tokio, *connect_timeout).await?;
            let asking = async {
                client.batch_execute(&guards(*commit_timeout)).await?;
                schema::accept_signing_keys(&client, fingerprints).await
            };
            timeout(*commit_timeout, asking).await.unwrap_or_else(|_| {
                Err(StoreError::Unavailable(
                    "the database did not say in time whether it knows the keys".into(),
                ))
            })
        })
    }

    /// For people: what and where.
    pub fn describe(&self) -> String {
        self.description.clone()
    }
}

/// What a server says of itself.
struct Server {
    version: String,
}

impl Server {
    async fn of(client: &ClientWrapper) -> Result<Self, StoreError> {
        let row = client.query_one(SERVER, &[]).await?;
        let version: String = rows::get(&row, 0)?;
        if rows::get::<i32>(&row, 1)? < OLDEST_SERVER {
            return Err(StoreError::Unfit(format!("Postgres {version} is too old: 13 or later is needed")));
        }
        // On a standby it is off without harm until it is promoted, and then it is too late.
        if !rows::get::<bool>(&row, 2)? {
            return Err(StoreError::Unfit(
                "the server runs with fsync = off: after a crash of its host the ledger would be lost or damaged; \
                 set fsync = on"
                    .into(),
            ));
        }
        if !rows::get::<bool>(&row, 3)? {
            tracing::warn!(
                "the server runs with full_page_writes = off: unless its file system writes whole pages, a crash of \
                 its host can damage the ledger"
            );
        }
        let synchronous_commit: String = rows::get(&row, 5)?;
        if synchronous_commit == "off" {
            tracing::warn!(
                "the server's default is synchronous_commit = off: the ledger sets it to on for each of its commits, but \
                 what others write there can be lost in a crash"
            );
        }
        let encoding: String = rows::get(&row, 4)?;
        if encoding != "UTF8" {
            return Err(StoreError::Unfit(format!(
                "the database has the encoding {encoding}, which cannot hold all text: make one with \
                 `create database NAME encoding 'UTF8' template template0`"
            )));
        }
        Ok(Self { version })
    }
}

/// How long a start or a command may wait for another one's lock: longer than any migration of a young ledger, and
/// short enough that a start beside a server that has stopped says so.
const ADMINISTRATION: Duration = Duration::from_mins(1);

/// What keeps a session from holding or awaiting a lock for ever: when this side stops in the midst of a transaction,
/// when its host has gone, when it waits for somebody of whom that is true. An abandoned session that waits for a lock
/// would not notice that nobody reads its answer.
///
/// The one that stopped gives way well before those who wait give up.
fn guards(lock_timeout: Duration) -> String {
    format!(
        "set idle_in_transaction_session_timeout = {}; set tcp_user_timeout = '20s'; \
         set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; set tcp_keepalives_count = 3; \
         set lock_timeout = {}",
        (lock_timeout / 3).as_millis(),
        lock_timeout.as_millis()
    )
}

/// A connection of its own, on tokio's sockets.
async fn connect(options: &Options, target: &Target) -> Result<ClientWrapper, StoreError> {
    let Dialled { client, place, .. } = dial(target, Carrier::Tokio, options.connect_timeout).await?;
    client.batch_execute(&guards(ADMINISTRATION)).await?;
    tracing::debug!(%place, "connected to Postgres");
    Ok(client)
}

/// For what happens once and on no core: opening, migrating.
fn on_own_runtime<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    runtime()?.block_on(work)
}

fn runtime() -> Result<Runtime, StoreError> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| StoreError::Unavailable(format!("no runtime for the database: {error}")))
}

/// Whether a session is of no more use after this error: the server ends it (class 57P, and its time limits 25P03 and
/// 25P04), takes no writes on it, as a primary that became a standby (25006), has it in a transaction that failed
/// (25P02), or does not know its statements any more (0A000, 26000, 42P05).
fn ends_session(code: &SqlState) -> bool {
    const ENDS: [&str; 7] = ["25006", "25P02", "25P03", "25P04", "0A000", "26000", "42P05"];
    code.code().starts_with("57P") || ENDS.contains(&code.code())
}

/// What the server or the library says, without the statement.
fn detail(error: &Error) -> String {
    use std::error::Error as _;
    match (error.as_db_error(), error.source()) {
        (Some(told), _) => format!("{} ({})", told.message(), told.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl From<DialError> for StoreError {
    fn from(error: DialError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<Error> for StoreError {
    /// Broken constraints (class 23) and damaged pages (XX001, XX002) are rows that we did not write so.
    fn from(error: Error) -> Self {
        let damaged = |code: &SqlState| {
            code.code().starts_with("23")
                || [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED].contains(code)
        };
        if error.code().is_some_and(damaged) {
            Self::Corrupt(detail(&error))
        } else {
            Self::Unavailable(detail(&error))
        }
    }
}
