//! Which cores the process may use, pinning a thread to one, and thread CPU time. Knows nothing
//! of what runs on them.

use std::hint::black_box;
use std::io;
use std::time::Duration;

pub use core_affinity::CoreId;

use super::sys;

/// Rounds of arithmetic between two looks at the clock in [`burn`]: a few microseconds, so that
/// the clock's own system call stays below a tenth of the work.
const BURN_ROUNDS: u64 = 4_000;

/// How much nicer threads are that [`give_way`]: each step is a quarter more or less of a core (`sched(7)`), so ten are a tenth.
const GIVING_WAY_NICE: u8 = 10;

/// The cores that the calling thread may run on: the cpuset of the process as long as nothing was
/// pinned. Call it before [`pin`]. Empty when the kernel does not say.
pub fn allowed() -> Vec<CoreId> {
    core_affinity::get_core_ids().unwrap_or_default()
}

/// How many cores of the machine are in use (`sysconf(3)`, `_SC_NPROCESSORS_ONLN`), whichever of them this
/// process may run on; 1 when the system does not say.
pub fn online() -> usize {
    sys::online_cores().unwrap_or(1)
}

/// Pins the calling thread to `core` (`sched_setaffinity(2)`).
///
/// Fails when the core is outside the process's cpuset.
pub fn pin(core: CoreId) -> io::Result<()> {
    if core_affinity::set_for_current(core) {
        Ok(())
    } else {
        Err(io::Error::other(format!("core {} is not one this process may run on", core.id)))
    }
}

/// Lets the calling thread wait for its turn when it is woken, instead of interrupting the thread that runs on its
/// core (`SCHED_BATCH`, `sched(7)`). For threads that rings wake and do not wait for.
pub fn let_others_first() {
    wait_for_turns(0);
}

/// The same, with a tenth of the share of a busy core that others have. For work that is not urgent and may hold a lock
/// for a moment that a ring takes too, which a thread of the CPU pool must not: it would be preempted for seconds there.
pub fn give_way() {
    wait_for_turns(GIVING_WAY_NICE);
}

fn wait_for_turns(more_nice: u8) {
    if let Err(error) = sys::become_batch(more_nice) {
        tracing::debug!(%error, "a background thread keeps its scheduling class");
    }
}

/// CPU time that the calling thread has used so far, user and system.
pub fn thread_cpu_time() -> Duration {
    sys::thread_cpu_time()
}

/// Spends `cost` of the calling thread's CPU time. Time in which the thread was preempted does
/// not count, so the wall time may be much longer.
pub fn burn(cost: Duration) {
    let end = thread_cpu_time().saturating_add(cost);
    while thread_cpu_time() < end {
        black_box((0..BURN_ROUNDS).fold(1, |product: u64, n| product.wrapping_mul(black_box(n))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_its_core_only() {
        let core = *allowed().last().expect("some core is allowed");
        std::thread::spawn(move || {
            pin(core).unwrap();
            assert_eq!(allowed(), [core]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_core_that_does_not_exist_is_refused() {
        assert!(pin(CoreId { id: 1_000 }).is_err());
    }

    #[test]
    fn burning_spends_thread_time() {
        let cost = Duration::from_millis(20);
        let before = thread_cpu_time();
        burn(cost);
        let spent = thread_cpu_time().saturating_sub(before);
        assert!(spent >= cost && spent < 2 * cost, "{spent:?}");
    }
}
