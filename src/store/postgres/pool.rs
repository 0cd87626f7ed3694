//! The connections that one core reads through: a few, each shared by all requests of the core. Requests are sent
//! behind each other without waiting (pipelined), so a connection is not checked out for the length of a query but
//! kept until it fails; with a checkout a query the same core answers half as many (measured; see ARCHITECTURE.md).

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    ClientWrapper, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts,
};

use super::{Connector, Options, Target};
use crate::store::StoreError;

/// One core's connections to one target.
#[derive(Debug)]
pub(super) struct CorePool {
    pool: Pool,
    shared: RefCell<Vec<Option<Arc<Shared>>>>,
    next: Cell<usize>,
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
        let connect = Connector::new(target.clone(), options.carrier, options.connect_timeout);
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_connect(target.config().clone(), connect, config);
        let size = options.connections_per_core;
        let timeouts = Timeouts {
            wait: Some(options.acquire_timeout),
            create: Some(options.acquire_timeout),
            recycle: Some(options.acquire_timeout),
        };
        let pool = Pool::builder(manager)
            .max_size(size)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1)
            .post_create(session(options.statement_timeout))
            .build();
        let pool = pool.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { pool, shared: RefCell::new(vec![None; size]), next: Cell::new(0) })
    }

    /// A connection that was alive when it was last looked at.
    pub(super) async fn any(&self) -> Result<Arc<Shared>, StoreError> {
        let place = self.next.get();
        self.next.set((place + 1) % self.shared.borrow().len());
        if let Some(shared) = self.alive(place) {
            return Ok(shared);
        }
        let object = self.pool.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let shared = Arc::new(Shared { object: Some(object), broken: AtomicBool::new(false) });
        self.shared.borrow_mut()[place] = Some(Arc::clone(&shared));
        Ok(shared)
    }

    /// What is there, unless its connection has ended. Then it leaves its place to another.
    fn alive(&self, place: usize) -> Option<Arc<Shared>> {
        let mut shared = self.shared.borrow_mut();
        if shared[place].as_ref().is_some_and(|shared| shared.client().is_closed()) {
            shared[place] = None;
        }
        shared[place].clone()
    }

    /// Takes a connection that does not answer from its place and from the pool.
    pub(super) fn give_up(&self, broken: &Arc<Shared>) {
        broken.broken.store(true, Ordering::Relaxed);
        for place in self.shared.borrow_mut().iter_mut() {
            if place.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, broken)) {
                *place = None;
            }
        }
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
