//! One snapshot of a ledger on Postgres for `verify` and `export`: a read-only transaction that lasts for the walk, read in pages.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::convert::{signed, unsigned};
use super::prepared::prepared;
use super::rows::{self, get};
use super::{Options, Target, connect, runtime};
use crate::models::posting::{Entry, LoggedEvent};
use crate::models::{
    Account, AccountId, Currency, Event, EventKind, Head, IdempotencyKey, Money, Timestamp, Transfer,
    TransferId, UserId, idempotency,
};
use crate::store::audit::{
    KeptKey, ORPHAN_ENTRY, ORPHAN_TRANSFER, ROW_COUNTS, RowCounts, Source, StoredEvent, StoredKey, events_of,
    in_row, key_applied_twice,
};
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns, user_columns};
use crate::store::{Credentials, StoreError};

/// Rows that are held at once.
const PAGE_ROWS: i64 = crate::store::audit::PAGE_ROWS as i64;

/// Bytes of outcomes of keys that are held at once, and one more outcome: that of a large batch is of hundreds of KiB.
const PAGE_BYTES: i64 = 4 << 20;

/// How long the end of the transaction may take. It only spares the server's log a line.
const FAREWELL: Duration = Duration::from_millis(500);

const EVENTS: &str = "select seq, body, hash from events where seq > $1 order by seq limit $2";
const TRANSFERS: &str = concat!("select ", transfer_columns!(), " from transfers where id = any($1)");
const ENTRIES_OF: &str = concat!(
    "select ",
    entry_columns!(),
    " from unnest($1::uuid[], $2::bigint[]) as wanted (account_id, seq) join entries using (account_id, seq)"
);
const CURRENCIES: &str = "select id, currency from accounts where id = any($1)";
const KEYS: &str = "select user_id, key, seq, outcome, used_at
    from unnest($1::uuid[], $2::text[]) as wanted (user_id, key) join idempotency using (user_id, key)";
const ACCOUNTS: &str = concat!(
    "select ",
    account_columns!(),
    ", (select coalesce(sum(amount), 0)::bigint from transfers
        where status = 'pending' and debit_account = accounts.id)
    from accounts where ($1::uuid is null or id > $1) order by id limit $2"
);
const ENTRIES: &str = concat!(
    "select ",
    entry_columns!(),
    " from entries where ($1::uuid is null or (account_id, seq) > ($1, $2)) order by account_id, seq limit $3"
);
const USERS: &str = concat!(
    "select ",
    user_columns!(),
    ", password_hash from users where ($1::uuid is null or id > $1) order by id limit $2"
);
/// Of a page's rows those before which there are less than $5 bytes of outcomes.
const KEPT_KEYS: &str = "select user_id, key, fingerprint, used_at, seq, outcome, body
    from (select *, sum(octet_length(outcome)) over (
            order by used_at, user_id, key rows between unbounded preceding and 1 preceding) as bytes_before
        from (select * from idempotency
            where ($1::timestamptz is null or (used_at, user_id, key) > ($1, $2, $3))
            order by used_at, user_id, key limit $4) as page) as measured
    left join events using (seq)
    where bytes_before is null or bytes_before < $5
    order by used_at, user_id, key";
/// Opens the view, without time limits that a server may set: an audit may take hours, and idles while it hashes.
const BEGIN: &str = "begin isolation level repeatable read read only; \
    set local statement_timeout = 0; set local lock_timeout = 0; \
    set local idle_in_transaction_session_timeout = 0";

/// A consistent view. While it lives the server keeps every row version that it can see.
#[derive(Debug)]
pub struct AuditSource {
    client: ClientWrapper,
    is_replica: bool,
    /// Whether the transaction goes on.
    open: Cell<bool>,
    // Last: the connection's task ends with it.
    runtime: Runtime,
}

