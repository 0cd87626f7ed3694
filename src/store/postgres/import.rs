//! Writes a whole ledger in one transaction of Postgres, with `copy` in its binary form.

use bytes::BytesMut;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::convert::signed;
use super::rows::{self, get};
use super::{AuditSource, Options, connect, runtime};
use crate::models::posting::{Entry, LoggedEvent};
use crate::models::replay::Changes;
use crate::models::{Account, AccountId, Head, Transfer, TransferId};
use crate::store::audit::KeptKey;
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns};
use crate::store::import::OWNERLESS;
use crate::store::{Credentials, StoreError};

/// Waits for whoever is writing, and for the input of the import as long as that takes. Replicas that are asked to
/// change the ledger meanwhile answer 503. What it commits is on the disk, whatever the server's default is.
const BEGIN: &str = concat!(
    "begin isolation level read committed; set local statement_timeout = 0;
    set local idle_in_transaction_session_timeout = 0;
    select set_config('synchronous_commit', 'on', true) where current_setting('synchronous_commit') <> 'remote_apply';
    select set_config(name, '0', true) from pg_settings where name = 'transaction_timeout'; ",
    head_query!(),
    " for update"
);

const USERS: (&str, &[Type]) = (
    "copy users (id, username, role, password_hash, created_at) from stdin binary",
    &[Type::UUID, Type::TEXT, Type::TEXT, Type::TEXT, Type::TIMESTAMPTZ],
);
const ACCOUNTS: (&str, &[Type]) = (
    concat!("copy accounts (", account_columns!(), ") from stdin binary"),
    &[
        Type::UUID,
        Type::UUID,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::TIMESTAMPTZ,
    ],
);
const EVENTS: (&str, &[Type]) =
    ("copy events (seq, body, hash) from stdin binary", &[Type::INT8, Type::BYTEA, Type::BYTEA]);
const TRANSFERS: (&str, &[Type]) = (
    concat!("copy transfers (", transfer_columns!(), ") from stdin binary"),
    &[
        Type::UUID,
        Type::INT8,
        Type::TEXT,
        Type::UUID,
        Type::UUID,
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::JSON,
        Type::TEXT,
        Type::INT8,
        Type::TIMESTAMPTZ,
        Type::UUID,
        Type::UUID,
        Type::UUID,
        Type::TEXT,
        Type::TIMESTAMPTZ,
        Type::BOOL,
    ],
);
const ENTRIES: (&str, &[Type]) = (
    concat!("copy entries (", entry_columns!(), ") from stdin binary"),
    &[Type::UUID, Type::INT8, Type::UUID, Type::INT8, Type::INT8, Type::TIMESTAMPTZ],
);
const KEYS: (&str, &[Type]) = (
    "copy idempotency (user_id, key, fingerprint, seq, outcome, used_at) from stdin binary",
    &[Type::UUID, Type::TEXT, Type::BYTEA, Type::INT8, Type::TEXT, Type::TIMESTAMPTZ],
);
const ACCOUNTS_OF: &str = concat!("select ", account_columns!(), " from accounts where id = any($1)");
const CHANGED_ACCOUNTS: &str =
    "update accounts set balance = new.balance, held = new.held, version = new.version
    from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) as new (id, balance, held, version)
    where accounts.id = new.id";
const CHANGED_TRANSFERS: &str =
    "update transfers set status = new.status, posted_amount = new.posted_amount, reversed_by = new.reversed_by
    from unnest($1::uuid[], $2::text[], $3::bigint[], $4::uuid[]) as new (id, status, posted_amount, reversed_by)
    where transfers.id = new.id";
const HEAD: &str = "update head set seq = $1, hash = $2, at = $3 where id = 1";

/// Copies rows into a table, each by its values in the order of the columns.
macro_rules! copy {
    ($view:expr, $table:expr, $rows:expr, |$row:pat_param| [$($value:expr),+]) => {
        $view.wait(async {
            let (sql, types) = $table;
            let mut writer = std::pin::pin!(BinaryCopyInWriter::new($view.client().copy_in(sql).await?, types));
            for $row in $rows {
                writer.as_mut().write(&[$(&$value),+]).await?;
            }
            writer.finish().await?;
            Ok(())
        })
    };
}

/// The text of a `json` column.
#[derive(Debug)]
struct Json<'a>(&'a str);

impl ToSql for Json<'_> {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.0.to_sql(&Type::TEXT, out)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::JSON
    }

    to_sql_checked!();
}

