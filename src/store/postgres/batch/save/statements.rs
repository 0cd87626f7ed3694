//! What the second trip may send, prepared once a connection. Knows no journal; the order of the parameters is that of
//! [`super::columns`].

use deadpool_postgres::ClientWrapper;
use tokio_postgres::{Error, Statement};

use crate::store::columns::{account_columns, entry_columns, transfer_columns};
use crate::store::postgres::prepared::prepared;

const USERS: &str = "insert into users (id, username, role, password_hash, created_at)
    select unnest($1::uuid[]), unnest($2::text[]), unnest($3::text[]), unnest($4::text[]), unnest($5::timestamptz[])";
const OPENED: &str = concat!(
    "insert into accounts (",
    account_columns!(),
    ") select unnest($1::uuid[]), unnest($2::uuid[]), unnest($3::text[]), unnest($4::text[]), unnest($5::bigint[]),
        unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::timestamptz[])"
);
/// All that comes with events, in one statement, since each has the server answer, and this side wake, by itself. Its
/// parts see the tables as they were before it and run in no order: what one of them needs to be gone goes before.
///
/// `unnest` stands among the columns and not behind `from`, where the server keeps each array's rows in a store of its
/// own first: for a batch of one, 4.7 calls of `brk` (strace).
///
/// The keys go without `on conflict`, which costs a third more a row. The notification wakes readers on other replicas
/// once the commit is through.
const POSTED: &str = concat!(
    "with events as (
        insert into events (seq, body, hash) select unnest($1::bigint[]), unnest($2::bytea[]), unnest($3::bytea[])
    ), transfers as (
        insert into transfers (",
    transfer_columns!(),
    ") select unnest($4::uuid[]), unnest($5::bigint[]), unnest($6::text[]), unnest($7::uuid[]), unnest($8::uuid[]),
            unnest($9::bigint[]), unnest($10::text[]), unnest($11::text[]), unnest($12::text[]::json[]),
            unnest($13::text[]), unnest($14::bigint[]), unnest($15::timestamptz[]), unnest($16::uuid[]),
            unnest($17::uuid[]), unnest($18::uuid[]), unnest($19::text[]), unnest($20::timestamptz[]), unnest($21::boolean[])
    ), entries as (
        insert into entries (",
    entry_columns!(),
    ") select unnest($22::uuid[]), unnest($23::bigint[]), unnest($24::uuid[]), unnest($25::bigint[]),
            unnest($26::bigint[]), unnest($27::timestamptz[])
    ), keys as (
        insert into idempotency (user_id, key, fingerprint, seq, outcome, used_at)
        select unnest($28::uuid[]), unnest($29::text[]), unnest($30::bytea[]), unnest($31::bigint[]),
            unnest($32::text[]), unnest($33::timestamptz[])
    ), changed as (
        update accounts set balance = new.balance, held = new.held, version = new.version
        from (select unnest($34::uuid[]) as id, unnest($35::bigint[]) as balance, unnest($36::bigint[]) as held,
            unnest($37::bigint[]) as version) as new
        where accounts.id = new.id
    ), head as (
        update head set seq = $38, hash = $39, at = $40 where id = 1
    )
    select pg_notify('ringledger_events', '')"
);
/// Before the others: of a transfer that is made in this very batch, the last state alone is written.
const UPDATED: &str = "update transfers set status = new.status, posted_amount = new.posted_amount,
        reversed_by = new.reversed_by
    from (select unnest($1::bigint[]) as seq, unnest($2::text[]) as status, unnest($3::bigint[]) as posted_amount,
        unnest($4::uuid[]) as reversed_by) as new
    where transfers.seq = new.seq";
/// The keys of a batch that moves nothing.
const KEYS: &str = "insert into idempotency (user_id, key, fingerprint, seq, outcome, used_at)
    select unnest($1::uuid[]), unnest($2::text[]), unnest($3::bytea[]), unnest($4::bigint[]), unnest($5::text[]),
        unnest($6::timestamptz[])";
const REPLACED_KEYS: &str =
    "delete from idempotency using unnest($1::uuid[], $2::text[]) as replaced (user_id, key)
    where idempotency.user_id = replaced.user_id and idempotency.key = replaced.key";
const DEAD_KEYS: &str = "delete from idempotency where (user_id, key) in
    (select user_id, key from idempotency where used_at between $1 and $2 order by used_at limit $3)";

/// What the second trip may send.
pub(in crate::store::postgres::batch) struct Statements {
    pub(super) users: Statement,
    pub(super) opened: Statement,
    pub(super) updated: Statement,
    pub(super) posted: Statement,
    pub(super) keys: Statement,
    pub(super) replaced_keys: Statement,
    pub(super) dead_keys: Statement,
}

impl Statements {
    /// Sends nothing after a connection's first batch.
    pub(in crate::store::postgres::batch) async fn prepare(client: &ClientWrapper) -> Result<Self, Error> {
        let (users, opened, updated, posted, keys, replaced_keys, dead_keys) = tokio::try_join!(
            biased;
            prepared(client, USERS),
            prepared(client, OPENED),
            prepared(client, UPDATED),
            prepared(client, POSTED),
            prepared(client, KEYS),
            prepared(client, REPLACED_KEYS),
            prepared(client, DEAD_KEYS),
        )?;
        Ok(Self { users, opened, updated, posted, keys, replaced_keys, dead_keys })
    }
}
