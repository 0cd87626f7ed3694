//! Starts both servers, each on a ledger of its own, and speaks to them.

pub(crate) mod party;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

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
    data: TempDir,
    http: reqwest::blocking::Client,
}

/// The baseline under test.
fn baseline(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_axum-baseline"));
    command.arg("--data").arg(data);
    command
}

/// A command of ringledger, which cargo puts beside the baseline.
pub(crate) fn ringledger(data: &Path) -> Command {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_axum-baseline")).with_file_name("ringledger");
    assert!(program.exists(), "{} is not built: cargo build -p ringledger", program.display());
    let mut command = Command::new(program);
    command.env_clear().arg("--data").arg(data);
    command
}

impl Server {
    /// The Axum server.
    pub(crate) fn axum(arguments: &[&str]) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = baseline(data.path());
        command.args(["--listen", "127.0.0.1:0"]).args(arguments);
        Self::start("axum", command, data)
    }

    /// The server that it is compared with.
    pub(crate) fn ringledger() -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = ringledger(data.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--bench-endpoints"]);
        Self::start("ringledger", command, data)
    }

    fn start(name: &'static str, mut command: Command, data: TempDir) -> Self {
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
        Self { name, child, address, data, http }
    }

    /// A request to be put together.
    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::blocking::RequestBuilder {
        self.http.request(method.parse().unwrap(), format!("http://{}{path}", self.address))
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// A command of ringledger on this server's ledger, which must succeed; its result.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            ringledger(self.data.path()).args(arguments).output().unwrap();
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