/// These methods are of a view from [`Self::begin_import`].
impl AuditSource {
    /// A transaction that writes, with the head locked: nobody else can.
    pub(super) fn begin_import(options: &Options) -> Result<Self, StoreError> {
        let runtime = runtime()?;
        let client = runtime.block_on(async {
            let client = connect(options, &options.target).await?;
            client.batch_execute(BEGIN).await?;
            Ok::<_, StoreError>(client)
        })?;
        Ok(Self::within(client, runtime))
    }

    pub(in crate::store) fn execute(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.wait(self.client().batch_execute(sql))?)
    }

    /// Lets the planner know of tables that were empty a moment ago.
    pub(in crate::store) fn settle(&self) -> Result<(), StoreError> {
        self.execute("analyze users, accounts, events, transfers, entries, idempotency")
    }

    pub(in crate::store) fn save_users(&self, users: &[Credentials]) -> Result<(), StoreError> {
        copy!(self, USERS, users, |Credentials { user, password_hash }| [
            user.id,
            user.username,
            user.role,
            password_hash,
            user.created_at
        ])
    }

    pub(in crate::store) fn save_accounts(&self, accounts: &[Account]) -> Result<(), StoreError> {
        copy!(self, ACCOUNTS, accounts, |account| [
            account.id,
            account.owner,
            account.name,
            account.currency,
            account.balance,
            account.held,
            account.min_balance,
            signed(account.version),
            account.created_at
        ])
    }

    pub(in crate::store) fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        self.rows(ACCOUNTS_OF, &[&ids])?.iter().map(rows::account).collect()
    }

    pub(in crate::store) fn transfers_of(&self, ids: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        Ok(self.transfers(ids)?.into_values().collect())
    }

    pub(in crate::store) fn save_log(&self, events: &[LoggedEvent]) -> Result<(), StoreError> {
        copy!(self, EVENTS, events, |event| [signed(event.seq), event.body, event.hash])
    }

    pub(in crate::store) fn save_changes(&self, changes: &Changes) -> Result<(), StoreError> {
        self.save_transfers(&changes.made)?;
        let changed = &changes.changed;
        let ids: Vec<_> = changed.iter().map(|transfer| transfer.id).collect();
        let statuses: Vec<_> = changed.iter().map(|transfer| transfer.status).collect();
        let posted_amounts: Vec<_> = changed.iter().map(|transfer| transfer.posted_amount).collect();
        let reversals: Vec<_> = changed.iter().map(|transfer| transfer.reversed_by).collect();
        self.rows(CHANGED_TRANSFERS, &[&ids, &statuses, &posted_amounts, &reversals])?;
        self.save_entries(&changes.entries)?;
        let accounts = &changes.accounts;
        let ids: Vec<_> = accounts.iter().map(|account| account.id).collect();
        let balances: Vec<_> = accounts.iter().map(|account| account.balance).collect();
        let held: Vec<_> = accounts.iter().map(|account| account.held).collect();
        let versions: Vec<_> = accounts.iter().map(|account| signed(account.version)).collect();
        self.rows(CHANGED_ACCOUNTS, &[&ids, &balances, &held, &versions])?;
        Ok(())
    }

    fn save_transfers(&self, transfers: &[Transfer]) -> Result<(), StoreError> {
        copy!(self, TRANSFERS, transfers, |transfer| [
            transfer.id,
            signed(transfer.seq),
            transfer.status,
            transfer.terms.debit_account,
            transfer.terms.credit_account,
            transfer.terms.amount,
            transfer.terms.currency,
            transfer.terms.description,
            transfer.terms.metadata.as_deref().map(Json),
            transfer.terms.reference,
            transfer.posted_amount,
            transfer.expires_at,
            transfer.reverses,
            transfer.reversed_by,
            transfer.created_by,
            transfer.idempotency_key,
            transfer.created_at,
            transfer.hold
        ])
    }

    fn save_entries(&self, entries: &[Entry]) -> Result<(), StoreError> {
        copy!(self, ENTRIES, entries, |entry| [
            entry.account_id,
            signed(entry.seq),
            entry.transfer_id,
            entry.amount,
            entry.balance,
            entry.created_at
        ])
    }

    pub(in crate::store) fn save_keys(&self, keys: &[KeptKey]) -> Result<(), StoreError> {
        copy!(self, KEYS, keys, |kept| [
            kept.user_id,
            kept.key,
            kept.fingerprint,
            kept.seq.map(signed),
            kept.outcome,
            kept.used_at
        ])
    }

    pub(in crate::store) fn save_head(&self, head: Head) -> Result<(), StoreError> {
        self.rows(HEAD, &[&signed(head.seq), &head.hash, &head.at])?;
        Ok(())
    }

    pub(in crate::store) fn ownerless_account(&self) -> Result<Option<AccountId>, StoreError> {
        self.rows(OWNERLESS, &[])?.first().map(|row| get(row, 0)).transpose()
    }
}
