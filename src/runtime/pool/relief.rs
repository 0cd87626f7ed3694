//! The relief thread: runs jobs for which the workers get no CPU time. Knows when that is so.
//!
//! While the rings saturate or spin on every core, `SCHED_IDLE` gets 0.3 % of one: 50 ms of work take 33 s, and an
//! unprivileged thread cannot leave the class (`sched(7)`: it needs `RLIMIT_NICE`). So one thread above that class
//! waits for the case. A long queue alone is no reason: on a busy pool it would only be one more thread that competes
//! with the rings. It looks at the workers twice, a [`WINDOW`] apart, and
//!
//! - runs the job of each worker that was in one all the time and got too little CPU time for it. The job is begun
//!   anew, since it cannot leave its thread; the starved run ends some time later and is forgotten. Workers do begin
//!   jobs that they cannot finish: who has slept gets a core at first, also beside a thread that spins.
//! - takes jobs from the queue, if no worker took one and some worker is starved. The queue is first in, first out,
//!   so the oldest has waited for the whole window.
//!
//! It goes on, a window at a time, until the workers do. Measured as an unprivileged user: logins (25 ms of work) beside
//! threads that spin on both cores took 12–16 s without it, and with it 0.43 s (the median of 45; the slowest 1.03 s).
//! In half a minute of 20 ms jobs on every worker, beside light requests, it used less than 10 ms of CPU time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::warn;

use super::job::Job;
use super::threads::{Reading, Shared, Worker};
use crate::runtime::sys;

/// How long jobs may go without progress; the relief comes after one to two of these. Long enough that a burst of
/// requests does not count as starvation, short enough that a login is answered within a second.
pub(super) const WINDOW: Duration = Duration::from_millis(250);

/// Less of a core than a worker in a job gets when it is not starved: one part in so many.
const STARVED_BELOW: u32 = 5;

/// How much nicer than others the thread is. On kernel 6.18, 50 ms of work on a core that another thread spins on took
/// 3.4 s of wall time at 19, 1.4 s at 15, 0.7 s at 10, 0.4 s at 5 and 0.1 s at 0. At 5 it gets at most a quarter of one
/// core.
const NICE: u8 = 5;

/// The life of the relief thread; `window` is [`WINDOW`].
pub(super) fn relieve(shared: &Shared, window: Duration) {
    if let Err(error) = sys::become_batch(NICE) {
        warn!(%error, "the relief thread of the CPU pool keeps its normal priority");
    }
    let stopped = || shared.jobs.is_closed();
    loop {
        shared.relief.sleep_until(|| stopped() || !shared.admission.is_empty());
        let mut before = Look::at(shared);
        while !shared.admission.is_empty() {
            shared.relief.nap(window.saturating_sub(before.at.elapsed()), stopped);
            if stopped() {
                return;
            }
            let now = Look::at(shared);
            help(shared, window, &before, &now);
            before = if shared.jobs.is_empty() { Look::at(shared) } else { now };
        }
        if stopped() {
            return;
        }
    }
}

/// Runs what was starved between two looks, for a window at most or a job longer.
fn help(shared: &Shared, window: Duration, before: &Look, now: &Look) {
    for job in now.starved_jobs(before, shared) {
        shared.run(job);
    }
    let queue_starved = now.queue_starved(before);
    while queue_starved && now.at.elapsed() < window && Look::at(shared).nothing_taken_since(now) {
        let Some(job) = shared.jobs.pop() else { return };
        shared.run(job);
    }
}

/// All workers at a moment.
#[derive(Clone)]
struct Look {
    at: Instant,
    /// Whether jobs wait for a worker.
    waiting: bool,
    workers: Vec<Reading>,
}

impl Look {
    fn at(shared: &Shared) -> Self {
        let workers = shared.workers.iter().map(Worker::read).collect();
        Self { at: Instant::now(), waiting: !shared.jobs.is_empty(), workers }
    }

    /// Each worker as it was and as it is.
    fn since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'a Reading, &'a Reading)> {
        before.workers.iter().zip(&self.workers)
    }

    fn nothing_taken_since(&self, before: &Self) -> bool {
        self.since(before).all(|(then, now)| then.taken == now.taken)
    }

    /// Whether a worker has been in one job all the time and got too little CPU time for it.
    fn starved_in_job(&self, before: &Self, then: &Reading, now: &Reading) -> bool {
        let enough = self.at.duration_since(before.at) / STARVED_BELOW;
        let one_job = then.in_job && now.in_job && then.taken == now.taken;
        one_job && now.cpu.saturating_sub(then.cpu) < enough
    }

    /// Takes over the unanswered jobs of starved workers.
    fn starved_jobs(&self, before: &Self, shared: &Shared) -> Vec<Arc<dyn Job>> {
        let workers = self.since(before).zip(&shared.workers);
        let starved = workers.filter(|((then, now), _)| self.starved_in_job(before, then, now));
        starved.filter_map(|(_, worker)| worker.take_over()).collect()
    }

    /// Whether jobs that have waited since `before` had no worker that could take them for lack of CPU time.
    fn queue_starved(&self, before: &Self) -> bool {
        let never_ran = |then: &Reading, now: &Reading| !then.in_job && !now.in_job;
        let starved = |(then, now)| never_ran(then, now) || self.starved_in_job(before, then, now);
        before.waiting && self.nothing_taken_since(before) && self.since(before).any(starved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Reading = Reading { in_job: false, taken: 7, cpu: Duration::ZERO };

    fn in_job(cpu_ms: u64) -> Reading {
        Reading { in_job: true, cpu: Duration::from_millis(cpu_ms), ..IDLE }
    }

    /// Whether workers that looked like `then` and a window later like `now` are starved.
    fn starved<const N: usize>(then: [Reading; N], now: [Reading; N]) -> bool {
        let at = Instant::now();
        let before = Look { at, waiting: true, workers: then.to_vec() };
        let now = Look { at: at + WINDOW, waiting: true, workers: now.to_vec() };
        let idle = Look { waiting: false, ..before.clone() };
        assert!(!now.queue_starved(&idle), "nothing waited");
        now.queue_starved(&before)
    }

    #[test]
    fn a_worker_that_takes_nothing_while_jobs_wait_is_starved() {
        assert!(starved([IDLE], [IDLE]));
        assert!(starved([IDLE, in_job(0)], [IDLE, in_job(250)]));
    }

    #[test]
    fn a_worker_whose_job_gets_no_cpu_time_is_starved() {
        assert!(starved([in_job(0)], [in_job(49)]));
        assert!(starved([in_job(0), in_job(0)], [in_job(250), in_job(1)]));
    }

    #[test]
    fn a_backlog_is_no_starvation() {
        assert!(!starved([in_job(0)], [in_job(50)]));
        let taken = Reading { taken: IDLE.taken + 1, ..in_job(1) };
        assert!(!starved([in_job(0), in_job(0)], [taken, in_job(1)]));
        assert!(!starved([IDLE, IDLE], [IDLE, taken]));
        assert!(!starved([in_job(0)], [IDLE]));
    }
}
