//! The first trip: begins the transaction, locks the head, and loads what the batch depends on.

use std::collections::HashSet;
use std::time::SystemTime;

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use super::keys::{self, KEYS, Record};
use super::{BEGIN, BatchError, transfers};
use crate::models::posting::{Books, Command, Needs};
use crate::models::{Account, Head, IdempotencyKey, Timestamp, Transfer, User, UserId};
use crate::store::columns::{account_columns, head_query, user_columns};
use crate::store::postgres::rows;

const HEAD: &str = concat!(head_query!(), " for update");
const ACCOUNTS: &str = concat!("select ", account_columns!(), " from accounts where id = any($1)");
/// The server's time, and those of the first and the last use of a key that is kept.
const KEY_USES: &str = "select clock_timestamp(),
    (select used_at from idempotency where used_at >= $1 order by used_at limit 1),
    (select used_at from idempotency order by used_at desc limit 1)";
const USERS: &str = concat!(
    "select ",
    user_columns!(),
    " from users where id = any($1) or lower(username collate \"C\") = any($2)"
);

/// What a batch depends on, of after the head was locked.
pub(super) struct Loaded {
    head: Head,
    accounts: Vec<Account>,
    keys: Vec<Record>,
    transfers: Vec<Transfer>,
    users: Vec<User>,
    last_key_use: Option<Timestamp>,
    pub(super) oldest_key_use: Option<Timestamp>,
    pub(super) server_time: SystemTime,
}

impl Loaded {
    /// The keys that have a record, alive or dead.
    pub(super) fn known_keys(&self) -> HashSet<(UserId, IdempotencyKey)> {
        self.keys.iter().map(|(user, key, _)| (*user, key.clone())).collect()
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
        for (user, key, record) in self.keys {
            books.load_key(user, key, record);
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
    let (head, accounts, keys, uses, users) = tokio::try_join!(
        biased;
        client.prepare_cached(HEAD),
        client.prepare_cached(ACCOUNTS),
        client.prepare_cached(KEYS),
        client.prepare_cached(KEY_USES),
        client.prepare_cached(USERS),
    )
    .map_err(BatchError::NotCommitted)?;
    let since: [&(dyn ToSql + Sync); 1] = [&no_key_before];
    let wanted_accounts: [&(dyn ToSql + Sync); 1] = [&needs.accounts];
    let wanted_keys: [&(dyn ToSql + Sync); 2] = [&key_users, &key_names];
    let wanted_users: [&(dyn ToSql + Sync); 2] = [&needs.user_ids, &needs.usernames];
    let no_users = needs.user_ids.is_empty() && needs.usernames.is_empty();
    // In this order on the wire: none of the others is looked at before the head is locked.
    let (begun, head, accounts, keys, uses, users, transfers) = tokio::join!(
        biased;
        client.batch_execute(BEGIN),
        client.query_one(&head, &[]),
        rows_unless(needs.accounts.is_empty(), client, &accounts, &wanted_accounts),
        rows_unless(needs.keys.is_empty(), client, &keys, &wanted_keys),
        client.query_one(&uses, &since),
        rows_unless(no_users, client, &users, &wanted_users),
        Box::pin(transfers::load(client, &needs)),
    );
    // Without a transaction the lock would be gone by now.
    begun?;
    let (transfers, accounts_of_transfers) = transfers?;
    let uses = uses?;
    Ok(Loaded {
        head: rows::head(&head?)?,
        accounts: accounts?
            .iter()
            .chain(&accounts_of_transfers)
            .map(rows::account)
            .collect::<Result<_, _>>()?,
        keys: Box::pin(keys::records(client, &keys?)).await?,
        transfers: transfers.iter().map(rows::transfer).collect::<Result<_, _>>()?,
        users: users?.iter().map(rows::user).collect::<Result<_, _>>()?,
        server_time: rows::get(&uses, 0)?,
        oldest_key_use: rows::get(&uses, 1)?,
        last_key_use: rows::get(&uses, 2)?,
    })
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

impl From<Error> for BatchError {
    fn from(error: Error) -> Self {
        Self::NotCommitted(error)
    }
}