impl AuditSource {
    /// A view that reaches to `seq`: of the replica if there is one that answers and has it, else of the primary.
    pub(super) fn open(options: &Options, seq: u64) -> Result<Self, StoreError> {
        if let Some(replica) = &options.replica {
            match Self::open_at(options, replica) {
                Ok(mut source) if source.head()?.seq >= seq => {
                    source.is_replica = true;
                    return Ok(source);
                }
                Ok(_) => tracing::warn!("the replica is behind what is expected; the primary is read"),
                Err(error) => tracing::warn!(%error, "the replica does not answer; the primary is read"),
            }
        }
        Self::open_at(options, &options.target)
    }

    fn open_at(options: &Options, target: &Target) -> Result<Self, StoreError> {
        let runtime = runtime()?;
        let client = runtime.block_on(async {
            let client = connect(options, target).await?;
            client.batch_execute(BEGIN).await?;
            Ok::<_, StoreError>(client)
        })?;
        Ok(Self::within(client, runtime))
    }

    /// A view of what a transaction of this connection has written.
    pub(super) fn within(client: ClientWrapper, runtime: Runtime) -> Self {
        Self { client, is_replica: false, open: Cell::new(true), runtime }
    }

    /// Whether it is of the replica.
    pub const fn is_replica(&self) -> bool {
        self.is_replica
    }

    /// Ends the transaction, so that what it has written is there.
    pub(in crate::store) fn commit(&self) -> Result<(), StoreError> {
        self.open.set(false);
        Ok(self.wait(self.client.batch_execute("commit"))?)
    }

    pub(super) const fn client(&self) -> &ClientWrapper {
        &self.client
    }

    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(super) fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let found = async {
            let statement = prepared(&self.client, sql).await?;
            self.client.query(&statement, parameters).await
        };
        Ok(self.runtime.block_on(found)?)
    }

    fn row(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, parameters)?.into_iter().next())
    }

    fn logged_after(&self, seq: i64) -> Result<Vec<LoggedEvent>, StoreError> {
        self.rows(EVENTS, &[&seq, &PAGE_ROWS])?.iter().map(logged).collect()
    }

    pub(super) fn transfers(&self, ids: &[TransferId]) -> Result<HashMap<TransferId, Transfer>, StoreError> {
        let mut transfers = HashMap::new();
        for row in self.rows(TRANSFERS, &[&ids])? {
            let id: TransferId = get(&row, 0)?;
            let transfer = rows::transfer(&row).map_err(in_row(format_args!("transfer {id}")))?;
            transfers.insert(id, transfer);
        }
        Ok(transfers)
    }

    /// A page of events with all that is derived from them.
    fn with_derived(&self, page: Vec<LoggedEvent>) -> Result<Vec<StoredEvent>, StoreError> {
        let events: Vec<_> = page.iter().map(|logged| Event::decode(&logged.body).ok()).collect();
        let named = |event: &Event| match &event.kind {
            EventKind::Reversed { reverses, .. } => [Some(event.transfer_id), Some(*reverses)],
            _ => [Some(event.transfer_id), None],
        };
        let wanted: Vec<_> = events.iter().flatten().flat_map(named).flatten().collect();
        let transfers = self.transfers(&wanted)?;
        let made = events
            .iter()
            .flatten()
            .filter_map(|event| Some((event.seq, transfers.get(&event.transfer_id)?)))
            .collect::<Vec<_>>();
        let mut derived = self.derived(&made)?;
        derived.transfers = transfers;
        let bare = page.into_iter().map(|logged| StoredEvent::bare(logged.seq, logged.body, logged.hash));
        Ok(bare.zip(&events).map(|(stored, event)| derived.added_to(stored, event.as_ref())).collect())
    }

    /// What is derived from events, each known by its `seq` and its transfer's row.
    fn derived(&self, made: &[(u64, &Transfer)]) -> Result<Derived, StoreError> {
        let (mut accounts, mut seqs, mut keys) = (Vec::new(), Vec::new(), HashSet::new());
        for (seq, transfer) in made {
            accounts.extend([transfer.terms.debit_account, transfer.terms.credit_account]);
            seqs.extend([signed(*seq); 2]);
            // The transfers of a batch share one, whose record may be of hundreds of KiB.
            keys.insert((transfer.created_by, &transfer.idempotency_key));
        }
        let (users, key_names): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
        let mut derived = Derived::default();
        for row in self.rows(ENTRIES_OF, &[&accounts, &seqs])? {
            let (account, seq) = (get::<AccountId>(&row, 0)?, unsigned(get(&row, 1)?));
            let entry = rows::entry(&row).map_err(in_row(format_args!("the rows of event {seq}")))?;
            derived.entries.insert((account, seq), entry);
        }
        for row in self.rows(CURRENCIES, &[&accounts])? {
            let account = get::<AccountId>(&row, 0)?;
            let currency = get(&row, 1).map_err(in_row(format_args!("account {account}")))?;
            derived.currencies.insert(account, currency);
        }
        for row in self.rows(KEYS, &[&users, &key_names])? {
            let key = (get(&row, 0)?, get(&row, 1)?);
            derived.keys.insert(key, stored_key(&row)?);
        }
        Ok(derived)
    }
}

