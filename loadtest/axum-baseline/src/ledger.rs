//! The way to the store: pooled connections, used on tokio's blocking threads.
//!
//! SQLite has no asynchronous interface. A point read takes 2 µs when its pages are in memory, but milliseconds when
//! they are not or another process holds a lock, so the rule of tokio holds: what may block goes to `spawn_blocking`,
//! as deadpool-sqlite's `interact` and tokio-rusqlite do. A connection is checked out first, so that no more threads
//! start than there are connections.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{BuildError, Manager, Metrics, Object, Pool, PoolError, RecycleResult};
use ringledger::models::posting::{Command, Outcome};
use ringledger::services::{PostingLane, now};
use ringledger::store::{Reader, Store, StoreError, Writer};
use tokio::runtime::Handle;

use crate::cpu::blocking;
use crate::error::AppError;

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

/// Makes the one write connection.
pub(crate) struct Writers(Store);

impl Manager for Writers {
    type Type = Writer;
    type Error = StoreError;

    async fn create(&self) -> Result<Writer, StoreError> {
        self.0.writer()
    }

    /// A transaction that fails is rolled back when it is dropped, so a connection is always as good as new.
    async fn recycle(&self, _: &mut Writer, _: &Metrics) -> RecycleResult<StoreError> {
        Ok(())
    }
}

/// What reads the ledger.
#[derive(Clone)]
pub(crate) struct Reads(Pool<Readers>);

impl Reads {
    /// Over this many connections.
    pub(crate) fn new(store: Store, connections: usize) -> Result<Self, BuildError> {
        let pool = Pool::builder(Readers(store)).max_size(connections).runtime(Runtime::Tokio1);
        Ok(Self(pool.wait_timeout(Some(CHECKOUT)).build()?))
    }

    /// What `query` finds. All that one request reads goes into one `query`, so that it changes threads once.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        query: impl AsyncFnOnce(&Reader) -> T + Send + 'static,
    ) -> Result<T, AppError> {
        let reader = self.0.get().await.map_err(checkout_failed)?;
        blocking(move || Handle::current().block_on(query(&reader))).await
    }
}

/// What changes the ledger.
pub(crate) enum Posting {
    /// One transaction for each request, on the one connection that SQLite lets write.
    Direct(Pool<Writers>),
    /// ringledger's posting lane, which makes one transaction of all that wait.
    Lane(PostingLane),
}

impl Posting {
    /// One transaction for each request.
    pub(crate) fn direct(store: Store) -> Result<Self, BuildError> {
        let pool = Pool::builder(Writers(store)).max_size(1).runtime(Runtime::Tokio1);
        Ok(Self::Direct(pool.wait_timeout(Some(CHECKOUT)).build()?))
    }

    /// Decides and stores a command. The outcome is on stable storage when it is returned.
    pub(crate) async fn submit(&self, command: Command) -> Result<Outcome, AppError> {
        match self {
            Self::Direct(pool) => {
                let writer = pool.get().await.map_err(checkout_failed)?;
                blocking(move || commit(writer, command)).await?
            }
            Self::Lane(lane) => Ok(lane.submit(command).await?),
        }
    }

    /// Ends the work in order.
    pub(crate) async fn close(self) -> Result<(), StoreError> {
        match self {
            Self::Direct(pool) => match pool.get().await {
                Ok(writer) => Object::take(writer).close(),
                Err(error) => Err(StoreError::Unavailable(error.to_string())),
            },
            Self::Lane(_) => Ok(()),
        }
    }
}

/// One transaction. The connection goes back to the pool at its end, before the request's task is even woken.
fn commit(mut writer: Object<Writers>, command: Command) -> Result<Outcome, AppError> {
    let outcomes = Handle::current().block_on(writer.commit(&[command], now()))?;
    drop(writer);
    outcomes.into_iter().next().ok_or_else(|| AppError::Internal("a command without an outcome".into()))
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
