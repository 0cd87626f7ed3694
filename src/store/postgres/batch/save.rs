//! The second trip: writes the journal, a statement a table, and commits.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Statement};

use super::BatchError;
use crate::models::posting::{Journal, KeyOutcome};
use crate::models::{
    AccountId, Amount, Currency, Fingerprint, Head, IdempotencyKey, Money, Timestamp, TransferId,
    TransferStatus, UserId, Username, idempotency, transfer,
};
use crate::models::{account::AccountName, event::ChainHash, user::Role};
use crate::store::columns::{account_columns, entry_columns, transfer_columns};
use crate::store::postgres::convert::signed;
use crate::store::{StoreError, keys};

const USERS: &str = "insert into users (id, username, role, password_hash, created_at)
    select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])";
const OPENED: &str = concat!(
    "insert into accounts (",
    account_columns!(),
    ") select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
        $8::bigint[], $9::timestamptz[])"
);
const CHANGED: &str = "update accounts set balance = new.balance, held = new.held, version = new.version
    from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[]) as new (id, balance, held, version)
    where accounts.id = new.id";
const EVENTS: &str =
    "insert into events (seq, body, hash) select * from unnest($1::bigint[], $2::bytea[], $3::bytea[])";
const TRANSFERS: &str = concat!(
    "insert into transfers (",
    transfer_columns!(),
    ", hold) select id, seq, status, debit_account, credit_account, amount, currency, description, metadata::json,
        reference, posted_amount, expires_at, reverses, reversed_by, created_by, idempotency_key, created_at,
        status = 'pending'
    from unnest($1::uuid[], $2::bigint[], $3::text[], $4::uuid[], $5::uuid[], $6::bigint[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::bigint[], $12::timestamptz[], $13::uuid[], $14::uuid[], $15::uuid[], $16::text[],
        $17::timestamptz[]) as new (",
    transfer_columns!(),
    ")"
);
const ENTRIES: &str = concat!(
    "insert into entries (",
    entry_columns!(),
    ") select * from unnest($1::uuid[], $2::bigint[], $3::uuid[], $4::bigint[], $5::bigint[], $6::timestamptz[])"
);
/// Without `on conflict`, which costs a third more a row; dead records of the same keys have gone before.
const KEYS: &str = "insert into idempotency (user_id, key, fingerprint, seq, rejection, used_at)
    select * from unnest($1::uuid[], $2::text[], $3::bytea[], $4::bigint[], $5::text[], $6::timestamptz[])";
const REPLACED_KEYS: &str =
    "delete from idempotency using unnest($1::uuid[], $2::text[]) as replaced (user_id, key)
    where idempotency.user_id = replaced.user_id and idempotency.key = replaced.key";
const DEAD_KEYS: &str = "delete from idempotency where (user_id, key) in
    (select user_id, key from idempotency where used_at between $1 and $2 order by used_at limit $3)";
const HEAD: &str = "update head set seq = $1, hash = $2, at = $3 where id = 1";

/// What the second trip may send.
pub(super) struct Statements {
    users: Statement,
    opened: Statement,
    changed: Statement,
    events: Statement,
    transfers: Statement,
    entries: Statement,
    keys: Statement,
    replaced_keys: Statement,
    dead_keys: Statement,
    head: Statement,
}

impl Statements {
    /// Sends nothing after a connection's first batch.
    pub(super) async fn prepare(client: &ClientWrapper) -> Result<Self, Error> {
        let (users, opened, changed, events, transfers, entries, keys, replaced_keys, dead_keys, head) = tokio::try_join!(
            biased;
            client.prepare_cached(USERS),
            client.prepare_cached(OPENED),
            client.prepare_cached(CHANGED),
            client.prepare_cached(EVENTS),
            client.prepare_cached(TRANSFERS),
            client.prepare_cached(ENTRIES),
            client.prepare_cached(KEYS),
            client.prepare_cached(REPLACED_KEYS),
            client.prepare_cached(DEAD_KEYS),
            client.prepare_cached(HEAD),
        )?;
        Ok(Self { users, opened, changed, events, transfers, entries, keys, replaced_keys, dead_keys, head })
    }
}

/// The keys that are past their life, a few a batch.
pub(super) struct DeadKeys {
    oldest: Timestamp,
    before: Timestamp,
    limit: i64,
}

impl DeadKeys {
    /// `None` if nothing is to be dropped. Keys are dropped by batches that use some: the youngest stays, and with it
    /// the time that keys have died by.
    pub(super) fn of(
        journal: &Journal,
        now: Timestamp,
        oldest_key_use: Option<Timestamp>,
        commands: usize,
    ) -> Option<Self> {
        let before = now.saturating_add_seconds(-idempotency::KEY_LIFE_S);
        let limit = i64::try_from(commands * keys::DEAD_KEYS_PER_COMMAND).unwrap_or(i64::MAX);
        let oldest = oldest_key_use.filter(|&used_at| used_at <= before && !journal.keys.is_empty())?;
        Some(Self { oldest, before, limit })
    }
}

/// A journal turned by a quarter: an array a column, as `unnest` takes it.
pub(super) struct Columns<'a> {
    head: Head,
    users: Users<'a>,
    opened: Opened<'a>,
    changed: Changed,
    events: Events<'a>,
    transfers: Transfers<'a>,
    entries: Entries,
    keys: Keys<'a>,
    replaced_keys: ReplacedKeys<'a>,
}

macro_rules! columns {
    ($name:ident $(<$life:lifetime>)? { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(Default)]
        struct $name $(<$life>)? { $($field: Vec<$type>),+ }

        impl $(<$life>)? $name $(<$life>)? {
            fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
                vec![$(&self.$field),+]
            }
        }
    };
}

