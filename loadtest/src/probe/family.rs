//! CPU time of a process and of those that it started, as a database server has one for each connection.

use std::io;
use std::time::Duration;

use procfs::process::Process;
use procfs::{ProcError, ticks_per_second};

use super::cpu_time;

/// A process and its children at one moment.
#[derive(Debug)]
pub struct Family {
    parent: u32,
    cpu: Duration,
}

impl Family {
    /// Reads the total of a process and its children.
    pub fn begin(parent: u32) -> io::Result<Self> {
        Ok(Self { parent, cpu: family_cpu_time(parent)? })
    }

    /// The CPU time that they used since; of children that ended meanwhile in steps of 10 ms.
    pub fn end(self) -> io::Result<Duration> {
        Ok(family_cpu_time(self.parent)?.saturating_sub(self.cpu))
    }
}

fn family_cpu_time(parent: u32) -> io::Result<Duration> {
    let living: Duration = children(parent)?.into_iter().filter_map(|child| cpu_time(child).ok()).sum();
    Ok(cpu_time(parent)? + living + ended_cpu_time(parent)?)
}

/// Of children that the process has waited for (`cutime` and `cstime` of `proc_pid_stat(5)`).
fn ended_cpu_time(parent: u32) -> io::Result<Duration> {
    let stat = Process::new(parent.cast_signed()).and_then(|process| process.stat()).map_err(told)?;
    let ticks = stat.cutime.max(0).cast_unsigned() + stat.cstime.max(0).cast_unsigned();
    Ok(Duration::from_millis(ticks * 1_000 / ticks_per_second()))
}

fn children(parent: u32) -> io::Result<Vec<u32>> {
    // Processes come and go while they are listed.
    let stats =
        procfs::process::all_processes().map_err(told)?.filter_map(|process| process.ok()?.stat().ok());
    Ok(stats.filter(|stat| stat.ppid == parent.cast_signed()).map(|stat| stat.pid.cast_unsigned()).collect())
}

fn told(error: ProcError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    /// What `cutime` and `cstime` may each be short of.
    const STEP: Duration = Duration::from_millis(10);

    #[test]
    fn a_child_counts_while_it_lives_and_when_it_has_ended() {
        let begun = Family::begin(std::process::id()).expect("own process");
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo done; read _"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh");
        child.stdout.take().expect("piped").read_exact(&mut [0; 4]).expect("done");
        let burnt = cpu_time(child.id()).expect("alive");
        assert!(burnt > 2 * STEP, "{burnt:?}");
        assert!(family_cpu_time(std::process::id()).expect("own process") >= begun.cpu + burnt);
        drop(child.stdin.take());
        child.wait().expect("ended");
        assert!(begun.end().expect("own process") + 2 * STEP >= burnt);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        // Above the greatest id of any Linux (PID_MAX_LIMIT, 2^22).
        assert!(Family::begin(1 << 23).is_err());
    }
}
