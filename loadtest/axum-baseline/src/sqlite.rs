//! Reads of an SQLite ledger: pooled connections, used on tokio's blocking threads.
//!
//! SQLite has no asynchronous interface. A point read takes 2 µs when its pages are in memory, but milliseconds when
//! they are not or another process holds a lock, so the rule of tokio holds: what may block goes to `spawn_blocking`,
//! as deadpool-sqlite's `interact` does. A connection is checked out first, so that no more threads start than there are
//! connections. What writes has a thread of its own: see [`crate::writer`].

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use deadpool::Runtime;
use deadpool::managed::{BuildError, Manager, Metrics, Pool, PoolError, RecycleResult};
use ringledger::store::{Reader, Store, StoreError};

use crate::cpu::blocking;
use crate::error::AppError;
use crate::ledger::CHECKOUT;

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
pub(crate) struct SqliteReads {
    readers: Pool<Readers>,
    /// Whether queries run on the runtime's own threads.
    inline: bool,
}

impl SqliteReads {
    /// Over this many connections. `inline` runs queries on the runtime's own threads, which is faster as long as they
    /// find their pages in memory and holds up all other requests of the thread when they do not.
    pub(crate) fn new(store: Store, connections: usize, inline: bool) -> Result<Self, BuildError> {
        let pool = Pool::builder(Readers(store)).max_size(connections).runtime(Runtime::Tokio1);
        Ok(Self { readers: pool.wait_timeout(Some(CHECKOUT)).build()?, inline })
    }

    /// What `query` finds. All that one request reads goes into one `query`, so that it changes threads once.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl AsyncFnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, AppError> {
        let reader = self.readers.get().await.map_err(checkout_failed)?;
        let found = if self.inline {
            at_once(query(&reader))
        } else {
            blocking(move || at_once(query(&reader))).await?
        };
        Ok(found??)
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
