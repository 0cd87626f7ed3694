//! What the client asks of the kernel for its threads. Every wish may be refused; only the priority is reported.

use std::num::NonZeroU64;

use core_affinity::CoreId;
use rustix::process::setpriority_process;
use rustix::thread::{gettid, set_current_timer_slack};
use rustix::time::{ClockId, clock_gettime};

/// The highest priority that setpriority(2) knows. It takes a thread (Linux counts them as processes there) out
/// from behind a busy server on the same core.
const PRIORITY: i32 = -20;

/// Pins the calling thread to `core`, if any, lets its timers be exact, and raises its priority; true if that was
/// permitted.
pub(super) fn prepare(core: Option<usize>) -> bool {
    if let Some(id) = core {
        core_affinity::set_for_current(CoreId { id });
    }
    // prctl(2): a sleep may end this much late, 50 µs by default. Refused nowhere; without it the pacer shows it.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
    setpriority_process(Some(gettid()), PRIORITY).is_ok()
}

/// CPU time of the calling thread, in nanoseconds.
pub(super) fn cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
