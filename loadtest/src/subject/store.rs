//! The stores that subjects can keep a ledger in, and a fresh one for each process. A throwaway Postgres cluster has
//! its place here.

use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

/// Where a subject keeps its ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Store {
    /// A file in the data directory.
    Sqlite,
    /// A cluster of its own, from the installed `initdb` and `pg_ctl`.
    Postgres,
}

/// A store that is ready for one process, and empty.
#[derive(Debug)]
pub struct Opened {
    /// What the subject gets as its data directory.
    pub data_dir: PathBuf,
    /// What it finds in its environment.
    pub env: Vec<(&'static str, String)>,
}

/// Why there is no store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// ringledger has none.
    #[error("ringledger has no Postgres store yet; --store sqlite works")]
    NoPostgres,
    /// The directory cannot be made.
    #[error("cannot make a data directory: {0}")]
    Io(#[from] io::Error),
}

impl Store {
    /// Says before anything is started whether stores of this kind can be opened here.
    pub const fn check(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite => Ok(()),
            Self::Postgres => Err(StoreError::NoPostgres),
        }
    }

    /// A fresh, empty store whose files are in `scratch`; it lasts as long as that directory.
    pub fn open(self, scratch: &Path) -> Result<Opened, StoreError> {
        self.check()?;
        let data_dir = scratch.join("data");
        Ok(Opened { data_dir, env: Vec::new() })
    }
}
