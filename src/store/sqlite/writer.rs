//! The one connection that writes: load, let the rule decide, store the journal, commit, sync.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use super::checkpoint::Checkpointer;
use super::rows;
use crate::models::posting::{Books, Command, Journal, KeyOutcome, KeyRecord, Needs, Outcome};
use crate::models::{Head, IdempotencyKey, Timestamp, UserId, idempotency};
use crate::store::columns::{account_columns, entry_columns, head_query, transfer_columns, user_columns};
use crate::store::{Clock, StoreError, keys};

/// Commits batches. One thread owns it.
#[derive(Debug)]
pub struct Writer {
    connection: Connection,
    checkpointer: Checkpointer,
}

impl Writer {
    pub(super) fn new(mut connection: Connection, for_checkpoints: Connection) -> Result<Self, StoreError> {
        let checkpointer = Checkpointer::start(for_checkpoints, &mut connection)?;
        Ok(Self { connection, checkpointer })
    }

    /// Decides and stores a batch; see [`crate::store::Writer::commit`].
    pub fn commit(&mut self, commands: &[Command], clock: Clock<'_>) -> Result<Vec<Outcome>, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut books = load(&transaction, commands, clock())?;
        let outcomes = commands.iter().map(|command| books.decide(command)).collect();
        let now = books.now();
        let journal = books.into_journal();
        if !journal.keys.is_empty() {
            // The youngest key stays and with it the time that keys have died by.
            drop_dead_keys(&transaction, now, commands.len())?;
        }
        if !journal.is_empty() {
            save(&transaction, &journal)?;
        }
        transaction.commit()?;
        self.checkpointer.after_commit();
        Ok(outcomes)
    }

    /// The end of the log, as this connection sees it.
    pub fn head(&self) -> Result<Head, StoreError> {
        Ok(self.connection.prepare_cached(head_query!())?.query_row((), rows::head)?)
    }

    /// Closes the database. The last connection to it moves the log into the file and removes the log; nobody
    /// waits for readers of other processes, since the log is as durable as the file.
    pub fn close(self) -> Result<(), StoreError> {
        self.checkpointer.stop();
        self.connection.close().map_err(|(_, error)| error.into())
    }
}

/// Brings what the batch needs into the books.
fn load(transaction: &Transaction<'_>, commands: &[Command], clock: Timestamp) -> Result<Books, StoreError> {
    let needs = Needs::of(commands);
    let head = transaction.prepare_cached(head_query!())?.query_row((), rows::head)?;
    // Keys stand in order of their use.
    let last_key_use = transaction
        .prepare_cached("select used_at from idempotency order by rowid desc limit 1")?
        .query_row((), |row| row.get(0))
        .optional()?;
    let mut books = Books::new(head, last_key_use, clock);
    let mut account =
        transaction.prepare_cached(concat!("select ", account_columns!(), " from accounts where id = ?1"))?;
    for id in &needs.accounts {
        if let Some(account) = account.query_row([id], rows::account).optional()? {
            books.load_account(account);
        }
    }
    load_keys(transaction, &needs, &mut books)?;
    load_users(transaction, &needs, &mut books)?;
    Ok(books)
}

fn load_keys(transaction: &Transaction<'_>, needs: &Needs, books: &mut Books) -> Result<(), StoreError> {
    let mut query = transaction.prepare_cached(
        "select fingerprint, used_at, seq, rejection from idempotency where user_id = ?1 and key = ?2",
    )?;
    let mut body = transaction.prepare_cached("select body from events where seq = ?1")?;
    for (user, key) in &needs.keys {
        let mut found = query.query((user, key))?;
        if let Some(row) = found.next()? {
            let outcome = match row.get::<_, Option<u64>>(2)? {
                Some(seq) => {
                    let body: Option<Vec<u8>> = body.query_row([seq], |row| row.get(0)).optional()?;
                    keys::created_transfer(seq, body.as_deref())?
                }
                None => keys::read_rejection(&row.get::<_, String>(3)?)?,
            };
            let record = KeyRecord { fingerprint: row.get(0)?, used_at: row.get(1)?, outcome };
            books.load_key(*user, key.clone(), record);
        }
    }
    Ok(())
}

fn load_users(transaction: &Transaction<'_>, needs: &Needs, books: &mut Books) -> Result<(), StoreError> {
    let mut by_id =
        transaction.prepare_cached(concat!("select ", user_columns!(), " from users where id = ?1"))?;
    for id in &needs.user_ids {
        if let Some(user) = by_id.query_row([id], rows::user).optional()? {
            books.load_user(user);
        }
    }
    let mut by_name =
        transaction.prepare_cached(concat!("select ", user_columns!(), " from users where username = ?1"))?;
    for name in &needs.usernames {
        if let Some(user) = by_name.query_row([name], rows::user).optional()? {
            books.load_user(user);
        }
    }
    Ok(())
}