impl Drop for AuditSource {
    fn drop(&mut self) {
        if !self.open.get() {
            return;
        }
        let end = async { timeout(FAREWELL, self.client.batch_execute("rollback")).await };
        // A server that has gone has ended it, too.
        let _ = self.runtime.block_on(end);
    }
}

/// What the tables say of a page of events.
#[derive(Default)]
struct Derived {
    transfers: HashMap<TransferId, Transfer>,
    entries: HashMap<(AccountId, u64), Entry>,
    currencies: HashMap<AccountId, Currency>,
    keys: HashMap<(UserId, IdempotencyKey), StoredKey>,
}

impl Derived {
    /// Adds to an event what is derived from it; a body that cannot be read has nothing.
    fn added_to(&self, mut stored: StoredEvent, event: Option<&Event>) -> StoredEvent {
        let Some(event) = event else { return stored };
        if let EventKind::Reversed { reverses, .. } = &event.kind {
            stored.original = self.transfers.get(reverses).cloned();
        }
        let Some(transfer) = self.transfers.get(&event.transfer_id) else { return stored };
        for account in [transfer.terms.debit_account, transfer.terms.credit_account] {
            stored.entries.extend(self.entries.get(&(account, stored.seq)));
            stored.currencies.extend(self.currencies.get(&account).map(|&currency| (account, currency)));
        }
        stored.key = self.keys.get(&(transfer.created_by, transfer.idempotency_key.clone())).cloned();
        stored.transfer = Some(transfer.clone());
        stored
    }
}

fn logged(row: &Row) -> Result<LoggedEvent, StoreError> {
    let read = || -> Result<_, StoreError> { Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?)) };
    let (seq, body, hash) = read().map_err(in_row("an event"))?;
    Ok(LoggedEvent { seq: unsigned(seq), body, hash })
}

fn kept_key(row: &Row) -> Result<KeptKey, StoreError> {
    Ok(KeptKey {
        user_id: get(row, 0)?,
        key: get(row, 1)?,
        fingerprint: get(row, 2)?,
        used_at: get(row, 3)?,
        seq: get::<Option<i64>>(row, 4)?.map(unsigned),
        outcome: get(row, 5)?,
    })
}

fn stored_key(row: &Row) -> Result<StoredKey, StoreError> {
    let seq = get::<Option<i64>>(row, 2)?.map(unsigned);
    Ok(StoredKey { events: events_of(seq, get(row, 3)?).unwrap_or_default(), used_at: get(row, 4)? })
}

impl Source for AuditSource {
    fn head(&self) -> Result<Head, StoreError> {
        let row = self.row(head_query!(), &[])?;
        let row = row.ok_or_else(|| StoreError::Corrupt("the head record is missing".into()))?;
        rows::head(&row).map_err(in_row("the head record"))
    }

