//! The server under test: a process of its own in a directory of its own, ended with this value.

use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use tempfile::TempDir;

/// A running server.
pub(crate) struct Server {
    binary: PathBuf,
    child: Child,
    data: TempDir,
    store: Option<String>,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(binary: &Path, arguments: &[String], store: Option<&str>) -> io::Result<Self> {
        // It is started in another directory.
        let binary = &binary.canonicalize()?;
        let data = tempfile::tempdir()?;
        let mut child = command(binary, data.path(), store)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or_else(|| io::Error::other("no standard error"))?;
        let mut lines = BufReader::new(stderr).lines();
        let address = lines.by_ref().map_while(Result::ok).find_map(|line| address(&line));
        // Access lines are read away, as a log collector would.
        thread::spawn(move || lines.for_each(drop));
        let address = address.ok_or_else(|| io::Error::other("the server did not start"))?;
        Ok(Self { binary: binary.to_owned(), child, data, store: store.map(str::to_owned), address })
    }

    /// A token of the operator.
    pub(crate) fn token(&self) -> io::Result<String> {
        let mut command = command(&self.binary, self.data.path(), self.store.as_deref());
        let output = command.args(["token", "--operator", "--ttl", "86400"]).output()?;
        String::from_utf8(output.stdout).map(|token| token.trim().to_owned()).map_err(io::Error::other)
    }

    /// CPU time that its process has used, in milliseconds, to the tick of 10 ms.
    pub(crate) fn cpu_ms(&self) -> io::Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // Behind the name, which may hold anything: utime and stime are the 12th and 13th (proc(5)).
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        Ok(fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum::<u64>()
            * 10)
    }

    /// Resident memory, in KiB.
    pub(crate) fn memory_kib(&self) -> io::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.ok_or_else(|| io::Error::other("no VmRSS"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(binary: &Path, data: &Path, store: Option<&str>) -> Command {
    let mut command = Command::new(binary);
    command.arg("--data").arg(data).current_dir(data);
    if let Some(url) = store {
        command.env("DATABASE_URL", url);
    }
    command
}

fn address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on http://")?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && !".:[]".contains(c)).unwrap_or(rest.len());
    rest[..end].parse().ok()
}
