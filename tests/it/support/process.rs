//! A process as the kernel sees it (proc(5)). Knows nothing of what it does.

use std::time::Duration;

/// A running process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process {
    pid: i32,
}

impl Process {
    /// The process with this number.
    pub(crate) fn of(pid: u32) -> Self {
        Self { pid: pid.try_into().unwrap() }
    }

    /// The one that runs the tests.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(self) -> u64 {
        self.look().status().unwrap().vmrss.expect("a process that runs has memory") * 1024
    }

    /// CPU time of all its threads, user and kernel, to 10 ms.
    pub(crate) fn cpu_time(self) -> Duration {
        let stat = self.look().stat().unwrap();
        Duration::from_secs(stat.utime + stat.stime) / u32::try_from(procfs::ticks_per_second()).unwrap()
    }

    /// CPU time used since it was `before`.
    pub(crate) fn cpu_time_since(self, before: Duration) -> Duration {
        self.cpu_time().checked_sub(before).expect("CPU time only rises")
    }

    /// Scheduling policy (`sched_setscheduler(2)`) and niceness of its thread of this name, once it has one.
    pub(crate) fn schedule(self, thread: &str) -> Option<(i32, i64)> {
        let stats = self.look().tasks().unwrap().filter_map(|task| task.ok()?.stat().ok());
        let stat = stats.into_iter().find(|stat| stat.comm == thread)?;
        Some((stat.policy?.cast_signed(), stat.nice))
    }

    /// Open file descriptors.
    pub(crate) fn open_files(self) -> usize {
        self.look().fd_count().unwrap()
    }

    /// How many open files it may have, soft and hard; `u64::MAX` is no limit.
    pub(crate) fn file_limits(self) -> (u64, u64) {
        let limits = self.look().limits().unwrap().max_open_files;
        let number = |limit| match limit {
            procfs::process::LimitValue::Value(number) => number,
            procfs::process::LimitValue::Unlimited => u64::MAX,
        };
        (number(limits.soft_limit), number(limits.hard_limit))
    }

    fn look(self) -> procfs::process::Process {
        procfs::process::Process::new(self.pid).unwrap()
    }
}
