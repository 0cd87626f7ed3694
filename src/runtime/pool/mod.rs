//! The CPU pool: few threads at `SCHED_IDLE` behind an admission bound, for work that burns cycles.
//! Knows nothing of what the jobs compute.
//!
//! `SCHED_IDLE` is what keeps the rings' tail flat: light requests beside a saturated pool have a
//! p99 of 0.21 ms, with the pool at normal priority 3.9 ms. One thread a core: two idle-class
//! threads a core already cost 1.5 ms. No niceness does as well: with rings a third busy on cores
//! that other processes want too, running jobs held up 8 % of the rings' wake-ups for more than
//! 0.2 ms at `SCHED_IDLE`, 54 % at `SCHED_BATCH` nice 19 and 85 % at nice 15.
//!
//! The price is that a saturated machine starves the pool; [`relief`] bounds that. [`threads`] says
//! why a job shares no lock with a ring.

mod admission;
mod job;
mod relief;
mod sleeper;
#[cfg(test)]
mod tests;
mod threads;

use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::warn;

pub use job::Timing;
use threads::Shared;

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PoolError {
    /// The queue is full. Nothing was run; try again later.
    #[error("the CPU pool's queue is full")]
    Full,
    /// The job panicked. The pool goes on.
    #[error("a job of the CPU pool panicked")]
    Panicked,
    /// The pool was stopped before the job could run.
    #[error("the CPU pool is stopped")]
    Stopped,
}

/// A handle that submits jobs. Cheap to clone, one for each worker.
#[derive(Clone)]
pub struct CpuPool {
    shared: Arc<Shared>,
}

/// The threads of a pool and their owner: dropping it stops and joins them.
pub struct CpuThreads {
    shared: Arc<Shared>,
    /// Those that run jobs.
    running: Vec<JoinHandle<()>>,
    clerk: Option<JoinHandle<()>>,
}

impl CpuPool {
    /// Starts `threads` threads, and two that sleep most of the time. At most `queue_len` jobs wait
    /// beside those that run: the bound protects memory, and callers from a wait that nobody would
    /// sit out.
    ///
    /// `observe` is told of every job that has run, just before its caller is. It is called on a
    /// thread of normal priority, one call at a time, and holds up the answers while it runs.
    ///
    /// Fails when a thread cannot be started; a refused `SCHED_IDLE` is logged.
    pub fn start(
        threads: NonZeroUsize,
        queue_len: usize,
        observe: impl FnMut(Timing) + Send + 'static,
    ) -> io::Result<(Self, CpuThreads)> {
        Self::start_with(relief::WINDOW, threads, queue_len, observe)
    }

    fn start_with(
        relief_window: Duration,
        threads: NonZeroUsize,
        queue_len: usize,
        mut observe: impl FnMut(Timing) + Send + 'static,
    ) -> io::Result<(Self, CpuThreads)> {
        let shared = Arc::new(Shared::new(threads.get(), threads.get() + queue_len));
        let mut owner = CpuThreads { shared: Arc::clone(&shared), running: Vec::new(), clerk: None };
        for index in 0..threads.get() {
            let worker = spawn(&format!("cpu-{index}"), &shared, move |shared| threads::work(shared, index))?;
            owner.running.push(worker);
        }
        let relieve = move |shared: &Shared| relief::relieve(shared, relief_window);
        owner.running.push(spawn("cpu-relief", &shared, relieve)?);
        let answer = move |shared: &Shared| threads::answer(shared, &mut observe);
        owner.clerk = Some(spawn("cpu-clerk", &shared, answer)?);
        Ok((Self { shared }, owner))
    }

    /// Runs `job` on a thread of the pool. If the returned future is dropped first, a job that
    /// still waits in the queue is skipped.
    ///
    /// A job that gets no CPU time is run a second time on another thread, so it should compute and
    /// change nothing. It should not block either: that looks like starvation.
    ///
    /// Errors: see [`PoolError`]; a full queue is reported at once, without waiting.
    pub async fn run<T, F>(&self, job: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        let admitted = self.shared.admission.admit().ok_or(PoolError::Full)?;
        let (job, waiting) = job::job(job, admitted);
        self.shared.submit(job);
        waiting.outcome().await
    }
}

fn spawn(
    name: &str,
    shared: &Arc<Shared>,
    life: impl FnOnce(&Shared) + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let shared = Arc::clone(shared);
    thread::Builder::new().name(name.to_owned()).spawn(move || life(&shared))
}

impl CpuThreads {
    /// Drops the jobs that wait (their callers get [`PoolError::Stopped`]), lets running ones finish
    /// and joins every thread. Blocks as long as the longest job runs.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for CpuThreads {
    fn drop(&mut self) {
        self.shared.stop();
        self.running.drain(..).for_each(join);
        // Only now has every outcome been queued.
        self.shared.done.close();
        self.clerk.take().into_iter().for_each(join);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        warn!("a thread of the CPU pool had panicked");
    }
}
