//! The servers that are compared: what each is and how it is started. Must not know what is measured.

mod children;
mod process;
mod store;
mod wire;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

pub use self::children::Children;
pub use self::process::{Running, Site, SubjectError, operator_token, start};
pub use self::store::{Database, Opened, Store, StoreError, Told};
pub use self::wire::{Reply, Wire, request};

/// A server under test.
#[derive(Debug)]
pub struct Subject {
    /// As the command line names it.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// What it answers.
    pub serves: Serves,
    /// The one store that it can keep a ledger in; none if it can in all, or keeps none.
    pub only: Option<Store>,
    program: Program,
    arguments: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

/// What a subject answers. Each kind answers what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Serves {
    /// The plaintext reply to every request.
    OneReply,
    /// The routes that touch no ledger.
    Bench,
    /// The ledger too, one transfer at a time.
    Ledger,
    /// Batches of transfers too.
    Batches,
}

/// A binary of the workspace, named as its package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// The ledger.
    Ringledger,
    /// The baseline.
    AxumBaseline,
    /// Servers that do as little as a server can.
    Floor,
}

impl Program {
    /// The package and the binary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ringledger => "ringledger",
            Self::AxumBaseline => "axum-baseline",
            Self::Floor => "floor",
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self.name())
    }
}

/// Every subject, in the order of the report.
pub static SUBJECTS: [Subject; 13] = [
    Subject {
        name: "ringledger",
        about: "ringledger as shipped: hyper on one io_uring ring a core, a posting lane, a CPU pool",
        serves: Serves::Batches,
        only: None,
        program: Program::Ringledger,
        arguments: &["--io", "uring"],
        env: &[],
    },
    Subject {
        name: "ringledger-spin",
        about: "ringledger with runtime.busy_poll = always, for cores of its own",
        serves: Serves::Batches,
        only: None,
        program: Program::Ringledger,
        arguments: &["--io", "uring"],
        env: &[("RINGLEDGER__RUNTIME__BUSY_POLL", "always")],
    },
    Subject {
        name: "ringledger-epoll",
        about: "ringledger on epoll, its fallback",
        serves: Serves::Batches,
        only: None,
        program: Program::Ringledger,
        arguments: &["--io", "epoll"],
        env: &[],
    },
    Subject {
        name: "axum",
        about: "the baseline: Axum on tokio's multi-thread runtime with the usual layers, a transaction a request",
        serves: Serves::Batches,
        only: None,
        program: Program::AxumBaseline,
        arguments: &["--variant", "full"],
        env: &[],
    },
    Subject {
        name: "axum-lane",
        about: "the baseline with ringledger's posting lane: what batching alone brings",
        serves: Serves::Batches,
        only: None,
        program: Program::AxumBaseline,
        arguments: &["--variant", "lane"],
        env: &[],
    },
    Subject {
        name: "axum-unordered",
        about: "the baseline without the ledger's total order and chain of hashes: locks of the two accounts alone",
        serves: Serves::Ledger,
        only: Some(Store::Postgres),
        program: Program::AxumBaseline,
        arguments: &["--variant", "unordered"],
        env: &[],
    },
    Subject {
        name: "axum-blocking",
        about: "the baseline without its limit of CPU work: spawn_blocking alone, as many services use it",
        serves: Serves::Batches,
        only: None,
        program: Program::AxumBaseline,
        arguments: &["--variant", "full", "--cpu-permits", "0"],
        env: &[],
    },
    Subject {
        name: "axum-inline",
        about: "the baseline with its queries on the runtime's threads instead of blocking ones",
        serves: Serves::Batches,
        only: Some(Store::Sqlite),
        program: Program::AxumBaseline,
        arguments: &["--variant", "full", "--inline-reads"],
        env: &[],
    },
    Subject {
        name: "axum-bare",
        about: "Axum without layers",
        serves: Serves::Bench,
        only: None,
        program: Program::AxumBaseline,
        arguments: &["--variant", "bare"],
        env: &[],
    },
    Subject {
        name: "floor",
        about: "a raw epoll loop that gives one canned reply",
        serves: Serves::OneReply,
        only: None,
        program: Program::Floor,
        arguments: &["--server", "raw-epoll"],
        env: &[],
    },
    Subject {
        name: "hyper-epoll",
        about: "hyper alone on tokio's sockets, one canned reply",
        serves: Serves::OneReply,
        only: None,
        program: Program::Floor,
        arguments: &["--server", "hyper-epoll"],
        env: &[],
    },
    Subject {
        name: "raw-ring",
        about: "a raw io_uring loop that gives one canned reply",
        serves: Serves::OneReply,
        only: None,
        program: Program::Floor,
        arguments: &["--server", "raw-ring"],
        env: &[],
    },
    Subject {
        name: "raw-ring-spin",
        about: "the raw io_uring loop without ever sleeping",
        serves: Serves::OneReply,
        only: None,
        program: Program::Floor,
        arguments: &["--server", "raw-ring", "--spin"],
        env: &[],
    },
];

