//! Work that burns a core: password hashing and `/cpu`. Knows nothing of requests.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::error::AppError;

/// Jobs that wait for a core; beyond it callers are told to come again. As many as ringledger's pool lets wait.
const QUEUE_JOBS: usize = 256;

/// Runs jobs on tokio's blocking threads, as many at once as it is told.
#[derive(Debug, Clone)]
pub(crate) struct CpuWork(Option<Permits>);

#[derive(Debug, Clone)]
struct Permits {
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl CpuWork {
    /// As many at once as there are cores.
    pub(crate) fn new(cores: usize) -> Self {
        Self(Some(Permits {
            admitted: Arc::new(Semaphore::new(cores + QUEUE_JOBS)),
            running: Arc::new(Semaphore::new(cores)),
        }))
    }

    /// `spawn_blocking` alone, as many services use it: up to 512 threads take turns on the cores with the runtime's
    /// own. Its documentation advises the limit.
    pub(crate) const fn unlimited() -> Self {
        Self(None)
    }

    /// The result of `job`, which goes on to its end even if nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, AppError> {
        let Some(permits) = &self.0 else { return blocking(job).await };
        let full = |_| AppError::Overloaded("Too many jobs wait for a core.");
        let place = Arc::clone(&permits.admitted).try_acquire_owned().map_err(full)?;
        let core = Arc::clone(&permits.running).acquire_owned().await;
        blocking(move || {
            let _held = (place, core);
            job()
        })
        .await
    }
}

/// Runs `work` on one of tokio's blocking threads. A panic of it is an error of this request alone.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AppError> {
    #[expect(
        clippy::disallowed_methods,
        reason = "what the rest of the workspace must not do is measured here"
    )]
    let work = tokio::task::spawn_blocking(work);
    work.await.map_err(|error| AppError::Internal(format!("a blocking job failed: {error}")))
}

#[cfg(test)]
mod tests {
    use std::sync::{Barrier, mpsc};

    use super::*;

    #[tokio::test]
    async fn no_more_jobs_run_or_wait_than_there_is_room_for() {
        let work = CpuWork::new(1);
        let permits = work.0.clone().unwrap();
        let (go, stopped) = mpsc::channel::<()>();
        let running = tokio::spawn({
            let work = work.clone();
            async move { work.run(move || stopped.recv()).await }
        });
        while permits.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting: Vec<_> = (0..QUEUE_JOBS)
            .map(|_| {
                let work = work.clone();
                tokio::spawn(async move { work.run(|| ()).await })
            })
            .collect();
        while permits.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(matches!(work.run(|| ()).await, Err(AppError::Overloaded(_))));
        drop(go);
        assert!(running.await.unwrap().is_ok());
        for job in waiting {
            assert!(job.await.unwrap().is_ok());
        }
        assert_eq!(permits.running.available_permits(), 1);
    }

    #[tokio::test]
    async fn without_permits_all_jobs_run_at_once() {
        const JOBS: usize = 8;
        let all_run = Arc::new(Barrier::new(JOBS));
        let jobs: Vec<_> = (0..JOBS)
            .map(|_| {
                let all_run = Arc::clone(&all_run);
                tokio::spawn(async move { CpuWork::unlimited().run(move || all_run.wait()).await })
            })
            .collect();
        for job in jobs {
            assert!(job.await.unwrap().is_ok());
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let failed = CpuWork::new(1).run(|| panic!("a bug")).await;
        assert!(matches!(failed, Err(AppError::Internal(_))));
    }
}
