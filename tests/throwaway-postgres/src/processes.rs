//! The processes of a cluster, found by the directory that they work in (proc(5)): a server and whatever it has forked
//! work in the data directory.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Bounds the wait for processes that were killed: one in the middle of a write to a slow disk ends after it.
const END_BOUND: Duration = Duration::from_secs(10);

/// Ids of the processes that work in `directory`. One that has ended and was not waited for works nowhere.
pub(crate) fn inside(directory: &Path) -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter(|id| fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|place| place == directory))
        .map(Pid::from_raw)
        .collect()
}

/// Sends a signal to all of them. One that has gone meanwhile needs none.
pub(crate) fn signal(directory: &Path, signal: Signal) {
    for process in inside(directory) {
        let _ = kill(process, signal);
    }
}

/// Kills them, and those that they still fork, until there is none. Whether there is none in the end.
pub(crate) fn kill_all(directory: &Path) -> bool {
    let deadline = Instant::now() + END_BOUND;
    while !inside(directory).is_empty() {
        if Instant::now() > deadline {
            return false;
        }
        signal(directory, Signal::SIGKILL);
        thread::sleep(LOOK_EVERY);
    }
    true
}
