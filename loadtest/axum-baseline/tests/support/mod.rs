//! Starts both servers, each on a ledger of its own, and speaks to them.

pub(crate) mod party;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{LazyLock, mpsc};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use throwaway_postgres::{Cluster, ClusterOptions};

/// How long a server may take to listen or to end. Far more than it needs, for machines that are busy building.
const PATIENCE: Duration = Duration::from_secs(20);

/// The password of every user that tests make.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    /// Its name in messages.
    pub(crate) name: &'static str,
    child: Child,
    address: SocketAddr,
    site: Site,
    http: reqwest::blocking::Client,
}

/// Where servers keep their ledgers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Store {
    /// In a file of the data directory.
    Sqlite,
    /// In a database of their own.
    Postgres,
}

/// The cluster of all databases; its guard ends it with this process.
static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::start(&ClusterOptions::new()).unwrap());

/// The place of one empty ledger.
struct Site {
    data: TempDir,
    url: Option<String>,
}

impl Site {
    fn new(store: Store) -> Self {
        let url = match store {
            Store::Sqlite => None,
            Store::Postgres => Some(CLUSTER.url(&CLUSTER.database().unwrap())),
        };
        Self { data: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(), url }
    }

    /// A program that works on it.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().arg("--data").arg(self.data.path());
        command.envs(self.url.iter().map(|url| ("DATABASE_URL", url)));
        command
    }

    fn baseline(&self) -> Command {
        self.command(Path::new(env!("CARGO_BIN_EXE_axum-baseline")))
    }

    /// ringledger, which cargo puts beside the baseline.
    fn ringledger(&self) -> Command {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_axum-baseline")).with_file_name("ringledger");
        assert!(program.exists(), "{} is not built: cargo build -p ringledger", program.display());
        self.command(&program)
    }
}

impl Server {
    /// The Axum server.
    pub(crate) fn axum(store: Store, arguments: &[&str]) -> Self {
        let site = Site::new(store);
        let mut command = site.baseline();
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Self::start("axum", command, site)
    }

    /// The server that it is compared with.
    pub(crate) fn ringledger(store: Store) -> Self {
        let site = Site::new(store);
        let mut command = site.ringledger();
        command.args(["serve", "--listen", "127.0.0.1:0", "--bench-endpoints"]);
        Self::start("ringledger", command, site)
    }

    fn start(name: &'static str, mut command: Command, site: Site) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let (found, address) = mpsc::channel();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            // To its end, so that the pipe never fills.
            for line in lines.map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once("listening on http://") {
                    let end = rest.find(|c: char| !c.is_ascii_digit() && !".:".contains(c));
                    let _ = found.send(rest[..end.unwrap_or(rest.len())].parse().unwrap());
                }
            }
        });
        let address = address.recv_timeout(PATIENCE);
        let address = address.unwrap_or_else(|_| panic!("{name} did not listen: {:?}", child.try_wait()));
        let http = reqwest::blocking::Client::builder().no_proxy().build().unwrap();
        Self { name, child, address, site, http }
    }

    /// A request to be put together.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::blocking::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("http://{}{path}", self.address))
    }

    /// What a command of ringledger on this server's ledger ends with.
    pub(crate) fn output(&self, arguments: &[&str]) -> Output {
        self.site.ringledger().args(arguments).output().unwrap()
    }

    /// A command of ringledger on this server's ledger, which must succeed; its result.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } = self.output(arguments);
        assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap().trim().to_owned()
    }

    /// Asks the process to end and waits until it has, in order.
    pub(crate) fn terminate(&mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(status.success(), "{} ended with {status}", self.name);
                return;
            }
            assert!(Instant::now() < deadline, "{} did not end", self.name);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
