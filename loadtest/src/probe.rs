//! What the kernel tells of a running server: CPU time, memory, context switches, and (by strace) system calls.
//! Knows a process id and nothing of what the process serves.

mod family;
mod strace;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Pid;

pub use self::family::Family;
pub use self::strace::{Count, StraceError};

/// A server's totals at one moment; two of them make a [`Spent`].
#[derive(Debug)]
pub struct Probe {
    pid: u32,
    cpu: Duration,
    /// Context switches by thread id.
    switches: HashMap<String, u64>,
}

/// What a server used between two moments.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spent {
    /// User and system time of all threads.
    pub cpu: Duration,
    /// Voluntary and involuntary switches of all threads that lived at the end.
    pub context_switches: u64,
    /// Resident memory at the end, in MiB.
    pub rss_mib: f64,
}

impl Probe {
    /// Reads the totals of a process.
    pub fn begin(pid: u32) -> io::Result<Self> {
        Ok(Self { pid, cpu: cpu_time(pid)?, switches: context_switches(pid)? })
    }

    /// What was used since.
    pub fn end(self) -> io::Result<Spent> {
        let now = Self::begin(self.pid)?;
        Ok(Spent {
            cpu: now.cpu.saturating_sub(self.cpu),
            context_switches: more(&self.switches, &now.switches),
            rss_mib: rss_mib(self.pid)?,
        })
    }
}

/// CPU time of all threads so far, those that ended included, to the nanosecond (`clock_getcpuclockid(3)`);
/// `/proc/PID/stat` tells it in steps of 10 ms.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let clock = nix::time::clock_getcpuclockid(Pid::from_raw(pid.cast_signed()))?;
    Ok(clock.now()?.into())
}

/// Resident memory in MiB (`VmRSS` of `proc_pid_status(5)`).
pub fn rss_mib(pid: u32) -> io::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = field(&status, "VmRSS").ok_or_else(|| missing("VmRSS"))?;
    Ok(f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0)
}

fn context_switches(pid: u32) -> io::Result<HashMap<String, u64>> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?;
    // A thread may end between the listing and the reading.
    Ok(threads.filter_map(|thread| switches_of(&thread.ok()?.path())).collect())
}

fn switches_of(thread: &Path) -> Option<(String, u64)> {
    let status = fs::read_to_string(thread.join("status")).ok()?;
    Some((thread.file_name()?.to_string_lossy().into_owned(), switches(&status)?))
}

fn switches(status: &str) -> Option<u64> {
    Some(field(status, "voluntary_ctxt_switches")? + field(status, "nonvoluntary_ctxt_switches")?)
}

/// How many more there are now than before, thread by thread; a new thread counts from 0.
fn more(before: &HashMap<String, u64>, now: &HashMap<String, u64>) -> u64 {
    now.iter().map(|(thread, count)| count - before.get(thread).copied().unwrap_or(0).min(*count)).sum()
}

/// The number after `name:` in a status file.
fn field(status: &str, name: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

fn missing(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc says no {what}"))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::time::Instant;

    use super::*;

    /// Of a ringledger worker under load, Linux 6.18.
    const STATUS: &str = "Name:\tring-0\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t5501\nPid:\t5509\n\
        VmPeak:\t  412060 kB\nVmRSS:\t   15316 kB\nRssAnon:\t    9200 kB\nThreads:\t9\n\
        Cpus_allowed_list:\t0\nvoluntary_ctxt_switches:\t48211\nnonvoluntary_ctxt_switches:\t37\n";

    #[test]
    fn fields_are_found_by_their_whole_name() {
        assert_eq!(field(STATUS, "VmRSS"), Some(15_316));
        assert_eq!(switches(STATUS), Some(48_248));
        assert_eq!(field(STATUS, "Vm"), None);
    }

    #[test]
    fn switches_count_new_threads_whole_and_ended_ones_not() {
        let totals = |pairs: &[(&str, u64)]| pairs.iter().map(|&(id, n)| (id.to_owned(), n)).collect();
        let before = totals(&[("1", 10), ("2", 5)]);
        let now = totals(&[("1", 12), ("3", 4)]);
        assert_eq!(more(&before, &now), 6);
    }

    #[test]
    fn work_of_this_process_shows_in_its_totals() {
        let begun = Probe::begin(std::process::id()).expect("own process");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(20) {
            black_box(0);
        }
        let spent = begun.end().expect("own process");
        assert!(spent.cpu > Duration::from_micros(100), "{spent:?}");
        assert!(spent.rss_mib > 0.5, "{spent:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        // Above the greatest id of any Linux (PID_MAX_LIMIT, 2^22).
        assert!(Probe::begin(1 << 23).is_err());
    }
}
