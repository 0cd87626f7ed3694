//! The store alone: durable transfers a second by batch size, and the time of one commit; of commits that hold many
//! commands of one transfer each, and of commits that hold one command of many.
//!
//! `cargo bench --bench store` runs every size in interleaved rounds on a fresh database in the target
//! directory's file system and prints medians with the range over the rounds. `-- --rounds N` sets how many, `-- --only
//! NAME` runs the loads alone whose name ends so, `-- --postgres` takes a throwaway cluster from the installed programs
//! instead of SQLite.

#![allow(clippy::print_stdout, reason = "the figures are the result")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of a bench are far below 2^52"
)]

use std::time::{Duration, Instant};

use ringledger::models::posting::{
    BatchItem, BatchRequest, Command, OpenAccount, Outcome, Owner, TransferRequest,
};
use ringledger::models::user::BUILT_IN_OPERATOR;
use ringledger::models::{
    AccountId, Actor, Amount, Fingerprint, IdempotencyKey, Role, Terms, Timestamp, TransferId,
};
use ringledger::store::postgres::{Carrier, Options, Target};
use ringledger::store::{Location, Store, Writer};
use throwaway_postgres::{Cluster, ClusterOptions};
use uuid::Uuid;

/// What a commit holds.
#[derive(Clone, Copy)]
enum Load {
    /// So many commands of one transfer, each with a key.
    Commands(usize),
    /// One command of so many transfers, with one key.
    Batch(usize),
}

use Load::{Batch, Commands};

impl Load {
    fn name(self) -> String {
        match self {
            Commands(count) => format!("{count} commands of one"),
            Batch(count) => format!("one command of {count}"),
        }
    }
}

const LOADS: [Load; 9] = [
    Commands(1),
    Commands(16),
    Commands(32),
    Commands(64),
    Commands(256),
    Commands(1_000),
    Commands(4_096),
    Batch(1_000),
    Batch(8_000),
];
/// How long each size runs in a round.
const ROUND: Duration = Duration::from_secs(1);
/// Accounts that money moves between.
const ACCOUNTS: usize = 1_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name| arguments.get(arguments.iter().position(|argument| argument == name)? + 1);
    let rounds = value("--rounds").and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let only = value("--only").map_or("", String::as_str);
    let loads: Vec<_> = LOADS.into_iter().filter(|load| load.name().ends_with(only)).collect();
    let place = if arguments.iter().any(|argument| argument == "--postgres") {
        Place::postgres()
    } else {
        Place::sqlite()
    };
    let mut ledger = Ledger::new(place);
    let mut runs = vec![Vec::new(); loads.len()];
    for _ in 0..rounds {
        for (runs, load) in runs.iter_mut().zip(&loads) {
            runs.push(ledger.run(*load));
        }
    }
    println!(
        "{}, {ACCOUNTS} accounts, {rounds} rounds of {ROUND:?}; medians over the rounds [least, most]",
        ledger.store.describe()
    );
    for (runs, load) in runs.iter().zip(&loads) {
        let of = |figure: fn(&Run) -> f64| spread(runs.iter().map(figure).collect());
        println!(
            "{:>20}: {:>26} transfers/s, commit p50 {:>22} p99 {:>25} us",
            load.name(),
            of(|run| run.rate),
            of(|run| run.p50_us),
            of(|run| run.p99_us)
        );
    }
}

/// What one round of one batch size measured.
#[derive(Clone)]
struct Run {
    /// Transfers a second.
    rate: f64,
    /// Time of one commit.
    p50_us: f64,
    p99_us: f64,
}

fn spread(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let last = figures.len() - 1;
    format!("{:.0} [{:.0}, {:.0}]", figures[last / 2], figures[0], figures[last])
}

/// Where a ledger is kept, until it is dropped. Not in the system's temporary directory, which is often memory and has
/// no stable storage to wait for.
enum Place {
    Directory(tempfile::TempDir),
    Cluster(Box<Cluster>),
}

impl Place {
    fn sqlite() -> Self {
        Self::Directory(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory in target"))
    }

    fn postgres() -> Self {
        let options = ClusterOptions::new().parent(env!("CARGO_TARGET_TMPDIR"));
        Self::Cluster(Box::new(Cluster::start(&options).expect("a cluster")))
    }

    fn location(&self) -> Location {
        match self {
            Self::Directory(directory) => Location::Sqlite { directory: directory.path().to_owned() },
            Self::Cluster(cluster) => {
                let database = cluster.database().expect("a database");
                Location::Postgres(Box::new(Options {
                    target: Target::parse(&cluster.url(&database)).expect("a URL"),
                    replica: None,
                    carrier: Carrier::Tokio,
                    connections_per_core: 1,
                    connect_timeout: ROUND,
                    acquire_timeout: ROUND,
                    statement_timeout: 5 * ROUND,
                    commit_timeout: 5 * ROUND,
                }))
            }
        }
    }
}

struct Ledger {
    runtime: tokio::runtime::Runtime,
    writer: Writer,
    store: Store,
    accounts: Vec<AccountId>,
    made: u64,
    _place: Place,
}

impl Ledger {
    fn new(place: Place) -> Self {
        let store = Store::open(&place.location()).expect("a fresh store");
        let writer = store.writer().expect("a writer");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut ledger = Self { runtime, writer, store, accounts: Vec::new(), made: 0, _place: place };
        ledger.open_accounts();
        ledger
    }

