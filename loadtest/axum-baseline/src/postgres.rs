//! A ledger in Postgres: a pool of connections, one checked out for each request, one transaction for each command.
//!
//! What a transaction does is ringledger's own batch with one command in it: two round trips, where a handler that awaits
//! statement after statement takes eight.

mod queries;
mod unordered;

use std::slice;
use std::str::FromStr;
use std::time::Duration;

use deadpool_postgres::{
    BuildError, Client, ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, PoolError,
    RecyclingMethod, Runtime,
};
use ringledger::models::posting::{Command, Outcome, TransferRequest, Unseen};
use ringledger::services::now;
use ringledger::store::StoreError;
use ringledger::store::postgres::batch::{self, Memory};
use tokio_postgres::{Config, NoTls};

use crate::error::AppError;
use crate::ledger::CHECKOUT;

/// What each session is told first, as that of ringledger's lane: plans that were cached while the tables were empty are
/// bad ones (17 ms a transaction against 1).
const SESSION: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
    set enable_hashjoin = off; set enable_mergejoin = off; set jit = off";

/// How often a transaction is tried that loses against others; bounds what one request costs the others.
const TRIES: usize = 10;

/// Between two tries: about as long as a transaction takes.
const PAUSE: Duration = Duration::from_millis(5);

/// Why there is no pool.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PostgresError {
    /// Not a URL that the library reads.
    #[error("DATABASE_URL: {0}")]
    Url(#[from] tokio_postgres::Error),
    /// The settings of the pool contradict each other.
    #[error("pool: {0}")]
    Pool(#[from] BuildError),
}

/// The connections that all requests share.
pub(crate) struct PostgresPool {
    pool: Pool,
    order: Order,
}

/// What a transaction promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// All that ringledger does.
    Total,
    /// Neither order nor chain of the ledger's events: see [`unordered`].
    Rows,
}

impl PostgresPool {
    /// Of this many connections at most; each is made when it is first needed.
    pub(crate) fn new(url: &str, connections: usize, order: Order) -> Result<Self, PostgresError> {
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(Config::from_str(url)?, NoTls, config);
        let session = Hook::async_fn(move |client: &mut ClientWrapper, _| {
            Box::pin(async move { start_session(client, order).await.map_err(HookError::Backend) })
        });
        let pool = Pool::builder(manager).max_size(connections).runtime(Runtime::Tokio1).post_create(session);
        let pool = pool.wait_timeout(Some(CHECKOUT)).create_timeout(Some(CHECKOUT)).build()?;
        Ok(Self { pool, order })
    }

    async fn client(&self) -> Result<Client, AppError> {
        self.pool.get().await.map_err(|error| checkout_failed(&error))
    }

    /// Decides and stores a command. The outcome is on stable storage when it is returned.
    pub(crate) async fn submit(&self, command: Command) -> Result<Outcome, AppError> {
        let session = Session(Some(self.client().await?));
        let posted = match (self.order, &command) {
            (Order::Rows, Command::Transfer(request)) => post_unordered(&session, &command, request).await,
            (Order::Rows, Command::Batch(_)) => {
                Err(AppError::NotImplemented("This variant makes one transfer at a time."))
            }
            (Order::Rows | Order::Total, _) => post(&session, &command).await,
        };
        session.give_back();
        posted
    }
}

async fn start_session(client: &ClientWrapper, order: Order) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(SESSION).await?;
    if order == Order::Rows {
        client.batch_execute(unordered::SEQUENCE).await?;
    }
    Ok(())
}

/// As ringledger's store does it: what lost against another transaction is tried again.
async fn post(session: &Session, command: &Command) -> Result<Outcome, AppError> {
    let commands = slice::from_ref(command);
    let memory = Memory::default();
    let mut unseen = Unseen::default();
    let mut tries = 1;
    let posted = loop {
        match batch::post(session, &memory, commands, &now, &mut unseen).await {
            Err(error) if error.lost_a_race() && tries < TRIES => tokio::time::sleep(PAUSE).await,
            ended => break ended,
        }
        tries += 1;
    };
    let only = posted.map_err(StoreError::from)?.into_iter().next();
    only.ok_or_else(|| AppError::Internal("a command has no outcome".into()))
}

async fn post_unordered(
    session: &Session,
    command: &Command,
    request: &TransferRequest,
) -> Result<Outcome, AppError> {
    for _ in 0..TRIES {
        let failed = match unordered::post(session, command, request).await {
            Ok(outcome) => return Ok(outcome),
            Err(failed) => failed,
        };
        // On a connection that is lost there is nothing to roll back.
        let _ = session.batch_execute("rollback").await;
        match failed {
            unordered::Failed::Race => tokio::time::sleep(PAUSE).await,
            unordered::Failed::Ended(error) => return Err(error),
        }
    }
    Err(AppError::StoreUnavailable("a transaction lost against others again and again".into()))
}

/// A connection in the midst of a transaction. If the request goes away, so does it: the next one would find the
/// transaction open.
struct Session(Option<Client>);

impl Session {
    /// After the end of the transaction.
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl std::ops::Deref for Session {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0.as_ref().expect("taken with the value itself alone")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.0.take().map(Client::take));
    }
}

fn checkout_failed(error: &PoolError) -> AppError {
    match error {
        PoolError::Timeout(_) => AppError::Overloaded("Too many requests wait for the ledger."),
        PoolError::Backend(_)
        | PoolError::Closed
        | PoolError::NoRuntimeSpecified
        | PoolError::PostCreateHook(_) => AppError::StoreUnavailable(error.to_string()),
    }
}
