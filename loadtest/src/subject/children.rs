//! The processes that were started, their databases and scratch directories: what must be gone when the tester is,
//! however it ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::Database;

/// How long a subject may take to drain before it is killed. Its connections are closed by then, so a drain takes
/// milliseconds; this bounds the wait for one that hangs.
const DRAIN_BOUND: Duration = Duration::from_secs(15);

/// How often a directory is removed that does not stay empty. Bounds the end of the tester.
const REMOVALS: usize = 100;

/// Between two looks at a process that is ending.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// Where directories are made: what `TMPDIR` names, else beside this program. Not the system's temporary directory, which
/// is often memory, where a commit costs nothing.
pub(super) fn scratch_root() -> PathBuf {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.to_owned());
    std::env::var_os("TMPDIR").map(PathBuf::from).or_else(beside).unwrap_or_else(std::env::temp_dir)
}

/// The processes, databases and directories under way; shared with the thread that waits for signals.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    processes: Vec<Child>,
    databases: Vec<Weak<Database>>,
    scratch: Vec<Weak<TempDir>>,
}

impl Children {
    /// A directory that is removed with its last user, or with this process.
    pub fn scratch(&self) -> io::Result<Arc<TempDir>> {
        let mut state = self.lock();
        let made = Arc::new(TempDir::with_prefix_in("loadtest-", scratch_root())?);
        state.scratch.retain(|one| one.strong_count() > 0);
        state.scratch.push(Arc::downgrade(&made));
        Ok(made)
    }

    /// Starts a database server, which ends with its last user or with this process; returns what else `start` does.
    pub(super) fn database<T, E>(
        &self,
        start: impl FnOnce() -> Result<(Database, T), E>,
    ) -> Result<(Arc<Database>, T), E> {
        let mut state = self.lock();
        let (started, more) = start()?;
        let started = Arc::new(started);
        state.databases.retain(|one| one.strong_count() > 0);
        state.databases.push(Arc::downgrade(&started));
        Ok((started, more))
    }

    /// Starts a process. No signal can come between the start and its being known here.
    pub(super) fn start(&self, start: impl FnOnce() -> io::Result<Child>) -> io::Result<u32> {
        let mut state = self.lock();
        let child = start()?;
        let pid = child.id();
        state.processes.push(child);
        Ok(pid)
    }

    /// How the process ended, if it did.
    pub(super) fn ended(&self, pid: u32) -> Option<ExitStatus> {
        let mut state = self.lock();
        let child = state.processes.iter_mut().find(|child| child.id() == pid)?;
        child.try_wait().ok().flatten()
    }

    /// Ends a process: SIGTERM, and SIGKILL when it does not drain.
    pub(super) fn end(&self, pid: u32) {
        let mut state = self.lock();
        if let Some(place) = state.processes.iter().position(|child| child.id() == pid) {
            end_all(&mut [state.processes.swap_remove(place)]);
        }
    }

    /// Ends all processes, removes all directories, and ends this process. Whoever else wants to end or start a
    /// process then waits until there is nobody left to wait.
    pub fn exit(&self, code: i32) -> ! {
        let mut state = self.lock();
        end_all(&mut state.processes);
        state.databases.iter().filter_map(Weak::upgrade).for_each(|database| database.end());
        state.scratch.iter().filter_map(Weak::upgrade).for_each(|scratch| remove(scratch.path()));
        std::process::exit(code)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a directory, again while another thread still puts a file into it: that one ends with its next step, which is
/// to start a process.
fn remove(directory: &Path) {
    for _ in 0..REMOVALS {
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => thread::sleep(LOOK_EVERY),
            Ok(()) | Err(_) => return,
        }
    }
}

fn end_all(children: &mut [Child]) {
    for child in &*children {
        // A child that was not waited for keeps its id, so this cannot hit another process.
        if let Some(pid) = Pid::from_raw(child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
    let deadline = Instant::now() + DRAIN_BOUND;
    for child in children {
        while matches!(child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}