columns!(Users<'a> {
    id: UserId, username: &'a Username, role: Role, password_hash: &'a str, created_at: Timestamp,
});
columns!(Opened<'a> {
    id: AccountId, owner: UserId, name: Option<&'a AccountName>, currency: Currency, balance: Money, held: Money,
    min_balance: Option<Money>, version: i64, created_at: Timestamp,
});
columns!(Changed { id: AccountId, balance: Money, held: Money, version: i64 });
columns!(Events<'a> { seq: i64, body: &'a [u8], hash: ChainHash });
columns!(Transfers<'a> {
    id: TransferId, seq: i64, status: TransferStatus, debit_account: AccountId, credit_account: AccountId,
    amount: Amount, currency: Currency, description: Option<&'a transfer::Description>, metadata: Option<&'a str>,
    reference: Option<&'a transfer::Reference>, posted_amount: Option<Amount>, expires_at: Option<Timestamp>,
    reverses: Option<TransferId>, reversed_by: Option<TransferId>, created_by: UserId,
    idempotency_key: &'a IdempotencyKey, created_at: Timestamp,
});
columns!(Entries {
    account_id: AccountId,
    seq: i64,
    transfer_id: TransferId,
    amount: Money,
    balance: Money,
    created_at: Timestamp,
});
columns!(Keys<'a> {
    user_id: UserId, key: &'a IdempotencyKey, fingerprint: Fingerprint, seq: Option<i64>, rejection: Option<String>,
    used_at: Timestamp,
});

columns!(ReplacedKeys<'a> { user_id: UserId, key: &'a IdempotencyKey });

impl<'a> Columns<'a> {
    /// `known_keys` are those that had a record before the batch; what the journal has for one replaces that.
    pub(super) fn of(
        journal: &'a Journal,
        known_keys: &HashSet<(UserId, IdempotencyKey)>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            head: journal.head,
            users: users(journal),
            opened: opened(journal),
            changed: changed(journal),
            events: events(journal),
            transfers: transfers(journal),
            entries: entries(journal),
            keys: key_columns(journal)?,
            replaced_keys: replaced_keys(journal, known_keys),
        })
    }
}

