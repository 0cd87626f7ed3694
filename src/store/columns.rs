//! The columns of each table in one order, so that no query of any store spells them again and each store's rows
//! read them by place.

macro_rules! account_columns {
    () => {
        "id, owner, name, currency, balance, held, min_balance, version, created_at"
    };
}
pub(super) use account_columns;

macro_rules! transfer_columns {
    () => {
        "id, seq, status, debit_account, credit_account, amount, currency, \
     description, metadata, reference, posted_amount, expires_at, reverses, reversed_by, created_by, \
     idempotency_key, created_at, hold"
    };
}
pub(super) use transfer_columns;

macro_rules! entry_columns {
    () => {
        "account_id, seq, transfer_id, amount, balance, created_at"
    };
}
pub(super) use entry_columns;

macro_rules! user_columns {
    () => {
        "id, username, role, created_at"
    };
}
pub(super) use user_columns;

/// The bodies of the log behind a `seq`, as many as wanted, in order.
macro_rules! events_query {
    () => {
        "select body from events where seq > $1 order by seq limit $2"
    };
}
pub(super) use events_query;

/// The end of the log: `seq`, `hash`, `at`.
macro_rules! head_query {
    () => {
        "select seq, hash, at from head where id = 1"
    };
}
pub(super) use head_query;