    fn open_accounts(&mut self) {
        let open = |_| {
            Command::OpenAccount(OpenAccount {
                id: AccountId::from_uuid(Uuid::now_v7()),
                owner: Owner::Id(BUILT_IN_OPERATOR),
                name: None,
                currency: "EUR".parse().expect("a currency"),
                min_balance: None,
            })
        };
        let commands: Vec<_> = (0..ACCOUNTS).map(open).collect();
        for outcome in self.commit(&commands) {
            match outcome {
                Outcome::Opened(account) => self.accounts.push(account.id),
                other => panic!("{other:?}"),
            }
        }
    }

    fn commit(&mut self, commands: &[Command]) -> Vec<Outcome> {
        let micros = jiff::Timestamp::now().as_microsecond();
        let now = Timestamp::from_micros(micros).expect("a time of this age");
        self.runtime.block_on(self.writer.commit(commands, &|| now)).expect("a commit")
    }

    /// Commits loads of one kind for a round.
    fn run(&mut self, load: Load) -> Run {
        let begin = Instant::now();
        let mut commits = Vec::new();
        while begin.elapsed() < ROUND {
            let commands: Vec<_> = match load {
                Commands(count) => (0..count).map(|_| self.transfer()).collect(),
                Batch(count) => vec![self.batch(count)],
            };
            let commit = Instant::now();
            let outcomes = self.commit(&commands);
            commits.push(commit.elapsed().as_secs_f64() * 1e6);
            assert!(outcomes.iter().all(made_all));
        }
        let (Commands(transfers) | Batch(transfers)) = load;
        let rate = (commits.len() * transfers) as f64 / begin.elapsed().as_secs_f64();
        commits.sort_by(f64::total_cmp);
        let at = |share: f64| commits[((commits.len() - 1) as f64 * share) as usize];
        Run { rate, p50_us: at(0.5), p99_us: at(0.99) }
    }

    fn transfer(&mut self) -> Command {
        let terms = self.terms();
        Command::Transfer(TransferRequest {
            actor: OPERATOR,
            key: key(),
            fingerprint: Fingerprint::of_transfer(&terms, None),
            id: TransferId::from_uuid(Uuid::now_v7()),
            terms,
            hold: None,
            request_id: "bench".into(),
        })
    }

    fn batch(&mut self, transfers: usize) -> Command {
        let mut item =
            |_| BatchItem { id: TransferId::from_uuid(Uuid::now_v7()), terms: self.terms(), hold: None };
        let items: Vec<_> = (0..transfers).map(&mut item).collect();
        Command::Batch(BatchRequest {
            actor: OPERATOR,
            key: key(),
            fingerprint: Fingerprint::of_batch(false, &items),
            atomic: false,
            items,
            request_id: "bench".into(),
        })
    }

    fn terms(&mut self) -> Terms {
        self.made += 1;
        // A multiplicative step visits the accounts evenly and in no order that a cache would like.
        let at = |n: u64| self.accounts[(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % ACCOUNTS];
        let (debit, mut credit) = (at(2 * self.made), at(2 * self.made + 1));
        if credit == debit {
            credit = self.accounts[(self.made as usize + 1) % ACCOUNTS];
        }
        let debit = if credit == debit { self.accounts[0] } else { debit };
        Terms {
            debit_account: debit,
            credit_account: credit,
            amount: Amount::new(1).expect("one is an amount"),
            currency: "EUR".parse().expect("a currency"),
            description: None,
            metadata: None,
            reference: None,
        }
    }
}

const OPERATOR: Actor = Actor { id: BUILT_IN_OPERATOR, role: Role::Operator };

/// A key in no order with others: the costliest for an index.
fn key() -> IdempotencyKey {
    Uuid::new_v4().to_string().parse().expect("a key")
}

/// Whether all that a command asked for was done.
fn made_all(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Transferred { .. } => true,
        Outcome::Batch { batch, .. } => batch.items.iter().all(Result::is_ok),
        _ => false,
    }
}
