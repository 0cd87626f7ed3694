//! What is read of a ledger in Postgres: a statement each, prepared once on each connection.

use ringledger::models::{Account, AccountId, Actor, Role, Transfer, TransferId, User, UserId};
use ringledger::store::postgres::rows;
use ringledger::store::{AccountQuery, Credentials};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::PostgresPool;
use crate::error::AppError;

const HEAD: &str = "select seq from head where id = 1";
const USER: &str = "select id, username, role, created_at from users where id = $1";
const CREDENTIALS: &str = "select id, username, role, created_at, password_hash from users
    where lower(username collate \"C\") = lower($1 collate \"C\")";
const ACCOUNT: &str = "select id, owner, name, currency, balance, held, min_balance, version, created_at
    from accounts where id = $1";
const ACCOUNTS: &str = "select id, owner, name, currency, balance, held, min_balance, version, created_at
    from accounts where id > $1 order by id limit $2";
const ACCOUNTS_OF: &str = "select id, owner, name, currency, balance, held, min_balance, version, created_at
    from accounts where owner = $3 and id > $1 order by id limit $2";
const TRANSFER: &str = "select id, seq, status, debit_account, credit_account, amount, currency, description,
    metadata, reference, posted_amount, expires_at, reverses, reversed_by, created_by, idempotency_key, created_at, hold
    from transfers where id = $1";
const OWNS_EITHER: &str = "select exists (select from accounts where id in ($1, $2) and owner = $3)";

impl PostgresPool {
    /// Runs a real query: the end of the log.
    pub(crate) async fn check(&self) -> Result<(), AppError> {
        self.row(HEAD, &[]).await.map(drop)
    }

    /// A user by id.
    pub(crate) async fn user(&self, id: UserId) -> Result<Option<User>, AppError> {
        let row = self.row(USER, &[&id]).await?;
        row.as_ref().map(rows::user).transpose().map_err(AppError::from)
    }

    /// A user by name, whatever its case.
    pub(crate) async fn credentials(&self, username: &str) -> Result<Option<Credentials>, AppError> {
        let row = self.row(CREDENTIALS, &[&username]).await?;
        let found = |row: &Row| Ok(Credentials { user: rows::user(row)?, password_hash: rows::get(row, 4)? });
        row.as_ref().map(found).transpose()
    }

    /// An account by id.
    pub(crate) async fn account(&self, id: AccountId) -> Result<Option<Account>, AppError> {
        let row = self.row(ACCOUNT, &[&id]).await?;
        row.as_ref().map(rows::account).transpose().map_err(AppError::from)
    }

    /// A stretch of accounts.
    pub(crate) async fn accounts(&self, wanted: AccountQuery) -> Result<Vec<Account>, AppError> {
        // No account has the id of zeros.
        let after = wanted.after.unwrap_or_else(|| AccountId::from_uuid(uuid::Uuid::nil()));
        let limit = i64::from(wanted.limit);
        let found = match &wanted.owner {
            Some(owner) => self.rows(ACCOUNTS_OF, &[&after, &limit, owner]).await?,
            None => self.rows(ACCOUNTS, &[&after, &limit]).await?,
        };
        Ok(found.iter().map(rows::account).collect::<Result<_, _>>()?)
    }

    /// A transfer and whether it touches an account that the actor may see.
    pub(crate) async fn transfer(
        &self,
        actor: Actor,
        id: TransferId,
    ) -> Result<Option<(Transfer, bool)>, AppError> {
        let Some(row) = self.row(TRANSFER, &[&id]).await? else { return Ok(None) };
        let transfer = rows::transfer(&row)?;
        let terms = &transfer.terms;
        let visible = actor.role == Role::Operator
            || match self.row(OWNS_EITHER, &[&terms.debit_account, &terms.credit_account, &actor.id]).await? {
                Some(row) => rows::get(&row, 0)?,
                None => false,
            };
        Ok(Some((transfer, visible)))
    }

    async fn row(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, AppError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
        client.query_opt(&statement, parameters).await.map_err(unavailable)
    }

    async fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, AppError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(unavailable)?;
        client.query(&statement, parameters).await.map_err(unavailable)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn unavailable(error: Error) -> AppError {
    AppError::StoreUnavailable(error.to_string())
}
