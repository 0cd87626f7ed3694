//! The way to the store: pooled connections, used on tokio's blocking threads.
//!
//! SQLite has no asynchronous interface. A point read takes 2 µs when its pages are in memory, but milliseconds when
//! they are not or another process holds a lock, so the rule of tokio holds: what may block goes to `spawn_blocking`,
//! as deadpool-sqlite's `interact` does. A connection is checked out first, so that no more threads start than there are
//! connections. What writes has a thread of its own: see [`crate::writer`].

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{BuildError, Manager, Metrics, Pool, PoolError, RecycleResult};
use ringledger::models::posting::{Command, Outcome};
use ringledger::services::PostingLane;
use ringledger::store::{Reader, Store, StoreError};

use crate::cpu::blocking;
use crate::error::AppError;
use crate::writer::WriterQueue;

/// How long a request may wait for a connection; then 503. Bounds the queue by time: what waits longer is late anyway.
const CHECKOUT: Duration = Duration::from_secs(10);

/// Makes read connections.
pub(crate) struct Readers(Store);

impl Manager for Readers {
    type Type = Reader;
    type Error = StoreError;

    async fn create(&self) -> Result<Reader, StoreError> {
        self.0.reader()
    }

    async fn recycle(&self, _: &mut Reader, _: &Metrics) -> RecycleResult<StoreError> {
        Ok(())
    }
}

/// What reads the ledger.
pub(crate) struct Reads {
    readers: Pool<Readers>,
    /// Whether queries run on the runtime's own threads.
    inline: bool,
}

impl Reads {
    /// Over this many connections. `inline` runs queries on the runtime's own threads, which is faster as long as they
    /// find their pages in memory and holds up all other requests of the thread when they do not.
    pub(crate) fn new(store: Store, connections: usize, inline: bool) -> Result<Self, BuildError> {
        let pool = Pool::builder(Readers(store)).max_size(connections).runtime(Runtime::Tokio1);
        Ok(Self { readers: pool.wait_timeout(Some(CHECKOUT)).build()?, inline })
    }

    /// What `query` finds. All that one request reads goes into one `query`, so that it changes threads once.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl AsyncFnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, AppError> {
        let reader = self.readers.get().await.map_err(checkout_failed)?;
        if self.inline {
            return at_once(query(&reader));
        }
        blocking(move || at_once(query(&reader))).await?
    }
}

/// What changes the ledger.
pub(crate) enum Posting {
    /// One transaction for each request.
    Direct(WriterQueue),
    /// ringledger's posting lane, which makes one transaction of all that wait.
    Lane(PostingLane),
}

impl Posting {
    /// Decides and stores a command. The outcome is on stable storage when it is returned.
    pub(crate) async fn submit(&self, command: Command) -> Result<Outcome, AppError> {
        match self {
            Self::Direct(queue) => queue.submit(command).await,
            Self::Lane(lane) => Ok(lane.submit(command).await?),
        }
    }
}

/// The result of a query that waits for nothing, as those of an embedded store are.
fn at_once<T>(query: impl Future<Output = T>) -> Result<T, AppError> {
    match pin!(query).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(found) => Ok(found),
        Poll::Pending => Err(AppError::Internal("a query of an embedded store waits".into())),
    }
}

fn checkout_failed(error: PoolError<StoreError>) -> AppError {
    match error {
        PoolError::Backend(error) => error.into(),
        PoolError::Timeout(_) => AppError::Overloaded("Too many requests wait for the ledger."),
        PoolError::Closed | PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
            AppError::StoreUnavailable(error.to_string())
        }
    }
}
