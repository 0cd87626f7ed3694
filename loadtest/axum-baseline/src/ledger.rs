//! What handlers ask of the ledger, whatever keeps it. Knows nothing of requests.

use std::sync::Arc;
use std::time::Duration;

use ringledger::models::posting::{Command, Outcome};
use ringledger::models::{Account, AccountId, Actor, Role, Transfer, TransferId, User, UserId};
use ringledger::services::PostingLane;
use ringledger::store::{AccountQuery, Credentials, Reader, StoreError};

use crate::error::AppError;
use crate::postgres::PostgresPool;
use crate::sqlite::SqliteReads;
use crate::writer::WriterQueue;

/// How long a request may wait for a connection; then 503. Bounds the queue by time: what waits longer is late anyway.
pub(crate) const CHECKOUT: Duration = Duration::from_secs(10);

/// What reads the ledger.
pub(crate) enum Reads {
    /// A file.
    Sqlite(SqliteReads),
    /// A server.
    Postgres(Arc<PostgresPool>),
}

impl Reads {
    /// Runs a real query: the end of the log.
    pub(crate) async fn check(&self) -> Result<(), AppError> {
        match self {
            Self::Sqlite(reads) => reads.run(async |reader| reader.head().await.map(drop)).await,
            Self::Postgres(pool) => pool.check().await,
        }
    }

    /// A user by id.
    pub(crate) async fn user(&self, id: UserId) -> Result<Option<User>, AppError> {
        match self {
            Self::Sqlite(reads) => reads.run(async move |reader| reader.user(id).await).await,
            Self::Postgres(pool) => pool.user(id).await,
        }
    }

    /// A user by name, whatever its case.
    pub(crate) async fn credentials(&self, username: String) -> Result<Option<Credentials>, AppError> {
        match self {
            Self::Sqlite(reads) => reads.run(async move |reader| reader.credentials(&username).await).await,
            Self::Postgres(pool) => pool.credentials(&username).await,
        }
    }

    /// An account by id.
    pub(crate) async fn account(&self, id: AccountId) -> Result<Option<Account>, AppError> {
        match self {
            Self::Sqlite(reads) => reads.run(async move |reader| reader.account(id).await).await,
            Self::Postgres(pool) => pool.account(id).await,
        }
    }

    /// A stretch of accounts.
    pub(crate) async fn accounts(&self, wanted: AccountQuery) -> Result<Vec<Account>, AppError> {
        match self {
            Self::Sqlite(reads) => reads.run(async move |reader| reader.accounts(wanted).await).await,
            Self::Postgres(pool) => pool.accounts(wanted).await,
        }
    }

    /// A transfer and whether it touches an account that the actor may see.
    pub(crate) async fn transfer(
        &self,
        actor: Actor,
        id: TransferId,
    ) -> Result<Option<(Transfer, bool)>, AppError> {
        match self {
            Self::Sqlite(reads) => reads.run(async move |reader| visible(reader, actor, id).await).await,
            Self::Postgres(pool) => pool.transfer(actor, id).await,
        }
    }
}

async fn visible(
    reader: &Reader,
    actor: Actor,
    id: TransferId,
) -> Result<Option<(Transfer, bool)>, StoreError> {
    let Some(transfer) = reader.transfer(id).await? else { return Ok(None) };
    if actor.role == Role::Operator {
        return Ok(Some((transfer, true)));
    }
    for side in [transfer.terms.debit_account, transfer.terms.credit_account] {
        if reader.account(side).await?.is_some_and(|account| account.owner == actor.id) {
            return Ok(Some((transfer, true)));
        }
    }
    Ok(Some((transfer, false)))
}

/// What changes the ledger.
pub(crate) enum Posting {
    /// One transaction for each request, on SQLite's one write connection.
    Direct(WriterQueue),
    /// One transaction for each request, on a connection of the pool.
    Pooled(Arc<PostgresPool>),
    /// ringledger's posting lane, which makes one transaction of all that wait.
    Lane(PostingLane),
}

impl Posting {
    /// Decides and stores a command. The outcome is on stable storage when it is returned.
    pub(crate) async fn submit(&self, command: Command) -> Result<Outcome, AppError> {
        match self {
            Self::Direct(queue) => queue.submit(command).await,
            // Boxed: it has all statements of a transaction in it.
            Self::Pooled(pool) => Box::pin(pool.submit(command)).await,
            Self::Lane(lane) => Ok(lane.submit(command).await?),
        }
    }
}
