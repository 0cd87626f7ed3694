//! One snapshot of a ledger on Postgres for `verify`: a read-only transaction that lasts for the walk, read in pages.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::convert::{signed, unsigned};
use super::rows::{self, get};
use super::{Options, Target, connect, runtime};
use crate::models::posting::Entry;
use crate::models::{
    Account, AccountId, Currency, Event, Head, IdempotencyKey, Money, Timestamp, Transfer, TransferId,
    UserId, idempotency,
};
use crate::store::StoreError;
use crate::store::audit::{RowCounts, Source, StoredEvent, StoredKey, in_row};
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns};
use crate::store::keys;

/// Rows that are held at once: the bound of the walk's memory.
const PAGE_ROWS: i64 = 1_000;

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
const KEYS: &str = "select user_id, key, seq, fingerprint, used_at
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
    " from entries where account_id = $1 and seq > $2 order by seq limit $3"
);
const REJECTIONS: &str = "select user_id, key, outcome from idempotency
    where outcome is not null and ($1::uuid is null or (user_id, key) > ($1, $2)) order by user_id, key limit $3";

/// Opens the view, without time limits that a server may set: an audit may take hours, and idles while it hashes.
const BEGIN: &str = "begin isolation level repeatable read read only; \
    set local statement_timeout = 0; set local lock_timeout = 0; \
    set local idle_in_transaction_session_timeout = 0";

/// A consistent view. While it lives the server keeps every row version that it can see.
#[derive(Debug)]
pub struct AuditSource {
    client: ClientWrapper,
    // Last: the connection's task ends with it.
    runtime: Runtime,
}

impl AuditSource {
    /// A view that reaches to `seq`: of the replica if there is one that answers and has it, else of the primary.
    pub(super) fn open(options: &Options, seq: u64) -> Result<Self, StoreError> {
        if let Some(replica) = &options.replica {
            match Self::open_at(options, replica) {
                Ok(source) if source.head()?.seq >= seq => return Ok(source),
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
        Ok(Self { client, runtime })
    }

    fn rows(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let found = async {
            let statement = self.client.prepare_cached(sql).await?;
            self.client.query(&statement, parameters).await
        };
        Ok(self.runtime.block_on(found)?)
    }

    fn row(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, parameters)?.into_iter().next())
    }

    /// A page of events with all that is derived from them.
    fn events_after(&self, seq: i64) -> Result<Vec<StoredEvent>, StoreError> {
        let found = self.rows(EVENTS, &[&seq, &PAGE_ROWS])?;
        let mut events = found.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        let transfer_ids: Vec<_> = events.iter().map(transfer_id).collect();
        let wanted: Vec<TransferId> = transfer_ids.iter().copied().flatten().collect();
        let mut derived = self.derived(&wanted, &events, &transfer_ids)?;
        for (event, transfer_id) in events.iter_mut().zip(transfer_ids) {
            derived.add_to(event, transfer_id);
        }
        Ok(events)
    }

    fn derived(
        &self,
        wanted: &[TransferId],
        events: &[StoredEvent],
        transfer_ids: &[Option<TransferId>],
    ) -> Result<Derived, StoreError> {
        let mut transfers = HashMap::new();
        for row in self.rows(TRANSFERS, &[&wanted])? {
            let id: TransferId = get(&row, 0)?;
            let transfer = rows::transfer(&row).map_err(in_row(format_args!("transfer {id}")))?;
            transfers.insert(id, transfer);
        }
        let (mut accounts, mut seqs, mut users, mut key_names) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (event, id) in events.iter().zip(transfer_ids) {
            let Some(transfer) = id.and_then(|id| transfers.get(&id)) else { continue };
            accounts.extend([transfer.terms.debit_account, transfer.terms.credit_account]);
            seqs.extend([signed(event.seq); 2]);
            users.push(transfer.created_by);
            key_names.push(transfer.idempotency_key.clone());
        }
        let mut entries = HashMap::new();
        for row in self.rows(ENTRIES_OF, &[&accounts, &seqs])? {
            let (account, seq) = (get::<AccountId>(&row, 0)?, unsigned(get(&row, 1)?));
            let entry = rows::entry(&row).map_err(in_row(format_args!("the rows of event {seq}")))?;
            entries.insert((account, seq), entry);
        }
        let mut currencies = HashMap::new();
        for row in self.rows(CURRENCIES, &[&accounts])? {
            let account = get::<AccountId>(&row, 0)?;
            currencies.insert(account, get(&row, 1).map_err(in_row(format_args!("account {account}")))?);
        }
        let mut keys = HashMap::new();
        for row in self.rows(KEYS, &[&users, &key_names])? {
            let key = (get(&row, 0)?, get(&row, 1)?);
            keys.insert(key, stored_key(&row)?);
        }
        Ok(Derived { transfers, entries, currencies, keys })
    }
}

impl Drop for AuditSource {
    fn drop(&mut self) {
        let end = async { timeout(FAREWELL, self.client.batch_execute("rollback")).await };
        // A server that has gone has ended it, too.
        let _ = self.runtime.block_on(end);
    }
}

/// What the tables say of a page of events.
struct Derived {
    transfers: HashMap<TransferId, Transfer>,
    entries: HashMap<(AccountId, u64), Entry>,
    currencies: HashMap<AccountId, Currency>,
    keys: HashMap<(UserId, IdempotencyKey), StoredKey>,
}