fn users(journal: &Journal) -> Users<'_> {
    let mut columns = Users::default();
    for new in &journal.users {
        columns.id.push(new.user.id);
        columns.username.push(&new.user.username);
        columns.role.push(new.user.role);
        columns.password_hash.push(&new.password_hash);
        columns.created_at.push(new.user.created_at);
    }
    columns
}

fn opened(journal: &Journal) -> Opened<'_> {
    let mut columns = Opened::default();
    for account in &journal.opened {
        columns.id.push(account.id);
        columns.owner.push(account.owner);
        columns.name.push(account.name.as_ref());
        columns.currency.push(account.currency);
        columns.balance.push(account.balance);
        columns.held.push(account.held);
        columns.min_balance.push(account.min_balance);
        columns.version.push(signed(account.version));
        columns.created_at.push(account.created_at);
    }
    columns
}

fn changed(journal: &Journal) -> Changed {
    let mut columns = Changed::default();
    for account in &journal.changed {
        columns.id.push(account.id);
        columns.balance.push(account.balance);
        columns.held.push(account.held);
        columns.version.push(signed(account.version));
    }
    columns
}

fn events(journal: &Journal) -> Events<'_> {
    let mut columns = Events::default();
    for event in &journal.events {
        columns.seq.push(signed(event.seq));
        columns.body.push(&event.body);
        columns.hash.push(event.hash);
    }
    columns
}

fn transfers(journal: &Journal) -> Transfers<'_> {
    let mut columns = Transfers::default();
    for transfer in &journal.transfers {
        let terms = &transfer.terms;
        columns.id.push(transfer.id);
        columns.seq.push(signed(transfer.seq));
        columns.status.push(transfer.status);
        columns.debit_account.push(terms.debit_account);
        columns.credit_account.push(terms.credit_account);
        columns.amount.push(terms.amount);
        columns.currency.push(terms.currency);
        columns.description.push(terms.description.as_ref());
        columns.metadata.push(terms.metadata.as_deref());
        columns.reference.push(terms.reference.as_ref());
        columns.posted_amount.push(transfer.posted_amount);
        columns.expires_at.push(transfer.expires_at);
        columns.reverses.push(transfer.reverses);
        columns.reversed_by.push(transfer.reversed_by);
        columns.created_by.push(transfer.created_by);
        columns.idempotency_key.push(&transfer.idempotency_key);
        columns.created_at.push(transfer.created_at);
    }
    columns
}

fn entries(journal: &Journal) -> Entries {
    let mut columns = Entries::default();
    for entry in &journal.entries {
        columns.account_id.push(entry.account_id);
        columns.seq.push(signed(entry.seq));
        columns.transfer_id.push(entry.transfer_id);
        columns.amount.push(entry.amount);
        columns.balance.push(entry.balance);
        columns.created_at.push(entry.created_at);
    }
    columns
}

fn key_columns(journal: &Journal) -> Result<Keys<'_>, StoreError> {
    let mut columns = Keys::default();
    for ((user, key), record) in &journal.keys {
        let (seq, rejection) = match &record.outcome {
            KeyOutcome::Transfer(transfer) => (Some(signed(transfer.seq)), None),
            KeyOutcome::Rejected(rejection, request_id) => {
                (None, Some(keys::write_rejection(*rejection, request_id)?))
            }
        };
        columns.user_id.push(*user);
        columns.key.push(key);
        columns.fingerprint.push(record.fingerprint);
        columns.seq.push(seq);
        columns.rejection.push(rejection);
        columns.used_at.push(record.used_at);
    }
    Ok(columns)
}

fn replaced_keys<'a>(
    journal: &'a Journal,
    known_keys: &HashSet<(UserId, IdempotencyKey)>,
) -> ReplacedKeys<'a> {
    let mut columns = ReplacedKeys::default();
    for (name, _) in journal.keys.iter().filter(|(name, _)| known_keys.contains(name)) {
        columns.user_id.push(name.0);
        columns.key.push(&name.1);
    }
    columns
}

