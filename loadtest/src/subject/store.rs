//! The stores that subjects can keep a ledger in, and a fresh one for each process.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;
use throwaway_postgres::{Binaries, Cluster, ClusterOptions, NoPostgres};

use super::Children;
use super::children::scratch_root;

/// Where a subject keeps its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// A file in the data directory.
    Sqlite,
    /// A cluster of its own, from the installed programs of Postgres.
    Postgres,
}

/// A store that is ready for one process, and empty.
#[derive(Debug)]
pub struct Opened {
    /// What the subject gets as its data directory.
    pub data_dir: PathBuf,
    /// What it finds in its environment.
    pub env: Vec<(&'static str, String)>,
    /// The server that keeps the ledger, if it is not the subject itself.
    pub database: Option<Arc<Database>>,
}

/// A Postgres server that ends with its last user, or with this process.
#[derive(Debug)]
pub struct Database {
    /// Its first process, which has started all others.
    pub pid: u32,
    /// What it is and how it is set, for the report.
    pub told: Told,
    cluster: Mutex<Option<Cluster>>,
}

/// Names and words for the environment of a report.
pub type Told = Vec<(&'static str, String)>;

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nothing to make a cluster from.
    #[error(transparent)]
    NoPostgres(#[from] NoPostgres),
    /// A cluster does not start or answer.
    #[error("a throwaway Postgres cluster: {0}")]
    Postgres(#[from] throwaway_postgres::Error),
    /// The directory cannot be made.
    #[error("cannot make a data directory: {0}")]
    Io(#[from] io::Error),
    /// A cluster that answers something else than it was asked.
    #[error("a throwaway Postgres cluster answers {0:?}")]
    Answer(Vec<Vec<String>>),
}

/// What an operator sets before anything else; all the rest is as `initdb` leaves it, so a commit waits for the disk. A
/// gigabyte of buffers holds a whole ledger here, and there are connections enough for any subject's pools.
const SETTINGS: [(&str, &str); 2] = [("shared_buffers", "1GB"), ("max_connections", "200")];

/// What a reader must know of a server, beside its version.
const TOLD_SETTINGS: [&str; 7] = [
    "shared_buffers",
    "max_connections",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "max_wal_size",
];

/// The database of the ledger.
const LEDGER: &str = "ledger";

impl Store {
    /// As the command line names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// Says before anything is started whether stores of this kind can be opened here.
    pub fn check(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite => Ok(()),
            Self::Postgres => Ok(Binaries::find().map(drop)?),
        }
    }

    /// A fresh, empty store, with a data directory in `scratch`. A subject must end before its store is dropped.
    pub fn open(self, scratch: &Path, children: &Children) -> Result<Opened, StoreError> {
        let data_dir = scratch.join("data");
        match self {
            Self::Sqlite => Ok(Opened { data_dir, env: Vec::new(), database: None }),
            Self::Postgres => {
                let (database, url) = children.database(Database::start)?;
                Ok(Opened { data_dir, env: vec![("DATABASE_URL", url)], database: Some(database) })
            }
        }
    }
}

impl Database {
    /// A server with one empty database, and the URL of that.
    fn start() -> Result<(Self, String), StoreError> {
        // The directory is the same each time, so that `initdb` runs once and its result is copied.
        let options = ClusterOptions::new().parent(scratch_root());
        let options = SETTINGS.iter().fold(options, |options, (name, value)| options.setting(name, value));
        let cluster = Cluster::start(&options)?;
        cluster.query("postgres", &format!("create database {LEDGER}"))?;
        let (pid, told) = told(&cluster)?;
        let url = cluster.url(LEDGER);
        Ok((Self { pid, told, cluster: Mutex::new(Some(cluster)) }, url))
    }

    /// Ends the server and removes its files.
    pub(super) fn end(&self) {
        drop(self.cluster.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// The id of the first process, and what the report tells of the server.
fn told(cluster: &Cluster) -> Result<(u32, Told), StoreError> {
    let shown: Vec<_> =
        TOLD_SETTINGS.iter().map(|name| format!("'{name} ' || current_setting('{name}')")).collect();
    let sql = format!(
        "select split_part(pg_read_file('postmaster.pid'), E'\\n', 1), current_setting('server_version'), \
         concat_ws(', ', {})",
        shown.join(", ")
    );
    let rows = cluster.query(LEDGER, &sql)?;
    read_told(&rows).ok_or(StoreError::Answer(rows))
}

fn read_told(rows: &[Vec<String>]) -> Option<(u32, Told)> {
    let [row] = rows else { return None };
    let [pid, version, settings] = row.as_slice() else { return None };
    let told = vec![
        ("store", format!("Postgres {version}, on all cores, a fresh cluster for each measurement")),
        ("Postgres settings", format!("{settings}; all else as initdb leaves it")),
    ];
    Some((pid.parse().ok()?, told))
}