impl Derived {
    fn add_to(&mut self, event: &mut StoredEvent, transfer_id: Option<TransferId>) {
        event.transfer = transfer_id.and_then(|id| self.transfers.get(&id).cloned());
        let Some(transfer) = &event.transfer else { return };
        for account in [transfer.terms.debit_account, transfer.terms.credit_account] {
            event.entries.extend(self.entries.get(&(account, event.seq)));
            event.currencies.extend(self.currencies.get(&account).map(|&currency| (account, currency)));
        }
        event.key = self.keys.get(&(transfer.created_by, transfer.idempotency_key.clone())).copied();
    }
}

fn event(row: &Row) -> Result<StoredEvent, StoreError> {
    let read = || -> Result<_, StoreError> { Ok((get(row, 0)?, get(row, 1)?, get(row, 2)?)) };
    let (seq, body, hash) = read().map_err(in_row("an event"))?;
    Ok(StoredEvent::bare(unsigned(seq), body, hash))
}

/// Which transfer an event is about; a body that cannot be read is about none.
fn transfer_id(event: &StoredEvent) -> Option<TransferId> {
    Event::decode(&event.body).ok().map(|event| event.transfer_id)
}

fn stored_key(row: &Row) -> Result<StoredKey, StoreError> {
    let seq = get::<Option<i64>>(row, 2)?.map(unsigned);
    Ok(StoredKey { seq, fingerprint: get(row, 3)?, used_at: get(row, 4)? })
}

impl Source for AuditSource {
    fn head(&self) -> Result<Head, StoreError> {
        let row = self.row(head_query!(), &[])?;
        let row = row.ok_or_else(|| StoreError::Corrupt("the head record is missing".into()))?;
        rows::head(&row).map_err(in_row("the head record"))
    }

    fn row_counts(&self) -> Result<RowCounts, StoreError> {
        let sql = "select count(*), (select count(*) from entries), count(reversed_by) from transfers";
        let row = self.row(sql, &[])?.ok_or_else(|| StoreError::Corrupt("nothing is counted".into()))?;
        let count = |place| get(&row, place).map(unsigned);
        Ok(RowCounts { transfers: count(0)?, entries: count(1)?, reversed: count(2)? })
    }

    fn each_event<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(StoredEvent) -> Result<(), E>,
    ) -> Result<(), E> {
        // Before every number that a column can hold: what stands below 1 is to be found, too.
        let mut last = i64::MIN;
        loop {
            let page = self.events_after(last)?;
            let Some(end) = page.last() else { return Ok(()) };
            last = signed(end.seq);
            for event in page {
                visit(event)?;
            }
        }
    }

    fn each_account<E: From<StoreError>>(
        &self,
        mut visit: impl FnMut(Account, Money) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last: Option<AccountId> = None;
        loop {
            let page = self.rows(ACCOUNTS, &[&last, &PAGE_ROWS])?;
            if page.is_empty() {
                return Ok(());
            }
            for row in &page {
                let id: AccountId = get(row, 0)?;
                let account = rows::account(row).map_err(in_row(format_args!("account {id}")))?;
                let held = get(row, 9).map_err(in_row(format_args!("the holds of account {id}")))?;
                visit(account, held)?;
                last = Some(id);
            }
        }
    }

    fn each_entry<E: From<StoreError>>(
        &self,
        account: AccountId,
        mut visit: impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = i64::MIN;
        loop {
            let page = self.rows(ENTRIES, &[&account, &last, &PAGE_ROWS])?;
            let Some(end) = page.last() else { return Ok(()) };
            last = get(end, 1)?;
            for row in &page {
                visit(rows::entry(row).map_err(in_row(format_args!("an entry of account {account}")))?)?;
            }
        }
    }

    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError> {
        let sql = "select seq, idempotency_key from (
                select seq, idempotency_key, created_at, lag(created_at) over (
                    partition by created_by, idempotency_key order by seq) as before
                from transfers) as uses
            where created_at - before < make_interval(secs => $1) order by seq limit 1";
        #[expect(clippy::cast_precision_loss, reason = "a day has 86,400 seconds")]
        let life_s = idempotency::KEY_LIFE_S as f64;
        let found = self.row(sql, &[&life_s])?;
        found.map(|row| Ok((unsigned(get(&row, 0)?), get(&row, 1)?))).transpose()
    }

    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = self.row("select max(used_at) from idempotency", &[])?;
        row.map_or(Ok(None), |row| get(&row, 0))
    }

    fn unreadable_rejection(&self) -> Result<Option<String>, StoreError> {
        let mut last: (Option<UserId>, String) = (None, String::new());
        loop {
            let page = self.rows(REJECTIONS, &[&last.0, &last.1, &PAGE_ROWS])?;
            if page.is_empty() {
                return Ok(None);
            }
            for row in &page {
                last = (get(row, 0)?, get(row, 1)?);
                if keys::read(get(row, 2)?).is_err() {
                    return Ok(Some(last.1));
                }
            }
        }
    }

    fn key_without_event(&self) -> Result<Option<String>, StoreError> {
        let sql = "select key from idempotency left join transfers using (seq)
            where idempotency.seq is not null and (transfers.seq is null
                or created_by <> user_id or idempotency_key <> key)
            limit 1";
        self.row(sql, &[])?.map(|row| get(&row, 0)).transpose()
    }
}