fn save(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    save_users(transaction, journal)?;
    save_accounts(transaction, journal)?;
    save_log(transaction, journal)?;
    save_transfers(transaction, journal)?;
    save_keys(transaction, &journal.keys)
}

fn save_users(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(
        "insert into users (id, username, role, password_hash, created_at) values (?1, ?2, ?3, ?4, ?5)",
    )?;
    for new in &journal.users {
        let user = &new.user;
        insert.execute((user.id, &user.username, user.role, &new.password_hash, user.created_at))?;
    }
    Ok(())
}

fn save_accounts(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(concat!(
        "insert into accounts (",
        account_columns!(),
        ") values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
    ))?;
    for account in &journal.opened {
        insert.execute((
            account.id,
            account.owner,
            &account.name,
            account.currency,
            account.balance,
            account.held,
            account.min_balance,
            account.version,
            account.created_at,
        ))?;
    }
    let mut update = transaction
        .prepare_cached("update accounts set balance = ?2, held = ?3, version = ?4 where id = ?1")?;
    for account in &journal.changed {
        update.execute((account.id, account.balance, account.held, account.version))?;
    }
    Ok(())
}

fn save_log(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert =
        transaction.prepare_cached("insert into events (seq, body, hash) values (?1, ?2, ?3)")?;
    for event in &journal.events {
        insert.execute((event.seq, &event.body, event.hash))?;
    }
    let head = journal.head;
    let mut update =
        transaction.prepare_cached("update head set seq = ?1, hash = ?2, at = ?3 where id = 1")?;
    update.execute((head.seq, head.hash, head.at))?;
    Ok(())
}

fn save_transfers(transaction: &Transaction<'_>, journal: &Journal) -> Result<(), StoreError> {
    let mut insert = transaction.prepare_cached(concat!(
        "insert into transfers (",
        transfer_columns!(),
        ", hold) values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?3 = 'pending')"
    ))?;
    for transfer in &journal.transfers {
        let terms = &transfer.terms;
        insert.execute(rusqlite::params![
            transfer.id,
            transfer.seq,
            transfer.status,
            terms.debit_account,
            terms.credit_account,
            terms.amount,
            terms.currency,
            terms.description,
            terms.metadata.as_deref(),
            terms.reference,
            transfer.posted_amount,
            transfer.expires_at,
            transfer.reverses,
            transfer.reversed_by,
            transfer.created_by,
            transfer.idempotency_key,
            transfer.created_at,
        ])?;
    }
    let mut insert = transaction.prepare_cached(concat!(
        "insert into entries (",
        entry_columns!(),
        ") values (?1, ?2, ?3, ?4, ?5, ?6)"
    ))?;
    for entry in &journal.entries {
        let keys = (entry.account_id, entry.seq, entry.transfer_id);
        insert.execute((keys.0, keys.1, keys.2, entry.amount, entry.balance, entry.created_at))?;
    }
    Ok(())
}

fn save_keys(
    transaction: &Transaction<'_>,
    keys: &[((UserId, IdempotencyKey), KeyRecord)],
) -> Result<(), StoreError> {
    // `or replace` drops a dead record of the same key and gives the new one the youngest place.
    let mut insert = transaction.prepare_cached(
        "insert or replace into idempotency (user_id, key, fingerprint, seq, rejection, used_at)
         values (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for ((user, key), record) in keys {
        let (seq, rejection) = match &record.outcome {
            KeyOutcome::Transfer(transfer) => (Some(transfer.seq), None),
            KeyOutcome::Rejected(rejection, request_id) => {
                (None, Some(keys::write_rejection(*rejection, request_id)?))
            }
        };
        insert.execute((user, key, record.fingerprint, seq, rejection, record.used_at))?;
    }
    Ok(())
}

/// Drops the oldest keys that are past their life, a few a batch.
fn drop_dead_keys(transaction: &Transaction<'_>, now: Timestamp, commands: usize) -> Result<(), StoreError> {
    let dead_before = now.saturating_add_seconds(-idempotency::KEY_LIFE_S);
    let mut delete = transaction.prepare_cached(
        "delete from idempotency where rowid in (
             select rowid from (select rowid, used_at from idempotency order by rowid limit ?1)
             where used_at <= ?2)",
    )?;
    delete.execute((commands * keys::DEAD_KEYS_PER_COMMAND, dead_before))?;
    Ok(())
}
