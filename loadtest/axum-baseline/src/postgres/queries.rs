//! What is read of a ledger in Postgres: a statement each, prepared once on each connection.

use ringledger::models::{Account, AccountId, Actor, Role, Terms, Transfer, TransferId, User, UserId};
use ringledger::store::{AccountQuery, Credentials};
use tokio_postgres::types::{FromSql, ToSql};
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
    metadata::text, reference, posted_amount, expires_at, reverses, reversed_by, created_by, idempotency_key, created_at
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
        row.as_ref().map(user).transpose()
    }

    /// A user by name, whatever its case.
    pub(crate) async fn credentials(&self, username: &str) -> Result<Option<Credentials>, AppError> {
        let row = self.row(CREDENTIALS, &[&username]).await?;
        let found = |row: &Row| Ok(Credentials { user: user(row)?, password_hash: get(row, 4)? });
        row.as_ref().map(found).transpose()
    }

    /// An account by id.
    pub(crate) async fn account(&self, id: AccountId) -> Result<Option<Account>, AppError> {
        let row = self.row(ACCOUNT, &[&id]).await?;
        row.as_ref().map(account).transpose()
    }

    /// A stretch of accounts.
    pub(crate) async fn accounts(&self, wanted: AccountQuery) -> Result<Vec<Account>, AppError> {
        // No account has the id of zeros.
        let after = wanted.after.unwrap_or_else(|| AccountId::from_uuid(uuid::Uuid::nil()));
        let limit = i64::from(wanted.limit);
        let rows = match &wanted.owner {
            Some(owner) => self.rows(ACCOUNTS_OF, &[&after, &limit, owner]).await?,
            None => self.rows(ACCOUNTS, &[&after, &limit]).await?,
        };
        rows.iter().map(account).collect()
    }

    /// A transfer and whether it touches an account that the actor may see.
    pub(crate) async fn transfer(
        &self,
        actor: Actor,
        id: TransferId,
    ) -> Result<Option<(Transfer, bool)>, AppError> {
        let Some(row) = self.row(TRANSFER, &[&id]).await? else { return Ok(None) };
        let transfer = transfer(&row)?;
        let terms = &transfer.terms;
        let visible = actor.role == Role::Operator
            || match self.row(OWNS_EITHER, &[&terms.debit_account, &terms.credit_account, &actor.id]).await? {
                Some(row) => get(&row, 0)?,
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

/// A column's value. One that cannot be read was never written by the ledger.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, place: usize) -> Result<T, AppError> {
    row.try_get(place).map_err(|error| AppError::Internal(error.to_string()))
}

fn user(row: &Row) -> Result<User, AppError> {
    Ok(User { id: get(row, 0)?, username: get(row, 1)?, role: get(row, 2)?, created_at: get(row, 3)? })
}

pub(super) fn account(row: &Row) -> Result<Account, AppError> {
    Ok(Account {
        id: get(row, 0)?,
        owner: get(row, 1)?,
        name: get(row, 2)?,
        currency: get(row, 3)?,
        balance: get(row, 4)?,
        held: get(row, 5)?,
        min_balance: get(row, 6)?,
        version: get::<i64>(row, 7)?.unsigned_abs(),
        created_at: get(row, 8)?,
    })
}

fn transfer(row: &Row) -> Result<Transfer, AppError> {
    Ok(Transfer {
        id: get(row, 0)?,
        seq: get::<i64>(row, 1)?.unsigned_abs(),
        status: get(row, 2)?,
        terms: Terms {
            debit_account: get(row, 3)?,
            credit_account: get(row, 4)?,
            amount: get(row, 5)?,
            currency: get(row, 6)?,
            description: get(row, 7)?,
            metadata: get::<Option<String>>(row, 8)?.map(Into::into),
            reference: get(row, 9)?,
        },
        posted_amount: get(row, 10)?,
        expires_at: get(row, 11)?,
        reverses: get(row, 12)?,
        reversed_by: get(row, 13)?,
        created_by: get(row, 14)?,
        idempotency_key: get(row, 15)?,
        created_at: get(row, 16)?,
    })
}
