//! What the kernel knows about this process, by proc(5).

use procfs::ProcResult;
use procfs::process::{LimitValue, Process};

/// What the process uses.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) resident_bytes: u64,
    pub(super) virtual_bytes: u64,
    pub(super) open_fds: usize,
    /// What the soft limit allows; the highest number if it allows any.
    pub(super) max_fds: u64,
    pub(super) threads: i64,
    /// Of all its threads, in user and kernel mode.
    pub(super) cpu_ticks: u64,
    pub(super) ticks_per_second: u64,
}

impl Usage {
    pub(super) fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        Ok(Self {
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            // Less the one that this reading holds.
            open_fds: process.fd_count()?.saturating_sub(1),
            max_fds: match process.limits()?.max_open_files.soft_limit {
                LimitValue::Value(limit) => limit,
                LimitValue::Unlimited => u64::MAX,
            },
            threads: stat.num_threads,
            cpu_ticks: stat.utime + stat.stime,
            ticks_per_second: procfs::ticks_per_second(),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "exact for 2^53 ticks, millions of years")]
    pub(super) fn cpu_seconds(&self) -> f64 {
        self.cpu_ticks as f64 / self.ticks_per_second as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_that_of_this_process() {
        let files: Vec<_> = (0..64).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        let ballast = std::hint::black_box(vec![1_u8; 32 << 20]);
        let usage = Usage::read().unwrap();
        assert!(usage.open_fds >= files.len() && usage.open_fds < 100_000, "{usage:?}");
        assert!(usage.resident_bytes >= 32 << 20 && usage.resident_bytes < 1 << 40, "{usage:?}");
        drop(ballast);
        assert!(usage.cpu_seconds() < 1e6, "{usage:?}");
    }
}
