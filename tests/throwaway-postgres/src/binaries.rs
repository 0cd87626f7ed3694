//! Where the programs of Postgres are. Runs none of them.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a cluster and its standby are made with.
const PROGRAMS: [&str; 3] = ["initdb", "postgres", "pg_basebackup"];

/// Directories outside of PATH as (parent, start of the name before the version): Debian and Ubuntu, the packages of
/// postgresql.org for Fedora and its kin. The programs are in `bin` below.
const LAYOUTS: [(&str, &str); 2] = [("/usr/lib/postgresql", ""), ("/usr", "pgsql-")];

/// The installed server programs, all from one directory and so of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    directory: PathBuf,
}

/// There is no Postgres to make clusters with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no Postgres here: initdb, postgres and pg_basebackup are neither on PATH nor in /usr/lib/postgresql/*/bin or \
     /usr/pgsql-*/bin. Get version 13 or newer with `apt-get install postgresql` (Debian, Ubuntu), `dnf install \
     postgresql-server` (Fedora) or `brew install postgresql` (macOS)"
)]
pub struct NoPostgres;

impl Binaries {
    /// Those on PATH, else the newest of the system's layout.
    pub fn find() -> Result<Self, NoPostgres> {
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).flat_map(|directory| [linked(&directory), Some(directory)]);
        let directory = on_path.flatten().chain(installed()).find(|directory| is_complete(directory));
        directory.map(|directory| Self { directory }).ok_or(NoPostgres)
    }

    /// The directory that they are in.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// One of them, with nothing of libpq's environment that could change what it does, and messages in English.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.directory.join(program));
        for (name, _) in env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        command
    }
}

fn is_complete(directory: &Path) -> bool {
    PROGRAMS.iter().all(|program| directory.join(program).is_file())
}

/// Where a link to `initdb` leads: links are sometimes made for a few of the programs only.
fn linked(directory: &Path) -> Option<PathBuf> {
    let target = fs::canonicalize(directory.join(PROGRAMS[0])).ok()?;
    target.parent().map(Path::to_owned)
}

/// All `bin` directories of the known layouts, newest version first.
fn installed() -> Vec<PathBuf> {
    let mut found: Vec<_> = LAYOUTS.iter().flat_map(|(parent, prefix)| versions(parent, prefix)).collect();
    found.sort_by_key(|&(version, _)| std::cmp::Reverse(version));
    found.into_iter().map(|(_, directory)| directory).collect()
}

fn versions(parent: &str, prefix: &str) -> Vec<(u32, PathBuf)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let version = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let number = name.to_str()?.strip_prefix(prefix)?.parse().ok()?;
        Some((number, entry.path().join("bin")))
    };
    entries.filter_map(version).collect()
}
