//! The life of one subject's process: started without a shell in its own directory, waited for, ended by its id.

use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::store::Opened;
use super::{Binaries, Children, Program, Serves, Subject, Wire, request};

/// How long a subject may take until it answers. A start takes milliseconds; this bounds the wait for one that hangs.
const START_BOUND: Duration = Duration::from_secs(10);

/// Between two questions whether it is ready: the resolution of a start time.
const ASK_EVERY: Duration = Duration::from_micros(200);

/// How much of a log is read: the lines of the start, and what a failure says.
const LOG_HEAD_BYTES: u64 = 16 * 1024;

/// Why a subject does not run.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// Its program or its files.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Which subject.
        name: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// It ended by itself.
    #[error("{name} ended by itself ({status}); its log begins:\n{log}")]
    Ended {
        /// Which subject.
        name: &'static str,
        /// How.
        status: ExitStatus,
        /// The beginning of its log.
        log: String,
    },
    /// It never became ready.
    #[error("{name} did not get ready within {} s; its log:\n{log}", START_BOUND.as_secs())]
    NotReady {
        /// Which subject.
        name: &'static str,
        /// The beginning of its log.
        log: String,
    },
    /// No token could be made.
    #[error("ringledger made no token: {0}")]
    Token(String),
}

/// Where a process runs.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The programs.
    pub binaries: &'a Binaries,
    /// Its store.
    pub store: &'a Opened,
    /// The cores that it may use, with one worker for each.
    pub cores: &'a [usize],
    /// Where its log goes.
    pub scratch: &'a Path,
}

/// A subject that serves. Ended and removed when dropped.
#[derive(Debug)]
pub struct Running {
    /// Which.
    pub subject: &'static Subject,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: u32,
    /// From its start to its first 200.
    pub started_in: Duration,
    children: Children,
    log: PathBuf,
}

/// Starts a subject and waits until it answers 200: `GET /ready` if it has a ledger, else `GET /plaintext`.
pub fn start(
    subject: &'static Subject,
    site: &Site<'_>,
    children: &Children,
) -> Result<Running, SubjectError> {
    let failed = |source| SubjectError::Start { name: subject.name, source };
    let address = free_address().map_err(failed)?;
    let log = site.scratch.join("log");
    let mut command = command(subject, site, address, &log).map_err(failed)?;
    let begun = Instant::now();
    let spawn = || on_cores(site.cores, || command.spawn()).flatten();
    let pid = children.start(spawn).map_err(failed)?;
    let mut running =
        Running { subject, address, pid, started_in: Duration::ZERO, children: children.clone(), log };
    running.wait_until_ready(begun)?;
    running.started_in = begun.elapsed();
    Ok(running)
}

fn command(subject: &Subject, site: &Site<'_>, address: SocketAddr, log: &Path) -> io::Result<Command> {
    let log = File::options().create(true).append(true).open(log)?;
    let mut command = bare_command(site, subject.program);
    command
        .args(subject.arguments(site, &address.to_string()))
        .envs(subject.env.iter().copied())
        .envs(site.store.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(command)
}

/// Variables of this process that a subject sees. No other: a `RINGLEDGER__` variable or an `.env` file where the tester
/// was started would change one subject and not the others.
const INHERITED: [&str; 2] = ["PATH", "TMPDIR"];

/// A program in its own directory, without the tester's environment.
fn bare_command(site: &Site<'_>, program: Program) -> Command {
    let mut command = Command::new(site.binaries.path(program));
    let inherited = INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(inherited).current_dir(site.scratch);
    command
}

/// An address that was free a moment ago. Another process may take it; then the subject says so and ends.
fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// Does something while this thread may use these cores only: a process that it starts inherits that
/// (`sched_setaffinity(2)`).
fn on_cores<T>(cores: &[usize], start: impl FnOnce() -> T) -> io::Result<T> {
    let before = sched_getaffinity(None)?;
    let mut narrow = CpuSet::new();
    for &core in cores {
        narrow.set(core);
    }
    sched_setaffinity(None, &narrow)?;
    let started = start();
    sched_setaffinity(None, &before)?;
    Ok(started)
}

impl Running {
    fn wait_until_ready(&self, begun: Instant) -> Result<(), SubjectError> {
        let name = self.subject.name;
        while !self.is_ready() {
            self.require_alive()?;
            if begun.elapsed() > START_BOUND {
                return Err(SubjectError::NotReady { name, log: self.log_head() });
            }
            thread::sleep(ASK_EVERY);
        }
        Ok(())
    }

    /// Fails if the subject has ended, so that nobody takes what a dying process served for a result.
    pub fn require_alive(&self) -> Result<(), SubjectError> {
        match self.children.ended(self.pid) {
            None => Ok(()),
            Some(status) => {
                Err(SubjectError::Ended { name: self.subject.name, status, log: self.log_head() })
            }
        }
    }

    fn is_ready(&self) -> bool {
        let path = if self.subject.serves >= Serves::Ledger { "/ready" } else { "/plaintext" };
        let asked =
            Wire::connect(self.address).and_then(|mut wire| wire.ask(&request("GET", path, None, "")));
        asked.is_ok_and(|reply| reply.status == 200)
    }

    /// What its log says first.
    pub fn log_head(&self) -> String {
        let mut head = Vec::new();
        if let Ok(log) = File::open(&self.log) {
            let _ = log.take(LOG_HEAD_BYTES).read_to_end(&mut head);
        }
        String::from_utf8_lossy(&head).trim_end().to_owned()
    }

    /// Which I/O engine it chose and why, as it says in its log; only ringledger has a choice.
    pub fn engine(&self) -> Option<String> {
        engine(&self.log_head())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.children.end(self.pid);
    }
}

/// In a line of text or of JSON.
fn engine(log: &str) -> Option<String> {
    let said = log.lines().find_map(|line| line.split_once("I/O engine: "))?.1;
    Some(said.split('"').next().unwrap_or(said).to_owned())
}

/// An operator's token for the ledger of a subject that runs on this site: ringledger and the baseline share the
/// layout of the data directory.
pub fn operator_token(site: &Site<'_>) -> Result<String, SubjectError> {
    let failed = |error: &dyn ToString| SubjectError::Token(error.to_string());
    let output = bare_command(site, Program::Ringledger)
        .arg("--data")
        .arg(&site.store.data_dir)
        .args(["token", "--operator", "--ttl", "86400"])
        .envs(site.store.env.iter().map(|(name, value)| (name, value)))
        .output()
        .map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_read_from_text_and_from_json() {
        let said = Some("epoll (io_uring_setup: EPERM)".to_owned());
        assert_eq!(engine("INFO up\nINFO I/O engine: epoll (io_uring_setup: EPERM)\nINFO x"), said);
        assert_eq!(
            engine(
                r#"{"level":"INFO","message":"I/O engine: epoll (io_uring_setup: EPERM)","target":"app"}"#
            ),
            said
        );
        assert_eq!(engine("listening on http://127.0.0.1:1"), None);
    }

    #[test]
    fn a_child_inherits_the_cores_and_this_thread_keeps_its_own() {
        let allowed = sched_getaffinity(None).expect("affinity");
        let core = (0..CpuSet::MAX_CPU).find(|&core| allowed.is_set(core)).expect("a core");
        let output = on_cores(&[core], || Command::new("cat").arg("/proc/self/status").output())
            .expect("affinity")
            .expect("cat");
        let status = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(status.contains(&format!("Cpus_allowed_list:\t{core}\n")), "{status}");
        assert_eq!(sched_getaffinity(None).expect("affinity").count(), allowed.count());
    }
}
