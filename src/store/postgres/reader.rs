//! Queries of one core.

mod events;
mod search;
mod statement;

use std::cell::Cell;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::time::{Instant, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::convert::signed;
use super::pool::CorePool;
use super::prepared::prepared;
use super::{Options, rows};
use crate::models::posting::Entry;
use crate::models::{Account, AccountId, Head, Transfer, TransferId, User, UserId};
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns, user_columns};
use crate::store::{AccountQuery, Credentials, EntryQuery, StoreError};

const USER: &str = concat!("select ", user_columns!(), " from users where id = $1");
const CREDENTIALS: &str = concat!(
    "select ",
    user_columns!(),
    ", password_hash from users where lower(username collate \"C\") = lower($1::text collate \"C\")"
);
const ACCOUNT: &str = concat!("select ", account_columns!(), " from accounts where id = $1");
const ACCOUNTS: &str = concat!(
    "select ",
    account_columns!(),
    " from accounts where ($1::uuid is null or id > $1) order by id limit $2"
);
const ACCOUNTS_OF: &str = concat!(
    "select ",
    account_columns!(),
    " from accounts where owner = $3 and ($1::uuid is null or id > $1) order by id limit $2"
);
const TRANSFER: &str = concat!("select ", transfer_columns!(), " from transfers where id = $1");

/// The least `seq` from which on the account's entries are at or after a time. `created_at` never falls as `seq`
/// grows, so it is found by bisection over the primary key, without an index by time: about log2(last seq) steps.
macro_rules! first_seq_at {
    ($time:literal) => {
        concat!(
            "(with recursive bisection (low, high) as (
                select 0::bigint, (select seq + 1 from head where id = 1)
                union all
                select case when next.created_at < ", $time, " then next.seq + 1 else low end,
                    case when next.created_at < ", $time, " then high else (low + high) / 2 end
                from bisection left join lateral (
                    select seq, created_at from entries
                    where account_id = $1 and seq >= (low + high) / 2 order by seq limit 1) as next on true
                where low < high)
            select low from bisection where low >= high limit 1)"
        )
    };
}
use first_seq_at;

const ENTRIES: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries where account_id = $1 and seq < $2
        and seq >= case when $3::timestamptz is null then 0 else ",
    first_seq_at!("$3"),
    " end and seq < case when $4::timestamptz is null then $2 else ",
    first_seq_at!("$4"),
    " end order by seq desc limit $5"
);

/// How long a replica that did not answer is left alone, so that not every history waits for its deadline first.
const REPLICA_REST: Duration = Duration::from_secs(5);

/// Reads for one core. Connects when it is first asked, where it is asked.
#[derive(Debug)]
pub struct Reader {
    primary: CorePool,
    /// For what may lag behind; the primary if absent.
    replica: Option<CorePool>,
    replica_rests_until: Cell<Option<Instant>>,
    statement_timeout: Duration,
}

impl Reader {
    pub(super) fn new(options: &Options) -> Result<Self, StoreError> {
        let replica = options.replica.as_ref().map(|target| CorePool::new(target, options)).transpose()?;
        Ok(Self {
            primary: CorePool::new(&options.target, options)?,
            replica,
            replica_rests_until: Cell::default(),
            statement_timeout: options.statement_timeout,
        })
    }

    /// The end of the log.
    pub async fn head(&self) -> Result<Head, StoreError> {
        let row = self.row(head_query!(), &[]).await?;
        let row = row.ok_or_else(|| StoreError::Corrupt("the head record is missing".into()))?;
        rows::head(&row)
    }

