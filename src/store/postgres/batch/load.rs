//! The first trip: begins the transaction, locks the head, and loads what the batch depends on.

use std::collections::HashSet;
use std::time::SystemTime;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::keys::{self, Records};
use super::{BatchError, transfers};
use crate::models::posting::{Books, Command, Needs};
use crate::models::{Account, Head, IdempotencyKey, Timestamp, Transfer, User, UserId};
use crate::store::StoreError;
use crate::store::columns::{account_columns, user_columns};
use crate::store::postgres::convert::unsigned;
use crate::store::postgres::prepared::prepared;
use crate::store::postgres::rows;

/// Opens a transaction and takes the lock. Each statement of one message has a snapshot of its own, so the lock is waited
/// for in one and what its last holder committed is read in the next.
///
/// The time limits that a batch must not have are lifted first: a statement that is cancelled while its commit waits for
/// a standby ends in success on this side alone.
const BEGIN: &str = "begin isolation level read committed; set local statement_timeout = 0; \
    select from head where id = 1 for update";

/// Everything but users in one statement, since each has the server answer, and this side wake, by itself: three kinds
/// of rows, whose columns stand side by side.
///
/// The row of the state sets `synchronous_commit` too. It is set for each transaction, since a server, a database or a
/// role may have another default, under which an acknowledged commit can be lost; `remote_apply` alone waits for more
/// and is kept.
const LOAD: &str = concat!(
    "select ",
    account_columns!(),
    ", 'account', null::uuid, null::text, null::bytea, null::timestamptz, null::bigint, null::text, null::bytea,
        null::bigint, null::bytea, null::timestamptz, null::timestamptz, null::timestamptz, null::timestamptz, null::text
    from accounts where id = any($1)
    union all
    select null, null, null, null, null, null, null, null, null,
        'key', user_id, key, fingerprint, used_at, seq, outcome, body,
        null, null, null, null, null, null, null
    from (select unnest($2::uuid[]) as user_id, unnest($3::text[]) as key) as wanted
    join idempotency using (user_id, key) left join events using (seq)
    union all
    select null, null, null, null, null, null, null, null, null,
        'state', null, null, null, null, null, null, null,
        seq, hash, at, clock_timestamp(),
        (select used_at from idempotency where used_at >= $4 order by used_at limit 1),
        (select used_at from idempotency order by used_at desc limit 1),
        case when current_setting('synchronous_commit') <> 'remote_apply'
            then set_config('synchronous_commit', 'on', true) end
    from head where id = 1"
);
/// Where the columns of [`LOAD`] behind those of an account begin.
const KIND: usize = 9;
pub(super) const KEY: usize = 10;
const STATE: usize = 17;

const USERS: &str = concat!(
    "select ",
    user_columns!(),
    " from users where id = any($1) or lower(username collate \"C\") = any($2)"
);

/// What a batch depends on, of after the head was locked.
pub(super) struct Loaded {
    head: Head,
    accounts: Vec<Account>,
    keys: Records,
    transfers: Vec<Transfer>,
    users: Vec<User>,
    last_key_use: Option<Timestamp>,
    pub(super) oldest_key_use: Option<Timestamp>,
    pub(super) server_time: SystemTime,
}

impl Loaded {
    /// The keys that have a record, alive or dead.
    pub(super) fn known_keys(&self) -> HashSet<(UserId, IdempotencyKey)> {
        self.keys.read.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(super) fn into_books(self, clock: Timestamp) -> Books {
        let mut books = Books::new(self.head, self.last_key_use, clock);
        for account in self.accounts {
            books.load_account(account);
        }
        for user in self.users {
            books.load_user(user);
        }
        for transfer in self.transfers {
            books.load_transfer(transfer);
        }
        for ((user, key), record) in self.keys.read {
            books.load_key(user, key, record);
        }
        for (user, key) in self.keys.damaged {
            books.load_damaged_key(user, key);
        }
        books
    }
}

/// Begins the transaction and loads. On an error the transaction is still open, if the connection is.
///
/// `no_key_before` is the time before which no key is known to be kept.
pub(super) async fn load(
    client: &ClientWrapper,
    commands: &[Command],
    no_key_before: Timestamp,
) -> Result<Loaded, BatchError> {
    let needs = Needs::of(commands);
    let (key_users, key_names): (Vec<_>, Vec<_>) = needs.keys.iter().cloned().unzip();
    // Known to the connection after its first batch: these send nothing then.
    let (load, users) = tokio::try_join!(biased; prepared(client, LOAD), prepared(client, USERS))
        .map_err(BatchError::NotCommitted)?;
    let wanted: [&(dyn ToSql + Sync); 4] = [&needs.accounts, &key_users, &key_names, &no_key_before];
    let wanted_users: [&(dyn ToSql + Sync); 2] = [&needs.user_ids, &needs.usernames];
    let no_users = needs.user_ids.is_empty() && needs.usernames.is_empty();
    // In this order on the wire: none of the others is looked at before the head is locked.
    let (begun, rows, users, transfers) = tokio::join!(
        biased;
        client.batch_execute(BEGIN),
        client.query(&load, &wanted),
        rows_unless(no_users, client, &users, &wanted_users),
        Box::pin(transfers::load(client, &needs)),
    );
    // Without a transaction the lock would be gone by now.
    begun?;
    let (rows, users, (transfers, accounts_of_transfers)) = (rows?, users?, transfers?);
    let (mut loaded, key_rows) = read(&rows, &users)?;
    loaded.keys = Box::pin(keys::records(client, &key_rows, &needs.fingerprints)).await?;
    loaded.transfers = transfers.iter().map(rows::transfer).collect::<Result<_, _>>()?;
    for row in &accounts_of_transfers {
        loaded.accounts.push(rows::account(row)?);
    }
    Ok(loaded)
}

/// The rows of a query, which is not sent when it is needless.
async fn rows_unless(
    needless: bool,
    client: &ClientWrapper,
    statement: &Statement,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    if needless { Ok(Vec::new()) } else { client.query(statement, parameters).await }
}

/// All but transfers and keys, and the rows of the keys.
fn read<'a>(rows: &'a [Row], users: &[Row]) -> Result<(Loaded, Vec<&'a Row>), BatchError> {
    let (mut accounts, mut keys, mut state) = (Vec::new(), Vec::new(), None);
    for row in rows {
        match rows::get(row, KIND)? {
            "account" => accounts.push(rows::account(row)?),
            "key" => keys.push(row),
            _ => state = Some(row),
        }
    }
    let state = state.ok_or_else(|| StoreError::Corrupt("the head has no row".into()))?;
    let loaded = Loaded {
        head: Head {
            seq: unsigned(rows::get(state, STATE)?),
            hash: rows::get(state, STATE + 1)?,
            at: rows::get(state, STATE + 2)?,
        },
        accounts,
        keys: Records::default(),
        transfers: Vec::new(),
        users: users.iter().map(rows::user).collect::<Result<_, _>>()?,
        server_time: rows::get(state, STATE + 3)?,
        oldest_key_use: rows::get(state, STATE + 4)?,
        last_key_use: rows::get(state, STATE + 5)?,
    };
    Ok((loaded, keys))
}

impl From<Error> for BatchError {
    fn from(error: Error) -> Self {
        Self::NotCommitted(error)
    }
}
