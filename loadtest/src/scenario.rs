//! What is measured: each scenario's load, where server and client run, and who can take part. Must not know in which
//! order or how often it runs.

mod idle;
mod ledger;
mod load;
mod start;

use std::io;
use std::time::Duration;

use crate::client::ClientError;
use crate::subject::{Serves, Store, Subject, SubjectError};

pub use self::idle::{measure as measure_idle, note as idle_note};
pub use self::load::{Load, Observed, observe, prepare};
pub use self::start::measure as measure_start;

/// One thing to measure.
#[derive(Debug)]
pub struct Scenario {
    /// As the command line names it.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    /// Who runs where.
    pub place: Place,
    /// What a subject must answer to take part.
    pub needs: Serves,
    /// Who takes part unless told otherwise, where the store lets it.
    pub subjects: &'static [&'static str],
    /// What is done.
    pub work: Work,
}

/// Who runs where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The server on one core with one worker, the client on another, where it spins if it has a schedule.
    Apart,
    /// Both on all cores; the client never spins.
    Shared,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Work {
    /// Each connection asks anew once it has its reply (closed loop).
    Closed {
        /// What is asked for.
        path: &'static str,
        /// How many connections.
        connections: usize,
        /// Requests under way on each.
        depth: usize,
    },
    /// Requests arrive at half the rate that the slowest subject reaches in a closed loop.
    HalfOfCeiling {
        /// What is asked for.
        path: &'static str,
        /// How many connections.
        connections: usize,
    },
    /// Light requests at a fixed rate beside heavy ones.
    Mixed,
    /// GET of accounts.
    Read,
    /// Transfers.
    Transfer {
        /// Whether all credit one account.
        hot: bool,
        /// How many connections.
        connections: usize,
        /// When they are sent.
        tempo: Tempo,
    },
    /// Batches of transfers.
    Batch {
        /// How many connections.
        connections: usize,
        /// Transfers of each batch.
        transfers: usize,
    },
    /// Connections that do nothing.
    Idle,
    /// Process start to ready.
    Start,
}

/// When the transfers of a scenario are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tempo {
    /// Each connection sends the next one once it has its reply (closed loop).
    Closed,
    /// As a Poisson process at half the rate that the slowest subject reaches in a closed loop.
    HalfOfCeiling,
}

/// Why a scenario has no figures.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The subject does not run.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// The client cannot load it.
    #[error("{name}: {source}")]
    Client {
        /// Which subject.
        name: &'static str,
        /// Why.
        source: ClientError,
    },
    /// Talking to it outside the load, or asking the kernel about it.
    #[error("{name}: {source}")]
    Io {
        /// Which subject.
        name: &'static str,
        /// What failed.
        source: io::Error,
    },
    /// It does not answer as it must, so its figures would mean nothing.
    #[error("{name} answers {what} with status {status}: {body}")]
    WrongReply {
        /// Which subject.
        name: &'static str,
        /// Method and path.
        what: String,
        /// What came.
        status: u16,
        /// Its beginning.
        body: String,
    },
    /// Not one request succeeded.
    #[error("{name} answered no request with success; its log begins:\n{log}")]
    NothingOk {
        /// Which subject.
        name: &'static str,
        /// The beginning of its log.
        log: String,
    },
}

/// Subjects of the serving scenarios unless told otherwise.
const SERVING: &[&str] =
    &["ringledger", "ringledger-spin", "ringledger-epoll", "axum", "axum-bare", "hyper-epoll", "floor"];
/// Subjects of the scenarios that touch the ledger.
const LEDGER: &[&str] = &["ringledger", "ringledger-epoll", "axum", "axum-lane", "axum-unordered"];

/// Connections of the scenarios that are not about their number.
const CONNECTIONS: usize = 64;
/// Connections of transfers: more than one commit's worth.
const TRANSFER_CONNECTIONS: usize = 256;

/// Connections of batches: each is many transfers.
const BATCH_CONNECTIONS: usize = 4;
/// Transfers of a batch.
const BATCH_TRANSFERS: usize = 1_000;