/// Writes and commits. The outcome is unknown if the connection ends, or the server ends it, before it has answered
/// everything: an ordinary error of any statement turns the commit into a rollback.
pub(super) async fn save(
    client: &ClientWrapper,
    statements: &Statements,
    columns: &Columns<'_>,
    dead: Option<DeadKeys>,
) -> Result<(), BatchError> {
    let trip = Trip { client, failed: AtomicBool::new(false), commits: AtomicBool::new(false) };
    let Columns { head, users, opened, changed, events, transfers, entries, keys, replaced_keys } = columns;
    let dead: Vec<&(dyn ToSql + Sync)> = match &dead {
        Some(dead) => vec![&dead.oldest, &dead.before, &dead.limit],
        None => Vec::new(),
    };
    let head_seq = signed(head.seq);
    let (dead, replaced, users, opened, changed, events, transfers, entries, keys, head, committed) = tokio::join!(
        biased;
        trip.execute_unless(dead.is_empty(), &statements.dead_keys, dead),
        trip.execute_unless(
            replaced_keys.key.is_empty(),
            &statements.replaced_keys,
            replaced_keys.parameters(),
        ),
        trip.execute_unless(users.id.is_empty(), &statements.users, users.parameters()),
        trip.execute_unless(opened.id.is_empty(), &statements.opened, opened.parameters()),
        trip.execute_unless(changed.id.is_empty(), &statements.changed, changed.parameters()),
        trip.execute_unless(events.seq.is_empty(), &statements.events, events.parameters()),
        trip.execute_unless(transfers.id.is_empty(), &statements.transfers, transfers.parameters()),
        trip.execute_unless(entries.seq.is_empty(), &statements.entries, entries.parameters()),
        trip.execute_unless(keys.key.is_empty(), &statements.keys, keys.parameters()),
        trip.execute_unless(
            events.seq.is_empty(),
            &statements.head,
            vec![&head_seq, &head.hash, &head.at],
        ),
        trip.commit(),
    );
    let all = [dead, replaced, users, opened, changed, events, transfers, entries, keys, head, committed];
    let told = |error| {
        let known = !trip.commits.load(Ordering::Relaxed) || says_what_became_of_it(&error);
        if known { BatchError::NotCommitted(error) } else { BatchError::Unknown(error) }
    };
    all.into_iter().collect::<Result<(), Error>>().map_err(told)
}

/// Statements that are sent one behind the other.
struct Trip<'a> {
    client: &'a ClientWrapper,
    /// Whether one failed before it was sent.
    failed: AtomicBool,
    /// Whether the commit was sent.
    commits: AtomicBool,
}

impl Trip<'_> {
    async fn execute_unless(
        &self,
        needless: bool,
        statement: &Statement,
        parameters: Vec<&(dyn ToSql + Sync)>,
    ) -> Result<(), Error> {
        if needless {
            return Ok(());
        }
        let done = self.client.execute(statement, &parameters).await;
        self.failed.fetch_or(done.is_err(), Ordering::Relaxed);
        done.map(drop)
    }

    /// What could not even be sent must not be missing from what is committed.
    async fn commit(&self) -> Result<(), Error> {
        let commits = !self.failed.load(Ordering::Relaxed);
        self.commits.store(commits, Ordering::Relaxed);
        self.client.batch_execute(if commits { "commit" } else { "rollback" }).await
    }
}

/// Whether an error is the server's word on a statement. When it ends a session (class 57P) or the way to it (08), a
/// commit may have gone through before; an error without a code is this side's, about the connection.
fn says_what_became_of_it(error: &Error) -> bool {
    error.code().is_some_and(|code| !code.code().starts_with("57P") && !code.code().starts_with("08"))
}
