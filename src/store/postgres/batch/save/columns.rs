//! A journal turned by a quarter: an array a column, as `unnest` takes it. Knows the order of the columns, no statement.

use std::collections::HashSet;

use tokio_postgres::types::ToSql;

use crate::models::posting::Journal;
use crate::models::{
    AccountId, Amount, Currency, Fingerprint, Head, IdempotencyKey, Money, Timestamp, TransferId,
    TransferStatus, UserId, Username, transfer,
};
use crate::models::{account::AccountName, event::ChainHash, user::Role};
use crate::store::postgres::convert::signed;
use crate::store::{StoreError, keys};

/// The parameters of a statement, in its order.
pub(super) type Parameters<'a> = Vec<&'a (dyn ToSql + Sync)>;

/// A journal by columns.
pub(in crate::store::postgres::batch) struct Columns<'a> {
    users: Users<'a>,
    opened: Opened<'a>,
    events: Events<'a>,
    transfers: Transfers<'a>,
    updated: Updated,
    entries: Entries,
    keys: Keys<'a>,
    changed: Changed,
    head: EndOfLog,
    replaced_keys: ReplacedKeys<'a>,
}

macro_rules! columns {
    ($name:ident $(<$life:lifetime>)? { $($field:ident: $type:ty),+ $(,)? }) => {
        #[derive(Default)]
        struct $name $(<$life>)? { $($field: Vec<$type>),+ }

        impl $(<$life>)? $name $(<$life>)? {
            fn parameters(&self) -> Parameters<'_> {
                vec![$(&self.$field),+]
            }

            fn is_empty(&self) -> bool {
                [$(self.$field.is_empty()),+].into_iter().all(|empty| empty)
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
    idempotency_key: &'a IdempotencyKey, created_at: Timestamp, hold: bool,
});
columns!(Updated {
    seq: i64,
    status: TransferStatus,
    posted_amount: Option<Amount>,
    reversed_by: Option<TransferId>,
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
    user_id: UserId, key: &'a IdempotencyKey, fingerprint: Fingerprint, seq: Option<i64>, outcome: Option<String>,
    used_at: Timestamp,
});

columns!(ReplacedKeys<'a> { user_id: UserId, key: &'a IdempotencyKey });

/// The end of the log behind the batch.
struct EndOfLog {
    seq: i64,
    hash: ChainHash,
    at: Timestamp,
}

impl<'a> Columns<'a> {
    /// `known_keys` are those that had a record before the batch; what the journal has for one replaces that.
    pub(in crate::store::postgres::batch) fn of(
        journal: &'a Journal,
        known_keys: &HashSet<(UserId, IdempotencyKey)>,
    ) -> Result<Self, StoreError> {
        let Head { seq, hash, at } = journal.head;
        Ok(Self {
            users: users(journal),
            opened: opened(journal),
            events: events(journal),
            transfers: transfers(journal),
            updated: updated(journal),
            entries: entries(journal),
            keys: key_columns(journal)?,
            changed: changed(journal),
            head: EndOfLog { seq: signed(seq), hash, at },
            replaced_keys: replaced_keys(journal, known_keys),
        })
    }

    /// Those of the new users, if there are any.
    pub(super) fn users(&self) -> Option<Parameters<'_>> {
        (!self.users.is_empty()).then(|| self.users.parameters())
    }

    /// Those of the new accounts, if there are any.
    pub(super) fn opened(&self) -> Option<Parameters<'_>> {
        (!self.opened.is_empty()).then(|| self.opened.parameters())
    }

    /// Those of transfers from before, if any have changed.
    pub(super) fn updated(&self) -> Option<Parameters<'_>> {
        (!self.updated.is_empty()).then(|| self.updated.parameters())
    }

    /// Those of the keys whose records go, if there are any.
    pub(super) fn replaced_keys(&self) -> Option<Parameters<'_>> {
        (!self.replaced_keys.is_empty()).then(|| self.replaced_keys.parameters())
    }

    /// Those of the events and of all that comes with them, keys too, if there are any.
    pub(super) fn posted(&self) -> Option<Parameters<'_>> {
        let Self { events, transfers, entries, keys, changed, head, .. } = self;
        self.posts().then(|| {
            let head: Parameters<'_> = vec![&head.seq, &head.hash, &head.at];
            let keys = keys.parameters();
            [
                events.parameters(),
                transfers.parameters(),
                entries.parameters(),
                keys,
                changed.parameters(),
                head,
            ]
            .concat()
        })
    }

    /// Those of the keys, if there are any and nothing is posted that they go with.
    pub(super) fn keys_alone(&self) -> Option<Parameters<'_>> {
        (!self.keys.is_empty() && !self.posts()).then(|| self.keys.parameters())
    }

    fn posts(&self) -> bool {
        let Self { events, transfers, entries, changed, .. } = self;
        !(events.is_empty() && transfers.is_empty() && entries.is_empty() && changed.is_empty())
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
        columns.hold.push(transfer.hold);
    }
    columns
}

fn updated(journal: &Journal) -> Updated {
    let mut columns = Updated::default();
    for transfer in &journal.updated_transfers {
        columns.seq.push(signed(transfer.seq));
        columns.status.push(transfer.status);
        columns.posted_amount.push(transfer.posted_amount);
        columns.reversed_by.push(transfer.reversed_by);
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
        let (seq, outcome) = keys::columns(record)?;
        columns.user_id.push(*user);
        columns.key.push(key);
        columns.fingerprint.push(record.fingerprint);
        columns.seq.push(seq.map(signed));
        columns.outcome.push(outcome);
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