/// Every scenario, in the order of `loadtest list`.
pub static SCENARIOS: [Scenario; 14] = [
    Scenario {
        name: "ping1",
        about: "GET /plaintext on 1 connection, one after the other: the latency of an unloaded server",
        place: Place::Apart,
        needs: Serves::OneReply,
        subjects: SERVING,
        work: Work::Closed { path: "/plaintext", connections: 1, depth: 1 },
    },
    Scenario {
        name: "plaintext",
        about: "GET /plaintext on 64 connections: the cost of a request at saturation",
        place: Place::Apart,
        needs: Serves::OneReply,
        subjects: SERVING,
        work: Work::Closed { path: "/plaintext", connections: CONNECTIONS, depth: 1 },
    },
    Scenario {
        name: "pipelined",
        about: "GET /plaintext on 64 connections with 16 requests under way on each",
        place: Place::Apart,
        needs: Serves::OneReply,
        subjects: SERVING,
        work: Work::Closed { path: "/plaintext", connections: CONNECTIONS, depth: 16 },
    },
    Scenario {
        name: "json",
        about: "GET /json on 64 connections",
        place: Place::Apart,
        needs: Serves::OneReply,
        subjects: SERVING,
        work: Work::Closed { path: "/json", connections: CONNECTIONS, depth: 1 },
    },
    Scenario {
        name: "rate",
        about: "GET /plaintext as a Poisson process at half the rate that the slowest subject reaches, on 64 \
                connections: latency at an equal, moderate load",
        place: Place::Apart,
        needs: Serves::OneReply,
        subjects: SERVING,
        work: Work::HalfOfCeiling { path: "/plaintext", connections: CONNECTIONS },
    },
    Scenario {
        name: "mixed",
        about: "GET /plaintext as a Poisson process of 4,000/s while 4 connections keep GET /cpu?ms=20 busy: the \
                tail beside CPU work",
        place: Place::Shared,
        needs: Serves::Bench,
        subjects: &["ringledger", "ringledger-epoll", "axum", "axum-blocking"],
        work: Work::Mixed,
    },
    Scenario {
        name: "read",
        about: "GET of 1,000 accounts in turn with a token on 64 connections",
        place: Place::Shared,
        needs: Serves::Ledger,
        subjects: &["ringledger", "ringledger-epoll", "axum", "axum-inline"],
        work: Work::Read,
    },
    Scenario {
        name: "transfer",
        about: "POST of transfers between 1,000 accounts on 256 connections, each with a key of its own",
        place: Place::Shared,
        needs: Serves::Ledger,
        subjects: LEDGER,
        work: Work::Transfer { hot: false, connections: TRANSFER_CONNECTIONS, tempo: Tempo::Closed },
    },
    Scenario {
        name: "transfer-64",
        about: "POST of transfers between 1,000 accounts on 64 connections, each with a key of its own",
        place: Place::Shared,
        needs: Serves::Ledger,
        subjects: LEDGER,
        work: Work::Transfer { hot: false, connections: CONNECTIONS, tempo: Tempo::Closed },
    },
    Scenario {
        name: "transfer-rate",
        about: "POST of transfers between 1,000 accounts as a Poisson process at half the rate that the slowest \
                subject reaches, on 256 connections: latency at an equal, moderate load",
        place: Place::Shared,
        needs: Serves::Ledger,
        subjects: LEDGER,
        work: Work::Transfer { hot: false, connections: TRANSFER_CONNECTIONS, tempo: Tempo::HalfOfCeiling },
    },
    Scenario {
        name: "hot",
        about: "POST of transfers from 1,000 accounts to one on 256 connections, each with a key of its own",
        place: Place::Shared,
        needs: Serves::Ledger,
        subjects: LEDGER,
        work: Work::Transfer { hot: true, connections: TRANSFER_CONNECTIONS, tempo: Tempo::Closed },
    },
    Scenario {
        name: "batch",
        about: "POST of batches of 1,000 transfers between 1,000 accounts on 4 connections, each with a key of its own",
        place: Place::Shared,
        needs: Serves::Batches,
        subjects: &["ringledger", "ringledger-epoll", "axum", "axum-lane"],
        work: Work::Batch { connections: BATCH_CONNECTIONS, transfers: BATCH_TRANSFERS },
    },
    Scenario {
        name: "idle",
        about: "9,000 keep-alive connections that rest after one request: memory for each, and the first request \
                after the rest",
        place: Place::Shared,
        needs: Serves::Bench,
        subjects: &["ringledger", "ringledger-epoll", "axum"],
        work: Work::Idle,
    },
    Scenario {
        name: "start",
        about: "process start to the first 200 of GET /ready, with an empty data directory and again with a used one",
        place: Place::Shared,
        needs: Serves::Ledger,
        subjects: &["ringledger", "ringledger-epoll", "axum"],
        work: Work::Start,
    },
];

