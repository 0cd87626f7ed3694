//! The server under test: a process of its own that is killed and started again on the same ledger.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a server may take to listen. Far more than it needs, for machines that are busy building.
const START_PATIENCE: Duration = Duration::from_mins(1);
/// Between two starts.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks at a process that is to end.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long the clients' token lives, in seconds: longer than any campaign.
const TOKEN_TTL_S: &str = "86400";

/// How the server is run.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) binary: PathBuf,
    /// Further arguments of `serve`.
    pub(crate) arguments: Vec<String>,
    /// Names as in the environment, and values.
    pub(crate) variables: Vec<(String, String)>,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    program: Program,
    data: TempDir,
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// On a new ledger in a new directory in `parent`.
    pub(crate) fn start(program: Program, parent: &Path) -> io::Result<Self> {
        let data = tempfile::tempdir_in(parent)?;
        let (child, address) = serve(&program, data.path())?;
        Ok(Self { program, data, child, address })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends the process at once (SIGKILL).
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Waits until the process ends by itself, so long at most.
    pub(crate) fn wait(&mut self, within: Duration) -> io::Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                let detail = format!("the server did not end within {within:?}");
                return Err(io::Error::new(io::ErrorKind::TimedOut, detail));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Starts the process again, which must have ended, and again if it ends because its database does not answer, as a
    /// supervisor would; how often it has ended so.
    pub(crate) fn start_again(&mut self) -> io::Result<u64> {
        let begin = Instant::now();
        let mut in_vain = 0;
        loop {
            match serve(&self.program, self.data.path()) {
                Ok((child, address)) => {
                    (self.child, self.address) = (child, address);
                    return Ok(in_vain);
                }
                Err(error) if begin.elapsed() > START_PATIENCE => return Err(error),
                Err(_) => {
                    in_vain += 1;
                    thread::sleep(RESTART_PAUSE);
                }
            }
        }
    }

    /// A token of the operator.
    pub(crate) fn token(&self) -> io::Result<String> {
        let text = self.run(&["token", "--operator", "--ttl", TOKEN_TTL_S])?.1;
        Ok(text.trim().to_owned())
    }

    /// Audits the ledger with the program's own command, and that it has had the head `past`.
    pub(crate) fn verify(&self, past: Option<&str>) -> io::Result<Value> {
        let expect = past.into_iter().flat_map(|head| ["--expect", head]);
        let arguments: Vec<_> = ["verify", "--json"].into_iter().chain(expect).collect();
        Ok(serde_json::from_str(&self.run(&arguments)?.1)?)
    }

    fn run(&self, arguments: &[&str]) -> io::Result<(ExitStatus, String)> {
        let output = command(&self.program, self.data.path()).args(arguments).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.is_empty() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        Ok((output.status, text))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(program: &Program, data: &Path) -> Command {
    let mut command = Command::new(&program.binary);
    command.env_clear().envs(program.variables.iter().cloned()).current_dir(data).arg("--data").arg(data);
    command
}

/// Starts the process and waits until it tells where it listens.
fn serve(program: &Program, data: &Path) -> io::Result<(Child, SocketAddr)> {
    let mut child = command(program, data)
        .args(["serve", "--listen", "127.0.0.1:0"])
        .args(&program.arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = child.stderr.take().ok_or_else(|| io::Error::other("no standard error"))?;
    let (told, listening) = mpsc::channel();
    // Its log is read away until it ends.
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            // Nobody listens any more once the address is known.
            let _ = told.send(line);
        }
    });
    let mut said = String::new();
    while let Ok(line) = listening.recv_timeout(START_PATIENCE) {
        if let Some(address) = address(&line) {
            return Ok((child, address));
        }
        said += &line;
        said.push('\n');
    }
    child.kill()?;
    child.wait()?;
    Err(io::Error::other(format!("the server did not start: {said}")))
}

fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on http://")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && !".:[]".contains(c)).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