impl Subject {
    /// The subject of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SUBJECTS.iter().find(|subject| subject.name == name)
    }

    /// Which binary it is.
    pub const fn program(&self) -> Program {
        self.program
    }

    fn arguments(&self, site: &Site<'_>, listen: &str) -> Vec<String> {
        let owned = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        let data = site.store.data_dir.display().to_string();
        let workers = site.cores.len().to_string();
        let mut arguments = match self.program {
            Program::Ringledger => owned(&[
                "--data",
                &data,
                "serve",
                "--listen",
                listen,
                "--workers",
                &workers,
                "--bench-endpoints",
            ]),
            Program::AxumBaseline => owned(&["--data", &data, "--listen", listen, "--workers", &workers]),
            Program::Floor => owned(&["--listen", listen]),
        };
        arguments.extend(owned(self.arguments));
        arguments
    }
}

/// Where the programs are: all in the directory that cargo builds a profile into.
#[derive(Debug, Clone)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Those beside a program that cargo built. None if its path has no directory above its own.
    pub fn beside(program: &Path) -> Option<Self> {
        let directory = program.parent()?;
        directory.file_name()?;
        directory.parent()?;
        Some(Self { directory: directory.to_owned() })
    }

    /// Where a program is, or would be.
    pub fn path(&self, program: Program) -> PathBuf {
        self.directory.join(program.name())
    }

    /// The profile that they are built with, as cargo names it.
    pub fn profile(&self) -> &str {
        match self.directory.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(profile) => profile,
        }
    }

    /// cargo's target directory.
    pub fn target_dir(&self) -> &Path {
        self.directory.parent().unwrap_or(&self.directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_found() {
        let names: BTreeSet<_> = SUBJECTS.iter().map(|subject| subject.name).collect();
        assert_eq!(names.len(), SUBJECTS.len());
        assert!(names.iter().all(|name| Subject::named(name).is_some_and(|found| found.name == *name)));
        assert!(Subject::named("nginx").is_none());
    }

    #[test]
    fn a_command_line_has_place_store_and_variant() {
        let store = Opened { data_dir: PathBuf::from("/scratch/data"), env: Vec::new(), database: None };
        let binaries = Binaries::beside(Path::new("target/release/loadtest")).expect("a directory");
        let site =
            Site { binaries: &binaries, store: &store, cores: &[0, 1], scratch: Path::new("/scratch") };
        let line = |name| {
            let subject = Subject::named(name).expect("a subject");
            subject.arguments(&site, "127.0.0.1:1").join(" ")
        };
        assert_eq!(
            line("ringledger-epoll"),
            "--data /scratch/data serve --listen 127.0.0.1:1 --workers 2 --bench-endpoints --io epoll"
        );
        assert_eq!(line("axum"), "--data /scratch/data --listen 127.0.0.1:1 --workers 2 --variant full");
        assert_eq!(line("raw-ring-spin"), "--listen 127.0.0.1:1 --server raw-ring --spin");
    }
}
