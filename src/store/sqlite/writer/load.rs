//! What a batch depends on, brought into the books.

use std::collections::HashSet;

use rusqlite::{OptionalExtension, Row, Transaction};

use crate::models::posting::{Books, Command, KeyOutcome, KeyRecord, Needs};
use crate::models::{AccountId, Fingerprint, Timestamp};
use crate::store::StoreError;
use crate::store::columns::{account_columns, head_query, transfer_columns, user_columns};
use crate::store::keys::{self, Kept};
use crate::store::sqlite::rows;

const TRANSFER: &str = concat!("select ", transfer_columns!(), " from transfers where id = ?1");

/// Brings what the batch needs into the books.
pub(super) fn load(
    transaction: &Transaction<'_>,
    commands: &[Command],
    clock: Timestamp,
) -> Result<Books, StoreError> {
    let needs = Needs::of(commands);
    let head = transaction.prepare_cached(head_query!())?.query_row((), rows::head)?;
    // Keys stand in order of their use.
    let last_key_use = transaction
        .prepare_cached("select used_at from idempotency order by rowid desc limit 1")?
        .query_row((), |row| row.get(0))
        .optional()?;
    let mut books = Books::new(head, last_key_use, clock);
    load_accounts(transaction, &needs.accounts, &mut books)?;
    if needs.any_transfers() {
        load_transfers(transaction, &needs, &mut books)?;
    }
    load_keys(transaction, &needs, &mut books)?;
    load_users(transaction, &needs, &mut books)?;
    Ok(books)
}

fn load_accounts(
    transaction: &Transaction<'_>,
    ids: &[AccountId],
    books: &mut Books,
) -> Result<(), StoreError> {
    let mut account =
        transaction.prepare_cached(concat!("select ", account_columns!(), " from accounts where id = ?1"))?;
    for id in ids {
        if let Some(account) = account.query_row([id], rows::account).optional()? {
            books.load_account(account);
        }
    }
    Ok(())
}

/// The transfers that commands name, those that expire first, and the accounts of both.
fn load_transfers(transaction: &Transaction<'_>, needs: &Needs, books: &mut Books) -> Result<(), StoreError> {
    let mut found = Vec::with_capacity(needs.transfers.len());
    let mut by_id = transaction.prepare_cached(TRANSFER)?;
    for id in &needs.transfers {
        found.extend(by_id.query_row([id], rows::transfer).optional()?);
    }
    let mut expiring = transaction.prepare_cached(concat!(
        "select ",
        transfer_columns!(),
        " from transfers where status = 'pending' and expires_at is not null order by expires_at, seq limit ?1"
    ))?;
    for transfer in expiring.query_map([needs.expiring], rows::transfer)? {
        found.push(transfer?);
    }
    let sides = found.iter().flat_map(|found| [found.terms.debit_account, found.terms.credit_account]);
    load_accounts(transaction, &sides.collect::<Vec<_>>(), books)?;
    for transfer in found {
        books.load_transfer(transfer);
    }
    Ok(())
}

fn load_keys(transaction: &Transaction<'_>, needs: &Needs, books: &mut Books) -> Result<(), StoreError> {
    let mut query = transaction.prepare_cached(
        "select fingerprint, used_at, seq, outcome from idempotency where user_id = ?1 and key = ?2",
    )?;
    for (user, key) in &needs.keys {
        let mut found = query.query((user, key))?;
        let Some(row) = found.next()? else { continue };
        match key_record(transaction, row, &needs.fingerprints) {
            Ok(record) => books.load_key(*user, key.clone(), record),
            Err(error @ StoreError::Corrupt(_)) => {
                keys::tell_damaged(*user, key, &error);
                books.load_damaged_key(*user, key.clone());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn key_record(
    transaction: &Transaction<'_>,
    row: &Row<'_>,
    wanted: &HashSet<Fingerprint>,
) -> Result<KeyRecord, StoreError> {
    let fingerprint = row.get(0)?;
    let outcome = match row.get::<_, Option<u64>>(2)? {
        _ if !wanted.contains(&fingerprint) => KeyOutcome::Unread,
        Some(seq) => event_outcome(transaction, seq)?,
        None => kept_outcome(transaction, &row.get::<_, String>(3)?)?,
    };
    Ok(KeyRecord { fingerprint, used_at: row.get(1)?, outcome })
}

/// The outcome of a command that brought one event.
fn event_outcome(transaction: &Transaction<'_>, seq: u64) -> Result<KeyOutcome, StoreError> {
    let mut body = transaction.prepare_cached("select body from events where seq = ?1")?;
    let body: Option<Vec<u8>> = body.query_row([seq], |row| row.get(0)).optional()?;
    let event = keys::event(seq, body.as_deref())?;
    let mut transfer = transaction.prepare_cached(TRANSFER)?;
    let row = transfer.query_row([event.transfer_id], rows::transfer).optional()?;
    keys::transfer_after(&event, row.as_ref())
}

fn kept_outcome(transaction: &Transaction<'_>, text: &str) -> Result<KeyOutcome, StoreError> {
    let batch = match keys::read(text)? {
        Kept::Rejected { rejection, request_id } => return Ok(KeyOutcome::Rejected(rejection, request_id)),
        Kept::Batch { batch } => batch,
    };
    let mut bodies =
        transaction.prepare_cached("select body from events where seq >= ?1 and seq < ?2 order by seq")?;
    let seqs = batch.seqs();
    let found = bodies.query_map((seqs.start, seqs.end), |row| row.get::<_, Vec<u8>>(0))?;
    batch.outcome(&found.collect::<Result<Vec<_>, _>>()?)
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
