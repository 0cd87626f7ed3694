//! The processes that were started and their scratch directories: what must be gone when the tester is, however it
//! ends.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a subject may take to drain before it is killed. Its connections are closed by then, so a drain takes
/// milliseconds; this bounds the wait for one that hangs.
const DRAIN_BOUND: Duration = Duration::from_secs(15);

/// Between two looks at a process that is ending.
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// The processes under way; shared with the thread that waits for signals.
#[derive(Debug, Clone, Default)]
pub struct Children(Arc<Mutex<Vec<Subprocess>>>);

#[derive(Debug)]
struct Subprocess {
    child: Child,
    /// Removed with it.
    _scratch: Arc<TempDir>,
}

impl Children {
    /// Starts a process; its scratch directory stays until it ends. No signal can come between the start and its
    /// being known here.
    pub(super) fn start(
        &self,
        start: impl FnOnce() -> io::Result<Child>,
        scratch: Arc<TempDir>,
    ) -> io::Result<u32> {
        let mut all = self.lock();
        let child = start()?;
        let pid = child.id();
        all.push(Subprocess { child, _scratch: scratch });
        Ok(pid)
    }

    /// How the process ended, if it did.
    pub(super) fn ended(&self, pid: u32) -> Option<ExitStatus> {
        let mut all = self.lock();
        let process = all.iter_mut().find(|process| process.child.id() == pid)?;
        process.child.try_wait().ok().flatten()
    }

    /// Ends a process: SIGTERM, and SIGKILL when it does not drain.
    pub(super) fn end(&self, pid: u32) {
        let mut all = self.lock();
        if let Some(place) = all.iter().position(|process| process.child.id() == pid) {
            end_all(&mut [all.swap_remove(place)]);
        }
    }

    /// Ends all processes, removes their directories, and ends this one. Whoever else wants to end or start a
    /// process then waits until there is nobody left to wait.
    pub fn exit(&self, code: i32) -> ! {
        let mut all = self.lock();
        end_all(&mut all);
        all.clear();
        std::process::exit(code)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Subprocess>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn end_all(processes: &mut [Subprocess]) {
    for process in &*processes {
        // A child that was not waited for keeps its id, so this cannot hit another process.
        if let Some(pid) = Pid::from_raw(process.child.id().cast_signed()) {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
    let deadline = Instant::now() + DRAIN_BOUND;
    for process in processes {
        while matches!(process.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = process.child.kill();
                let _ = process.child.wait();
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
    }
}
