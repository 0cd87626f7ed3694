//! Moves money with many clients over HTTP while somebody makes the server's life hard, then audits the ledger from
//! outside. The program of this name kills server and database; tests bring troubles of their own.
//!
//! Knows the API as any caller does, and shares no code with the server.

mod audit;
mod clients;
mod http;
mod orders;
mod report;
mod server;
mod strikes;

use std::env;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use throwaway_postgres::{Cluster, ClusterOptions};

pub use audit::{Findings, INVARIANTS};
pub use clients::Tally;
pub use report::{Recovery, Report};
pub use strikes::{Plan, run};

use clients::{Crew, Scene};
use http::Connection;
use orders::{Accounts, Verdict};
use server::{Program, Server};

/// Where the ledger is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// In an SQLite file.
    Sqlite,
    /// In a Postgres cluster of the campaign's own.
    Postgres,
}

/// What a campaign is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// The server's program.
    pub binary: PathBuf,
    /// Where the ledger is kept.
    pub store: Store,
    /// How many clients place orders, one after the other each.
    pub clients: usize,
    /// How many accounts they move money between.
    pub accounts: usize,
    /// Tells orders and strikes; what the scheduler does is another matter.
    pub seed: u64,
    /// Further arguments of `serve`.
    pub arguments: Vec<String>,
    /// Further variables of the server's environment, such as `RINGLEDGER__LIMITS__LANE_QUEUE`.
    pub variables: Vec<(String, String)>,
    /// Where data directories are made: on a disk, if syncs are to cost something.
    pub parent: PathBuf,
}

impl Options {
    /// 32 clients on 64 accounts, in the system's directory for temporary files.
    pub fn new(binary: PathBuf, store: Store) -> Self {
        Self {
            binary,
            store,
            clients: 32,
            accounts: 64,
            seed: 1,
            arguments: Vec::new(),
            variables: Vec::new(),
            parent: env::temp_dir(),
        }
    }
}

/// A server under load.
#[derive(Debug)]
pub struct Campaign {
    /// Before the cluster that it writes to.
    server: Server,
    cluster: Option<Cluster>,
    scene: Arc<Scene>,
    accounts: Arc<Accounts>,
    clients: Crew,
    report: Report,
    begin: Instant,
    /// A head that the ledger has had.
    past: Option<String>,
}

impl Campaign {
    /// Starts everything; the clients go on until [`Campaign::finish`].
    pub fn begin(options: &Options) -> io::Result<Self> {
        let mut dice = fastrand::Rng::with_seed(options.seed);
        let cluster = match options.store {
            Store::Sqlite => None,
            Store::Postgres => Some(Cluster::start(&ClusterOptions::new()).map_err(io::Error::other)?),
        };
        let mut variables = options.variables.clone();
        if let Some(cluster) = &cluster {
            let database = cluster.database().map_err(io::Error::other)?;
            variables.push(("DATABASE_URL".to_owned(), cluster.url(&database)));
        }
        let program = Program {
            binary: options.binary.canonicalize()?,
            arguments: options.arguments.clone(),
            variables,
        };
        let server = Server::start(program, &options.parent)?;
        let mut connection = Connection::open(server.address())?;
        let accounts = Arc::new(Accounts::open(&mut connection, server.token()?, options.accounts)?);
        let past = server.verify(None)?["head"].as_str().map(str::to_owned);
        let scene = Arc::new(Scene::new(server.address()));
        let clients = clients::start(&scene, &accounts, options.clients, &mut dice);
        let (report, begin) = (Report::default(), Instant::now());
        Ok(Self { server, cluster, scene, accounts, clients, report, begin, past })
    }

    /// The id of the server's process.
    pub fn server_id(&self) -> u32 {
        self.server.id()
    }

    /// Where the server listens.
    pub const fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The operator's token, which the clients use.
    pub fn token(&self) -> &str {
        &self.accounts.token
    }

    /// Orders that have been answered.
    pub fn acknowledged(&self) -> u64 {
        self.scene.acknowledged()
    }

    /// Waits until so many more orders have been answered.
    pub fn wait_for_more(&self, orders: u64) -> io::Result<()> {
        self.scene.wait_for(self.acknowledged() + orders)
    }

    /// Waits until an order is answered that was sent after `moment`; how long that was after it.
    pub fn wait_for_recovery(&self, moment: Instant) -> io::Result<Duration> {
        self.scene.wait_for_answer_since(moment)?;
        Ok(moment.elapsed())
    }

    /// Kills the server (SIGKILL) and starts it again; returns when the blow fell.
    pub fn kill_server(&mut self) -> io::Result<Instant> {
        let moment = Instant::now();
        self.server.kill()?;
        self.report.server_kills += 1;
        self.start_server_again()?;
        Ok(moment)
    }

    /// Waits for the end of a server that ends by itself, which must come in time, and starts it again; how it ended.
    pub fn await_end_and_restart(&mut self, within: Duration) -> io::Result<ExitStatus> {
        let status = self.server.wait(within)?;
        self.start_server_again()?;
        Ok(status)
    }

    fn start_server_again(&mut self) -> io::Result<()> {
        self.report.failed_starts += self.server.start_again()?;
        self.scene.move_to(self.server.address());
        Ok(())
    }

    /// Kills all processes of Postgres at once and starts it again; returns when the blow fell.
    pub fn kill_postgres(&mut self) -> io::Result<Instant> {
        let moment = Instant::now();
        let Some(cluster) = &mut self.cluster else {
            return Err(io::Error::other("there is no Postgres to kill"));
        };
        cluster.kill9().and_then(|()| cluster.start_again()).map_err(io::Error::other)?;
        self.report.postgres_kills += 1;
        self.report.postgres_away.push(moment.elapsed());
        Ok(moment)
    }

    /// Lets the clients end what they have begun, and audits the ledger.
    pub fn finish(mut self) -> io::Result<Report> {
        let mut settled = Vec::new();
        for diary in self.clients.end()? {
            self.report.count(&diary.tally);
            settled.extend(diary.settled);
        }
        self.report.seconds = self.begin.elapsed().as_secs_f64();
        let refused = settled.iter().filter(|(_, verdict)| *verdict == Verdict::Refused).count() as u64;
        self.report.refused = refused;
        self.report.acknowledged = settled.len() as u64 - refused;
        self.report.findings = audit::audit(&self.server, &self.accounts, &settled, self.past.as_deref())?;
        Ok(self.report)
    }
}