impl Scenario {
    /// The scenario of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// Whether a subject answers what is asked here, with a ledger in that store. In the scenarios where client and server share the cores a
    /// canned reply is no bound of anything.
    pub fn admits(&self, subject: &Subject, store: Store) -> bool {
        let least = match self.place {
            Place::Apart => self.needs,
            Place::Shared => self.needs.max(Serves::Bench),
        };
        subject.serves >= least && subject.only.is_none_or(|only| only == store)
    }

    /// Whether the load has a length, so that `--duration` means something.
    pub const fn is_load(&self) -> bool {
        !matches!(self.work, Work::Idle | Work::Start)
    }

    /// Transfers that one request asks for, where requests do not count them.
    pub const fn transfers_a_request(&self) -> Option<usize> {
        match self.work {
            Work::Batch { transfers, .. } => Some(transfers),
            _ => None,
        }
    }

    /// Whether all subjects are offered one rate, which is found first.
    pub const fn has_rate(&self) -> bool {
        matches!(self.work, Work::HalfOfCeiling { .. } | Work::Transfer { tempo: Tempo::HalfOfCeiling, .. })
    }
}

/// The cores of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cores {
    /// The server's, with a worker for each.
    pub server: Vec<usize>,
    /// The client's, with a thread for each; one thread anywhere when empty.
    pub client: Vec<usize>,
}

impl Cores {
    /// Of those that this process may use. None when there are too few to keep client and server apart.
    pub fn of(place: Place, allowed: &[usize]) -> Option<Self> {
        match (place, allowed) {
            (Place::Apart, [server, client, ..]) => {
                Some(Self { server: vec![*server], client: vec![*client] })
            }
            (Place::Apart, _) | (Place::Shared, []) => None,
            (Place::Shared, all) => Some(Self { server: all.to_vec(), client: Vec::new() }),
        }
    }
}

/// How long a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Before it counts.
    pub warm_up: Duration,
    /// While it counts.
    pub measured: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_subject_exists_and_is_admitted() {
        for scenario in &SCENARIOS {
            assert!(Scenario::named(scenario.name).is_some());
            for name in scenario.subjects {
                let subject = Subject::named(name).expect(name);
                let store = subject.only.unwrap_or(Store::Sqlite);
                assert!(scenario.admits(subject, store), "{} in {}", name, scenario.name);
            }
        }
    }

    #[test]
    fn who_cannot_answer_is_not_admitted() {
        let admits = |scenario, subject| {
            let scenario = Scenario::named(scenario).expect("a scenario");
            scenario.admits(Subject::named(subject).expect("a subject"), Store::Postgres)
        };
        assert!(admits("plaintext", "floor"));
        assert!(!admits("mixed", "floor"));
        assert!(!admits("transfer", "axum-bare"));
        assert!(!admits("start", "axum-bare"));
        assert!(admits("hot", "axum-lane"));
        assert!(admits("batch", "axum-lane"));
        assert!(!admits("batch", "axum-unordered"));
        assert!(!admits("read", "axum-inline"), "SQLite alone");
    }

    #[test]
    fn client_and_server_are_kept_apart_or_share_all() {
        let cores =
            |server: &[usize], client: &[usize]| Cores { server: server.to_vec(), client: client.to_vec() };
        assert_eq!(Cores::of(Place::Apart, &[2, 3, 5]), Some(cores(&[2], &[3])));
        assert_eq!(Cores::of(Place::Apart, &[0]), None);
        assert_eq!(Cores::of(Place::Shared, &[0, 1]), Some(cores(&[0, 1], &[])));
    }
}
