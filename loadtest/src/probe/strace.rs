//! Counts a process's system calls with strace. It slows the process down, so it takes a run of its own, and the
//! batches of such a run may differ a little from those of the others.

use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::{fs, mem};

use rustix::process::{Pid, Signal, kill_process};

/// Why system calls cannot be counted. The comparison goes on without them.
#[derive(Debug, thiserror::Error)]
pub enum StraceError {
    /// The program is not there.
    #[error("strace is not installed")]
    Missing,
    /// It may not attach: no root and no `CAP_SYS_PTRACE`, or `kernel.yama.ptrace_scope` forbids it.
    #[error("strace cannot attach: {0}")]
    Refused(String),
    /// It cannot be run.
    #[error("strace: {0}")]
    Io(#[from] io::Error),
    /// Its summary has no row of totals.
    #[error("strace wrote no totals")]
    NoTotals,
}

/// strace at work on a process; ends with it.
pub struct Count {
    strace: Child,
    summary: PathBuf,
    /// Kept open: strace says more while it works, and dies of a closed pipe.
    stderr: BufReader<ChildStderr>,
}

impl Count {
    /// Attaches to all threads of a process and those to come; the summary goes to a file in `scratch`.
    pub fn begin(pid: u32, scratch: &Path) -> Result<Self, StraceError> {
        let summary = scratch.join("strace");
        let mut strace = Command::new("strace")
            .args(["-c", "-f", "-o"])
            .arg(&summary)
            .args(["-p", &pid.to_string()])
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => StraceError::Missing,
                _ => StraceError::Io(error),
            })?;
        let stderr = strace.stderr.take().ok_or_else(|| io::Error::other("no stderr of strace"))?;
        let mut count = Self { strace, summary, stderr: BufReader::new(stderr) };
        count.attached()?;
        Ok(count)
    }

    /// Waits for "strace: Process 1 attached", which it says once all threads are; anything else says why not.
    fn attached(&mut self) -> Result<(), StraceError> {
        let mut said = String::new();
        self.stderr.read_line(&mut said)?;
        if said.contains("attached") { Ok(()) } else { Err(StraceError::Refused(said.trim().to_owned())) }
    }

    /// Detaches and tells how many calls there were.
    pub fn end(mut self) -> Result<u64, StraceError> {
        self.interrupt();
        self.strace.wait()?;
        total_calls(&fs::read_to_string(mem::take(&mut self.summary))?).ok_or(StraceError::NoTotals)
    }

    /// strace detaches and writes its summary when it is interrupted.
    fn interrupt(&self) {
        if let Some(pid) = Pid::from_raw(self.strace.id().cast_signed()) {
            let _ = kill_process(pid, Signal::INT);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        if let Ok(None) = self.strace.try_wait() {
            self.interrupt();
            let _ = self.strace.wait();
        }
    }
}

/// The calls of all kinds: the fourth column of the row called total.
fn total_calls(summary: &str) -> Option<u64> {
    let total = summary.lines().find(|line| line.trim_end().ends_with(" total"))?;
    total.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of strace 6.1.
    const SUMMARY: &str = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.03    0.412270           4     95521           sendto
 38.41    0.259476           2    103201      7680 recvfrom
  0.56    0.003783           2      1512           epoll_wait
------ ----------- ----------- --------- --------- ----------------
100.00    0.675529           3    200234      7680 total
";

    #[test]
    fn the_total_is_read_with_and_without_errors() {
        assert_eq!(total_calls(SUMMARY), Some(200_234));
        let without = SUMMARY.replace("      7680 total", "           total");
        assert_eq!(total_calls(&without), Some(200_234));
    }

    #[test]
    fn no_calls_at_all_leave_no_totals() {
        assert_eq!(total_calls(""), None);
        assert_eq!(total_calls("strace: Process 1 detached\n"), None);
    }
}
