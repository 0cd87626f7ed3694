//! The lives of a pool's threads, and what they share. Knows nothing of what jobs compute.
//!
//! - **Workers** (`cpu-N`, `SCHED_IDLE`) run the jobs.
//! - **Relief** (`cpu-relief`, see [`relief`](super::relief)) runs those for which the workers get no CPU time.
//! - **The clerk** (`cpu-clerk`, normal priority) hands outcomes over. Waking a task locks its scheduler's queue, which
//!   the ring locks too; a thread at `SCHED_IDLE` that is preempted there would stop the ring, and so might the
//!   observer's locks. A worker pushes onto a lock-free queue instead, and the clerk does the rest. It costs a
//!   job one more wake-up.
//!
//! So a job shares no lock with a ring, as far as the pool goes. What remains is the job's own: standard error and
//! the backtrace lock when it panics, and the kernel's lock of the address space when it maps or unmaps memory.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tracing::{error, warn};

use super::admission::Admission;
use super::job::{Answer, Job, Timing};
use super::sleeper::{Queue, Sleeper};
use crate::runtime::sys::{self, ThreadClock};

/// What the threads share with each other and with those who submit.
pub(super) struct Shared {
    /// A place for each job that has not been answered.
    pub(super) admission: Arc<Admission>,
    /// Jobs that wait. Its consumers are the workers.
    pub(super) jobs: Queue<Arc<dyn Job>>,
    /// Where the relief thread sleeps while every job is answered.
    pub(super) relief: Sleeper,
    /// What each worker is doing.
    pub(super) workers: Box<[Worker]>,
    /// Outcomes. Its one consumer is the clerk.
    pub(super) done: Queue<Answer>,
}

impl Shared {
    /// For so many workers, none of them started, and so many jobs.
    pub(super) fn new(workers: usize, jobs: usize) -> Self {
        Self {
            admission: Admission::new(jobs),
            jobs: Queue::new(workers),
            relief: Sleeper::default(),
            workers: (0..workers).map(|_| Worker::default()).collect(),
            done: Queue::new(1),
        }
    }

    /// Queues a job. One that comes too late is dropped, so that its caller does not wait for ever.
    pub(super) fn submit(&self, job: Arc<dyn Job>) {
        self.jobs.push(job);
        self.relief.wake();
        if self.jobs.is_closed() {
            self.drop_waiting();
        }
    }

    /// Starts no further job and drops those that wait.
    pub(super) fn stop(&self) {
        self.jobs.close();
        self.relief.rouse();
        self.drop_waiting();
    }

    fn drop_waiting(&self) {
        while self.jobs.pop().is_some() {}
    }

    /// Runs a job on the calling thread and leaves its outcome to the clerk.
    pub(super) fn run(&self, job: Arc<dyn Job>) {
        if let Some(answer) = job.run() {
            self.done.push(answer);
        }
    }
}

/// What a worker shows of itself to the relief thread, and to no other: a ring never looks here.
#[derive(Default)]
pub(super) struct Worker {
    clock: OnceLock<ThreadClock>,
    taken: AtomicU64,
    job: Mutex<Option<Arc<dyn Job>>>,
}

/// A look at a [`Worker`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// Whether the worker is running a job that nobody has taken over.
    pub(super) in_job: bool,
    /// Jobs that it has begun.
    pub(super) taken: u64,
    /// CPU time that it has used.
    pub(super) cpu: Duration,
}

impl Worker {
    /// The state of the worker now. A thread that has not begun, or has ended, has used no CPU time.
    pub(super) fn read(&self) -> Reading {
        Reading {
            // Locked is a worker that was preempted while it took or left a job.
            in_job: self.job.try_lock().map_or(true, |job| job.is_some()),
            taken: self.taken.load(Ordering::Relaxed),
            cpu: self.clock.get().and_then(ThreadClock::read).unwrap_or_default(),
        }
    }

    /// Takes over the job that the worker is running, if somebody still waits for it. The worker goes on with it.
    pub(super) fn take_over(&self) -> Option<Arc<dyn Job>> {
        self.job.try_lock().ok()?.take().filter(|job| !job.is_settled())
    }

    fn show(&self, job: Option<Arc<dyn Job>>) {
        // Bound, so that what was there is dropped after the lock.
        let _before = std::mem::replace(&mut *self.job.lock().unwrap_or_else(PoisonError::into_inner), job);
    }
}

/// The life of worker `index`.
pub(super) fn work(shared: &Shared, index: usize) {
    if let Err(error) = sys::become_idle_class() {
        warn!(%error, "SCHED_IDLE was refused: heavy work will compete with the I/O threads");
    }
    let worker = &shared.workers[index];
    worker.clock.get_or_init(ThreadClock::of_caller);
    while shared.jobs.wait(index) {
        if let Some(job) = shared.jobs.pop() {
            worker.taken.fetch_add(1, Ordering::Relaxed);
            worker.show(Some(Arc::clone(&job)));
            shared.run(job);
            worker.show(None);
        }
    }
}

/// The life of the clerk.
pub(super) fn answer(shared: &Shared, observe: &mut dyn FnMut(Timing)) {
    loop {
        let open = shared.done.wait(0);
        while let Some(answer) = shared.done.pop() {
            // A result's destructor and the observer are not the pool's code.
            if catch_unwind(AssertUnwindSafe(|| answer(observe))).is_err() {
                error!("handing over a job's outcome panicked");
            }
        }
        if !open {
            return;
        }
    }
}