    fn row_counts(&self) -> Result<RowCounts, StoreError> {
        let row = self.row(ROW_COUNTS, &[])?;
        let row = row.ok_or_else(|| StoreError::Corrupt("nothing is counted".into()))?;
        let count = |place| get(&row, place).map(unsigned);
        Ok(RowCounts {
            users: count(0)?,
            accounts: count(1)?,
            keys: count(2)?,
            transfers: count(3)?,
            entries: count(4)?,
            reversed: count(5)?,
        })
    }

    fn each_event<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(StoredEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        // Before every number that a column can hold: what stands below 1 is to be found, too.
        let mut last = i64::MIN;
        loop {
            let page = self.logged_after(last)?;
            let Some(end) = page.last() else { return Ok(()) };
            last = signed(end.seq);
            self.with_derived(page)?.into_iter().try_for_each(&mut visit)?;
        }
    }

    fn each_logged<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(LoggedEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = i64::MIN;
        loop {
            let page = self.logged_after(last)?;
            let Some(end) = page.last() else { return Ok(()) };
            last = signed(end.seq);
            page.into_iter().try_for_each(&mut visit)?;
        }
    }

    fn accounts_after(&self, last: Option<AccountId>) -> Result<Vec<(Account, Money)>, StoreError> {
        let account = |row: &Row| {
            let id: AccountId = get(row, 0)?;
            let account = rows::account(row).map_err(in_row(format_args!("account {id}")))?;
            let held = get(row, 9).map_err(in_row(format_args!("the holds of account {id}")))?;
            Ok((account, held))
        };
        self.rows(ACCOUNTS, &[&last, &PAGE_ROWS])?.iter().map(account).collect()
    }

    fn each_entry<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last: (Option<AccountId>, i64) = (None, 0);
        loop {
            let page = self.rows(ENTRIES, &[&last.0, &last.1, &PAGE_ROWS])?;
            let Some(end) = page.last() else { return Ok(()) };
            last = (Some(get(end, 0)?), get(end, 1)?);
            for row in &page {
                visit(rows::entry(row).map_err(in_row("an entry"))?)?;
            }
        }
    }

    fn each_user<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(Credentials) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last: Option<UserId> = None;
        loop {
            let page = self.rows(USERS, &[&last, &PAGE_ROWS])?;
            let Some(end) = page.last() else { return Ok(()) };
            last = Some(get(end, 0)?);
            for row in &page {
                let credentials = || Ok(Credentials { user: rows::user(row)?, password_hash: get(row, 4)? });
                visit(credentials().map_err(in_row("a user"))?)?;
            }
        }
    }

    fn each_key<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(KeptKey, Option<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last: (Option<Timestamp>, Option<UserId>, String) = (None, None, String::new());
        loop {
            let page = self.rows(KEPT_KEYS, &[&last.0, &last.1, &last.2, &PAGE_ROWS, &PAGE_BYTES])?;
            let Some(end) = page.last() else { return Ok(()) };
            last = (Some(get(end, 3)?), Some(get(end, 0)?), get(end, 1)?);
            for row in &page {
                visit(kept_key(row).map_err(in_row("the record of a key"))?, get(row, 6)?)?;
            }
        }
    }

    fn orphan(&self) -> Result<Option<String>, StoreError> {
        if let Some(row) = self.row(ORPHAN_TRANSFER, &[])? {
            return Ok(Some(format!("transfer {} without event", get::<TransferId>(&row, 0)?)));
        }
        let Some(row) = self.row(ORPHAN_ENTRY, &[])? else { return Ok(None) };
        Ok(Some(format!("entry {} of account {}", get::<i64>(&row, 1)?, get::<AccountId>(&row, 0)?)))
    }

    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError> {
        #[expect(clippy::cast_precision_loss, reason = "a day has 86,400 seconds")]
        let life_s = idempotency::KEY_LIFE_S as f64;
        let sql = key_applied_twice!("make_interval(secs => $1)");
        let found = self.row(sql, &[&life_s])?;
        found.map(|row| Ok((unsigned(get(&row, 0)?), get(&row, 1)?))).transpose()
    }

    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = self.row("select max(used_at) from idempotency", &[])?;
        row.map_or(Ok(None), |row| get(&row, 0))
    }
}