    /// A user by id.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.row(USER, &[&id]).await?.as_ref().map(rows::user).transpose()
    }

    /// A user by name, whatever its case, with the password's hash.
    pub async fn credentials(&self, username: &str) -> Result<Option<Credentials>, StoreError> {
        // A text of Postgres holds no NUL, and no username does.
        if username.contains('\0') {
            return Ok(None);
        }
        let row = self.row(CREDENTIALS, &[&username]).await?;
        let credentials =
            |row: &Row| Ok(Credentials { user: rows::user(row)?, password_hash: rows::get(row, 4)? });
        row.as_ref().map(credentials).transpose()
    }

    /// An account by id.
    pub async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        self.row(ACCOUNT, &[&id]).await?.as_ref().map(rows::account).transpose()
    }

    /// Accounts in ascending order of id.
    pub async fn accounts(&self, wanted: AccountQuery) -> Result<Vec<Account>, StoreError> {
        let limit = i64::from(wanted.limit);
        let found = match &wanted.owner {
            Some(owner) => self.rows(&self.primary, ACCOUNTS_OF, &[&wanted.after, &limit, owner]).await?,
            None => self.rows(&self.primary, ACCOUNTS, &[&wanted.after, &limit]).await?,
        };
        found.iter().map(rows::account).collect()
    }

    /// Entries in descending order of `seq`, from the replica if there is one that answers.
    pub async fn entries(&self, wanted: EntryQuery) -> Result<Vec<Entry>, StoreError> {
        let end = wanted.before_seq.map_or(i64::MAX, signed);
        let limit = i64::from(wanted.limit);
        let found = match self.rows_of_replica(ENTRIES, &entry_parameters(&wanted, &end, &limit)).await {
            Some(found) => found?,
            None => return self.entries_of_primary(wanted).await,
        };
        found.iter().map(rows::entry).collect()
    }

    /// The same from the primary.
    pub async fn entries_of_primary(&self, wanted: EntryQuery) -> Result<Vec<Entry>, StoreError> {
        let end = wanted.before_seq.map_or(i64::MAX, signed);
        let limit = i64::from(wanted.limit);
        let parameters = entry_parameters(&wanted, &end, &limit);
        let found = self.rows(&self.primary, ENTRIES, &parameters).await?;
        found.iter().map(rows::entry).collect()
    }

    /// What the replica answers; `None` if there is none, or none that does.
    async fn rows_of_replica(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Option<Result<Vec<Row>, StoreError>> {
        let replica = self.replica.as_ref()?;
        if self.replica_rests_until.get().is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let found = self.rows(replica, sql, parameters).await;
        if let Err(StoreError::Unavailable(error)) = &found {
            tracing::warn!(%error, "the replica does not answer; the primary is asked for a while");
            self.replica_rests_until.set(Some(Instant::now() + REPLICA_REST));
            return None;
        }
        Some(found)
    }

    /// A transfer by id.
    pub async fn transfer(&self, id: TransferId) -> Result<Option<Transfer>, StoreError> {
        self.row(TRANSFER, &[&id]).await?.as_ref().map(rows::transfer).transpose()
    }

    /// The only row of a query on the primary.
    async fn row(
        &self,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(&self.primary, sql, parameters).await?.into_iter().next())
    }

    /// The rows of a query. A connection that turns out to have ended is no reason to fail: a read does no harm twice.
    async fn rows(
        &self,
        pool: &CorePool,
        sql: &'static str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let mut repeated = false;
        loop {
            let shared = pool.any().await?;
            match timeout(self.statement_timeout, ask(shared.client(), sql, parameters)).await {
                Ok(Err(error)) if !repeated && has_ended(&error) => {
                    pool.give_up(&shared);
                    repeated = true;
                }
                Ok(answer) => return Ok(answer?),
                // Whoever waits behind such an answer would wait as long, so nobody is sent there any more.
                Err(_) => {
                    pool.give_up(&shared);
                    return Err(StoreError::Unavailable("the database took too long for a query".into()));
                }
            }
        }
    }
}

/// What [`ENTRIES`] is asked with.
fn entry_parameters<'a>(wanted: &'a EntryQuery, end: &'a i64, limit: &'a i64) -> [&'a (dyn ToSql + Sync); 5] {
    [&wanted.account_id, end, &wanted.from, &wanted.to, limit]
}

async fn ask(
    client: &ClientWrapper,
    sql: &'static str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let statement = prepared(client, sql).await?;
    client.query(&statement, parameters).await
}

fn has_ended(error: &Error) -> bool {
    error.is_closed() || error.code().is_some_and(super::ends_session)
}
