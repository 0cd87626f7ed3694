//! The connections that one core reads through: a few, each shared by all requests of the core. Requests are sent
//! behind each other without waiting (pipelined), so a connection is not checked out for the length of a query but
//! kept until it fails; with a checkout a query the same core answers half as many (measured; see ARCHITECTURE.md).

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
    Runtime, Timeouts,
};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Connector, Options, Target, detail};
use crate::store::StoreError;
use crate::telemetry::metrics::here;

/// One core's connections to one target.
#[derive(Debug)]
pub(super) struct CorePool {
    pool: Pool,
    places: Vec<Place>,
    next: Cell<usize>,
    acquire_timeout: Duration,
}

/// Where a connection is kept while it works.
#[derive(Debug, Default)]
struct Place {
    shared: RefCell<Option<Arc<Shared>>>,
    /// Held by whoever makes a connection for this place; all others wait for that one.
    making: Mutex<()>,
}

/// A connection that several requests use at once.
#[derive(Debug)]
pub(super) struct Shared {
    /// Present until it is dropped.
    object: Option<Object>,
    /// Whether it stopped answering; then it does not go back to the pool.
    broken: AtomicBool,
}

impl Shared {
    pub(super) fn client(&self) -> &ClientWrapper {
        self.object.as_ref().expect("taken by drop alone")
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && self.broken.load(Ordering::Relaxed)
        {
            drop(Object::take(object));
        }
    }
}

impl CorePool {
    /// Connects nowhere yet: the first request of a core does, on that core.
    pub(super) fn new(target: &Target, options: &Options) -> Result<Self, StoreError> {
        let connect_timeout = target.share_of(options.acquire_timeout).min(options.connect_timeout);
        let connect = Connector::new(target.clone(), options.carrier, connect_timeout);
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(target.config().clone(), connect, config);
        let size = options.connections_per_core;
        let timeouts = Timeouts {
            wait: Some(options.acquire_timeout),
            create: Some(options.acquire_timeout),
            recycle: Some(options.acquire_timeout),
        };
        let pool = Pool::builder(manager)
            // One that stopped answering is held by those who wait for it; its successor is made meanwhile.
            .max_size(2 * size)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .post_create(session(options.statement_timeout))
            .build();
        let pool = pool.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let places = (0..size).map(|_| Place::default()).collect();
        Ok(Self { pool, places, next: Cell::new(0), acquire_timeout: options.acquire_timeout })
    }

    /// A connection that was alive when it was last looked at.
    pub(super) async fn any(&self) -> Result<Arc<Shared>, StoreError> {
        let place = &self.places[self.next.get()];
        self.next.set((self.next.get() + 1) % self.places.len());
        if let Some(shared) = place.alive() {
            here::pool_waited(Duration::ZERO);
            return Ok(shared);
        }
        let begin = Instant::now();
        let filled = self.fill(place).await;
        here::pool_waited(begin.elapsed());
        filled
    }

    async fn fill(&self, place: &Place) -> Result<Arc<Shared>, StoreError> {
        let made = async {
            let _making = place.making.lock().await;
            if let Some(shared) = place.alive() {
                return Ok(shared);
            }
            let object = self.pool.get().await.map_err(|error| StoreError::Unavailable(told(&error)))?;
            let shared = Arc::new(Shared { object: Some(object), broken: AtomicBool::new(false) });
            place.shared.replace(Some(Arc::clone(&shared)));
            Ok(shared)
        };
        let late = |_| StoreError::Unavailable("no connection to the database in time".into());
        timeout(self.acquire_timeout, made).await.map_err(late)?
    }

    /// Takes a connection that does not answer from its place and from the pool.
    pub(super) fn give_up(&self, broken: &Arc<Shared>) {
        broken.broken.store(true, Ordering::Relaxed);
        for place in &self.places {
            let mut shared = place.shared.borrow_mut();
            if shared.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, broken)) {
                *shared = None;
            }
        }
    }
}

impl Place {
    /// What is there, unless its connection has ended. Then it leaves the place to another.
    fn alive(&self) -> Option<Arc<Shared>> {
        let mut shared = self.shared.borrow_mut();
        if shared.as_ref().is_some_and(|shared| shared.client().is_closed()) {
            *shared = None;
        }
        shared.clone()
    }
}

/// What stands behind an error of the pool.
fn told(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => detail(error),
        PoolError::Timeout(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_) => error.to_string(),
    }
}

/// Has the server end what nobody waits for any more.
fn session(statement_timeout: Duration) -> Hook {
    let sql = format!("set statement_timeout = {}", statement_timeout.as_millis());
    Hook::async_fn(move |client: &mut ClientWrapper, _| {
        let sql = sql.clone();
        Box::pin(async move { client.batch_execute(&sql).await.map_err(HookError::Backend) })
    })
}
