//! Schema migrations: numbered SQL files, applied in order, each once, with the digest of what was applied.
//!
//! Shared by every store; a store only says how to read and write the list of applied ones.

use sha2::{Digest, Sha256};

use crate::models::Timestamp;

/// A migration that this program carries.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// Its number, from 1 without gaps.
    pub version: u32,
    /// What it is about.
    pub name: &'static str,
    /// What it runs.
    pub sql: &'static str,
}

impl Migration {
    /// SHA-256 of the SQL in hexadecimal, kept so that an edited migration is noticed.
    pub fn digest(&self) -> String {
        const_hex::encode(Sha256::digest(self.sql))
    }
}

/// A migration that a store has run.
#[derive(Debug, Clone)]
pub struct Applied {
    /// Its number.
    pub version: u32,
    /// The digest of the SQL that ran.
    pub digest: String,
    /// When it ran.
    pub at: Timestamp,
}

/// One line of `migrate --status`.
#[derive(Debug, Clone)]
pub struct Status {
    /// The migration.
    pub migration: Migration,
    /// When it was applied; `None` if it is still to come.
    pub applied_at: Option<Timestamp>,
}

/// A store's schema and this program do not fit.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A newer program has migrated the store.
    #[error(
        "the store has schema version {found}, this program knows {known}: run a newer ringledger \
         (before 1.0 servers of different versions cannot share a store)"
    )]
    Newer {
        /// The store's version.
        found: u32,
        /// The newest version here.
        known: u32,
    },
    /// A migration has not run yet.
    #[error(
        "migration {version} is not applied: stop all servers of the older version, then run `ringledger migrate`"
    )]
    Behind {
        /// Its number.
        version: u32,
    },
    /// A migration was changed after it ran.
    #[error("migration {version} differs from the one that was applied")]
    Changed {
        /// Its number.
        version: u32,
    },
}

/// The migrations of SQLite stores.
pub const SQLITE: &[Migration] = &[
    Migration { version: 1, name: "ledger", sql: include_str!("migrations/sqlite/0001_ledger.sql") },
    Migration { version: 2, name: "search", sql: include_str!("migrations/sqlite/0002_search.sql") },
    Migration { version: 3, name: "outcomes", sql: include_str!("migrations/sqlite/0003_outcomes.sql") },
];

/// The migrations of Postgres stores.
pub const POSTGRES: &[Migration] = &[
    Migration { version: 1, name: "ledger", sql: include_str!("migrations/postgres/0001_ledger.sql") },
    Migration { version: 2, name: "search", sql: include_str!("migrations/postgres/0002_search.sql") },
    Migration { version: 3, name: "outcomes", sql: include_str!("migrations/postgres/0003_outcomes.sql") },
];

/// Which of `known` have run and which are to come, or why the two do not fit.
pub fn status(known: &[Migration], applied: &[Applied]) -> Result<Vec<Status>, SchemaError> {
    let newest = known.last().map_or(0, |migration| migration.version);
    if let Some(newer) = applied.iter().map(|row| row.version).filter(|&version| version > newest).max() {
        return Err(SchemaError::Newer { found: newer, known: newest });
    }
    known.iter().map(|migration| status_of(migration, applied)).collect()
}

fn status_of(migration: &Migration, applied: &[Applied]) -> Result<Status, SchemaError> {
    let row = applied.iter().find(|row| row.version == migration.version);
    match row {
        Some(row) if row.digest != migration.digest() => {
            Err(SchemaError::Changed { version: migration.version })
        }
        _ => Ok(Status { migration: *migration, applied_at: row.map(|row| row.at) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_run_from_one_without_gaps() {
        for known in [SQLITE, POSTGRES] {
            for (migration, version) in known.iter().zip(1..) {
                assert_eq!(migration.version, version);
            }
        }
    }

    #[test]
    fn a_newer_or_changed_schema_is_refused() {
        let applied = |version, digest: String| Applied { version, digest, at: Timestamp::EPOCH };
        let good = applied(1, SQLITE[0].digest());
        assert!(status(SQLITE, &[]).unwrap()[0].applied_at.is_none());
        assert!(status(SQLITE, std::slice::from_ref(&good)).unwrap()[0].applied_at.is_some());
        let newer = status(SQLITE, &[good, applied(99, String::new())]);
        assert!(matches!(newer, Err(SchemaError::Newer { found: 99, .. })));
        let changed = status(SQLITE, &[applied(1, "0".into())]);
        assert!(matches!(changed, Err(SchemaError::Changed { version: 1 })));
    }
}
