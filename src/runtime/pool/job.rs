//! A job on its way: from the caller through the queue and a pool thread back to the caller. Knows nothing of
//! threads.
//!
//! A job may run twice, when the first run starves; the caller gets the outcome that comes first. So the work is
//! shared by its runs, and each run makes an [`Answer`] of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::PoolError;
use super::admission::Admitted;

/// How long a job waited and ran, in wall time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From its submission until the thread that answered it began with it.
    pub queue: Duration,
    /// From there until it returned or panicked, time in which the thread was preempted included.
    pub run: Duration,
}

/// Hands an outcome over: tells the observer, gives the place back, wakes the caller. Does nothing if another run of
/// the job has done so. Run by one thread only, since these take locks.
pub(super) type Answer = Box<dyn FnOnce(&mut dyn FnMut(Timing)) + Send>;

/// An admitted job. Dropped unanswered, it leaves its caller with [`PoolError::Stopped`].
pub(super) trait Job: Send + Sync {
    /// Runs the job; `None`, and nothing was run, when nobody waits for it any more. Wakes nobody.
    fn run(self: Arc<Self>) -> Option<Answer>;
    /// Whether nobody waits for it any more: it is answered, or its caller has gone.
    fn is_settled(&self) -> bool;
}

struct Call<F, T> {
    work: F,
    submitted: Instant,
    settled: Arc<AtomicBool>,
    /// Until the first answer. Locked only by the thread that answers.
    caller: Mutex<Option<Caller<T>>>,
}

struct Caller<T> {
    reply: oneshot::Sender<Result<T, PoolError>>,
    admitted: Admitted,
}

/// The caller's end of a job: the outcome, and its interest in it, which ends on drop. It does not hold the job, so
/// that one dropped unanswered drops `reply` too.
pub(super) struct Waiting<T> {
    settled: Arc<AtomicBool>,
    outcome: oneshot::Receiver<Result<T, PoolError>>,
}

/// A job that does `work`, and its caller's end.
pub(super) fn job<T, F>(work: F, admitted: Admitted) -> (Arc<dyn Job>, Waiting<T>)
where
    T: Send + 'static,
    F: Fn() -> T + Send + Sync + 'static,
{
    let (reply, outcome) = oneshot::channel();
    let settled = Arc::new(AtomicBool::new(false));
    let call = Call {
        work,
        submitted: Instant::now(),
        settled: Arc::clone(&settled),
        caller: Mutex::new(Some(Caller { reply, admitted })),
    };
    (Arc::new(call), Waiting { settled, outcome })
}

impl<T> Waiting<T> {
    pub(super) async fn outcome(mut self) -> Result<T, PoolError> {
        (&mut self.outcome).await.unwrap_or(Err(PoolError::Stopped))
    }
}

impl<T> Drop for Waiting<T> {
    fn drop(&mut self) {
        self.settled.store(true, Ordering::Relaxed);
    }
}

impl<F, T> Job for Call<F, T>
where
    T: Send + 'static,
    F: Fn() -> T + Send + Sync + 'static,
{
    fn run(self: Arc<Self>) -> Option<Answer> {
        if self.is_settled() {
            return None;
        }
        let started = Instant::now();
        // The panic hook has reported it; what the work had made dies with the unwinding.
        let outcome = catch_unwind(AssertUnwindSafe(&self.work)).map_err(|_| PoolError::Panicked);
        let timing = Timing { queue: started.duration_since(self.submitted), run: started.elapsed() };
        Some(Box::new(move |observe| self.answer(outcome, timing, observe)))
    }

    fn is_settled(&self) -> bool {
        self.settled.load(Ordering::Relaxed)
    }
}

impl<F, T> Call<F, T> {
    fn answer(&self, outcome: Result<T, PoolError>, timing: Timing, observe: &mut dyn FnMut(Timing)) {
        let caller = self.caller.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Caller { reply, admitted }) = caller else { return };
        self.settled.store(true, Ordering::Relaxed);
        observe(timing);
        // First, so that a caller with its answer finds the place free.
        drop(admitted);
        // A caller that left meanwhile has no use for it.
        let _ = reply.send(outcome);
    }
}
