//! The CPU pool: few threads at `SCHED_IDLE` behind an admission bound, for work that burns cycles.
//! Knows nothing of what the jobs compute.
//!
//! `SCHED_IDLE` is what keeps the rings' tail flat: light requests beside a saturated pool have a
//! p99 of 0.21 ms, with the pool at normal priority 3.9 ms. One thread a core: two idle-class
//! threads a core already cost 1.5 ms. The price: while every core is saturated the pool gets
//! about 0.3 % of one, so whoever waits for it needs a deadline.

use std::io;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded, select_biased, unbounded};
use tokio::sync::{Semaphore, oneshot};
use tracing::warn;

use super::sys;

/// A queued job; it reports to its caller itself.
type Job = Box<dyn FnOnce() + Send>;

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
    /// Unbounded, because only then does crossbeam drop what is queued when the threads are gone;
    /// `admission` is the bound.
    jobs: Sender<Job>,
    /// One permit for each job that may run or wait; held by the job.
    admission: Arc<Semaphore>,
}

/// The threads of a pool and their owner: dropping it stops and joins them.
pub struct CpuThreads {
    threads: Vec<JoinHandle<()>>,
    /// Never sent on. Its disconnection ends the threads.
    stop: Option<Sender<()>>,
}

impl CpuPool {
    /// Starts `threads` threads. At most `queue_len` jobs wait beside those that run: the bound
    /// protects memory, and callers from a wait that nobody would sit out.
    ///
    /// Fails when a thread cannot be started; a refused `SCHED_IDLE` is logged.
    pub fn start(threads: NonZeroUsize, queue_len: usize) -> io::Result<(Self, CpuThreads)> {
        let (jobs, queue) = unbounded::<Job>();
        let admission = Arc::new(Semaphore::new(threads.get() + queue_len));
        let (stop, stopped) = bounded(0);
        let mut owner = CpuThreads { threads: Vec::with_capacity(threads.get()), stop: Some(stop) };
        for index in 0..threads.get() {
            let (queue, stopped) = (queue.clone(), stopped.clone());
            let thread =
                thread::Builder::new().name(format!("cpu-{index}")).spawn(move || work(&queue, &stopped))?;
            owner.threads.push(thread);
        }
        Ok((Self { jobs, admission }, owner))
    }

    /// Runs `job` on a thread of the pool. If the returned future is dropped first, a job that
    /// still waits in the queue is skipped.
    ///
    /// Errors: see [`PoolError`]; a full queue is reported at once, without waiting.
    pub async fn run<T, F>(&self, job: F) -> Result<T, PoolError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let admitted = Arc::clone(&self.admission).try_acquire_owned().map_err(|_| PoolError::Full)?;
        let (reply, outcome) = oneshot::channel();
        let job = Box::new(move || {
            let _admitted = admitted;
            if reply.is_closed() {
                return;
            }
            // The panic hook has reported it; the job's state dies with the unwinding.
            let result = catch_unwind(AssertUnwindSafe(job)).map_err(|_| PoolError::Panicked);
            // A caller that left meanwhile has no use for the result.
            let _ = reply.send(result);
        });
        self.jobs.send(job).map_err(|_| PoolError::Stopped)?;
        outcome.await.unwrap_or(Err(PoolError::Stopped))
    }
}

impl CpuThreads {
    /// Lets running jobs finish, drops those that wait (their callers get
    /// [`PoolError::Stopped`]) and joins every thread. Blocks as long as the longest job runs.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for CpuThreads {
    fn drop(&mut self) {
        self.stop = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                warn!("a thread of the CPU pool had panicked");
            }
        }
    }
}

/// The life of a pool thread.
fn work(queue: &Receiver<Job>, stopped: &Receiver<()>) {
    if let Err(error) = sys::become_idle_class() {
        warn!(%error, "SCHED_IDLE was refused: heavy work will compete with the I/O threads");
    }
    loop {
        // Biased: a stopped pool starts no further job.
        select_biased! {
            recv(stopped) -> _ => return,
            recv(queue) -> job => match job {
                Ok(job) => job(),
                Err(_) => return,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn one_thread(queue_len: usize) -> (CpuPool, CpuThreads) {
        CpuPool::start(NonZeroUsize::MIN, queue_len).unwrap()
    }

    /// Occupies the pool's only thread until the returned sender is used or dropped.
    async fn occupy(pool: &CpuPool) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel();
        let (started, has_started) = oneshot::channel();
        let pool = pool.clone();
        tokio::spawn(async move {
            let job = move || {
                started.send(()).unwrap();
                released.recv()
            };
            pool.run(job).await
        });
        has_started.await.unwrap();
        release
    }

    #[tokio::test]
    async fn results_come_back_from_named_threads() {
        let (pool, _threads) = one_thread(1);
        let name = pool.run(|| thread::current().name().map(str::to_owned)).await;
        assert_eq!(name, Ok(Some("cpu-0".to_owned())));
    }

    #[tokio::test]
    async fn threads_run_in_the_idle_class() {
        let (pool, _threads) = one_thread(1);
        assert_eq!(pool.run(sys::scheduling_class).await, Ok(libc::SCHED_IDLE));
        assert_eq!(sys::scheduling_class(), libc::SCHED_OTHER);
    }

    #[tokio::test]
    async fn a_full_queue_is_reported_at_once() {
        let (pool, _threads) = one_thread(1);
        let release = occupy(&pool).await;
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| 1).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(pool.run(|| 2).await, Err(PoolError::Full));
        drop(release);
        assert_eq!(waiting.await.unwrap(), Ok(1));
    }

    #[tokio::test]
    async fn a_panic_is_contained() {
        let (pool, _threads) = one_thread(1);
        let outcome: Result<(), _> = pool.run(|| panic!("this panic belongs to the test")).await;
        assert_eq!(outcome, Err(PoolError::Panicked));
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn a_job_whose_caller_has_gone_is_skipped() {
        let (pool, _threads) = one_thread(1);
        let release = occupy(&pool).await;
        let (ran, runs) = mpsc::channel();
        let abandoned = tokio::spawn({
            let (pool, ran) = (pool.clone(), ran.clone());
            async move { pool.run(move || ran.send("abandoned")).await }
        });
        tokio::task::yield_now().await;
        abandoned.abort();
        assert!(abandoned.await.unwrap_err().is_cancelled());
        drop(release);
        // Wait until the thread has taken the abandoned job out.
        while pool.admission.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        pool.run(move || ran.send("wanted")).await.unwrap().unwrap();
        assert_eq!(runs.recv(), Ok("wanted"));
    }

    #[tokio::test]
    async fn stopping_ends_the_running_job_and_drops_the_waiting_one() {
        let (pool, mut threads) = one_thread(1);
        let release = occupy(&pool).await;
        let waiting = tokio::spawn({
            let pool = pool.clone();
            async move { pool.run(|| ()).await }
        });
        tokio::task::yield_now().await;
        threads.stop = None;
        drop(release);
        threads.stop();
        assert_eq!(waiting.await.unwrap(), Err(PoolError::Stopped));
        assert_eq!(pool.run(|| ()).await, Err(PoolError::Stopped));
    }
}
