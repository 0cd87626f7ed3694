//! A transfer without the order of the ledger: accounts are locked by row and the head is left alone, so that transfers
//! between different accounts commit side by side.
//!
//! What is lost is what the head's lock is for: `seq` comes from a sequence, has gaps, and may be visible out of order,
//! and there is no chain of hashes, so `verify` fails. It shows what a service reaches that promises none of that. Dead
//! keys are not replaced either. All else is as in a batch: the same rule decides, the same tables are written, the
//! statements of each of two round trips are sent one behind the other.

use deadpool_postgres::ClientWrapper;
use ringledger::models::event::ChainHash;
use ringledger::models::posting::{
    Books, Command, Entry, Journal, KeyOutcome, KeyRecord, LoggedEvent, Outcome, TransferRequest,
};
use ringledger::models::{Account, Event, Head, IdempotencyKey, Timestamp, Transfer, UserId};
use ringledger::services::now;
use ringledger::store::StoreError;
use ringledger::store::postgres::rows;
use serde_json::json;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row, Statement};

use crate::error::AppError;

/// Made beside ringledger's tables.
pub(super) const SEQUENCE: &str = "create sequence if not exists unordered_seq";

const BEGIN: &str = "begin isolation level read committed";
/// In ascending order, so that no two transfers wait for each other.
const ACCOUNTS: &str = "select id, owner, name, currency, balance, held, min_balance, version, created_at
    from accounts where id in ($1, $2) order by id for update";
/// Behind the accounts' locks, so that it sees what their last holder committed.
const KEY: &str = "select fingerprint, used_at, body, outcome
    from idempotency left join events using (seq) where user_id = $1 and key = $2";
const SEQ: &str = "select nextval('unordered_seq')";
const CHANGED: &str = "update accounts set balance = $2, version = $3 where id = $1";
const EVENT: &str = "insert into events (seq, body, hash) values ($1, $2, $3)";
const TRANSFER: &str =
    "insert into transfers (id, seq, status, debit_account, credit_account, amount, currency,
        description, metadata, reference, posted_amount, created_by, idempotency_key, created_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::json, $10, $11, $12, $13, $14)";
const ENTRY: &str = "insert into entries (account_id, seq, transfer_id, amount, balance, created_at)
    values ($1, $2, $3, $4, $5, $6)";
const REMEMBERED: &str = "insert into idempotency (user_id, key, fingerprint, seq, outcome, used_at)
    values ($1, $2, $3, $4, $5, $6)";

/// Why there is no outcome.
pub(super) enum Failed {
    /// Somebody else was faster; the next try may succeed.
    Race,
    /// For good.
    Ended(AppError),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        const RACES: [SqlState; 3] = [
            SqlState::UNIQUE_VIOLATION,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ];
        match error.code() {
            Some(code) if RACES.contains(code) => Self::Race,
            Some(_) | None => Self::Ended(AppError::StoreUnavailable(error.to_string())),
        }
    }
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Ended(error.into())
    }
}

impl From<AppError> for Failed {
    fn from(error: AppError) -> Self {
        Self::Ended(error)
    }
}

/// Decides and stores a transfer. After an error the transaction is still open.
pub(super) async fn post(
    client: &ClientWrapper,
    command: &Command,
    request: &TransferRequest,
) -> Result<Outcome, Failed> {
    let mut books = load(client, request).await?;
    let outcome = books.decide(command);
    let journal = books.into_journal();
    if journal.is_empty() {
        client.batch_execute("rollback").await?;
    } else {
        save(client, &journal).await?;
    }
    Ok(outcome)
}

async fn load(client: &ClientWrapper, request: &TransferRequest) -> Result<Books, Failed> {
    let (debit, credit) = (request.terms.debit_account, request.terms.credit_account);
    let (accounts, key, seq) = tokio::try_join!(
        biased;
        client.prepare_cached(ACCOUNTS),
        client.prepare_cached(KEY),
        client.prepare_cached(SEQ),
    )?;
    let wanted_accounts: [&(dyn ToSql + Sync); 2] = [&debit, &credit];
    let wanted_key: [&(dyn ToSql + Sync); 2] = [&request.actor.id, &request.key];
    let (begun, accounts, key, seq) = tokio::join!(
        biased;
        client.batch_execute(BEGIN),
        client.query(&accounts, &wanted_accounts),
        client.query_opt(&key, &wanted_key),
        client.query_one(&seq, &[]),
    );
    begun?;
    let before = rows::get::<i64>(&seq?, 0)?.unsigned_abs() - 1;
    let head = Head { seq: before, hash: ChainHash::from_bytes([0; 32]), at: Timestamp::EPOCH };
    let mut books = Books::new(head, None, now());
    for row in &accounts? {
        books.load_account(rows::account(row)?);
    }
    if let Some(row) = key? {
        books.load_key(request.actor.id, request.key.clone(), record(&row)?);
    }
    Ok(books)
}

fn record(row: &Row) -> Result<KeyRecord, AppError> {
    let strange = || strange("a key has an outcome");
    let outcome = match (rows::get::<Option<&[u8]>>(row, 2)?, rows::get::<Option<&str>>(row, 3)?) {
        (Some(body), _) => {
            let made = Event::decode(body).ok().and_then(|event| event.created_transfer());
            let transfer = made.ok_or_else(strange)?;
            KeyOutcome::Transfer { seq: transfer.seq, transfer: transfer.into() }
        }
        (None, Some(rejection)) => {
            let (rejection, request_id) = serde_json::from_str(rejection).map_err(|_| strange())?;
            KeyOutcome::Rejected(rejection, request_id)
        }
        (None, None) => return Err(strange()),
    };
    Ok(KeyRecord { fingerprint: rows::get(row, 0)?, used_at: rows::get(row, 1)?, outcome })
}

/// Writes the transfer with all that belongs to it, or the refusal of one, and commits.
async fn save(client: &ClientWrapper, journal: &Journal) -> Result<(), Failed> {
    let ([key], transfers) = (journal.keys.as_slice(), journal.transfers.as_slice()) else {
        return Err(strange("a journal of one transfer has one key").into());
    };
    let statement = client.prepare_cached(REMEMBERED).await?;
    let remembers = remember(client, &statement, key);
    let [transfer] = transfers else {
        let (remembered, committed) = tokio::join!(biased; remembers, client.batch_execute("commit"));
        remembered?;
        return Ok(committed?);
    };
    let statements = Statements::prepare(client).await?;
    let ([one, other], [from, to], [event]) =
        (journal.changed.as_slice(), journal.entries.as_slice(), journal.events.as_slice())
    else {
        return Err(strange("a transfer changes two accounts").into());
    };
    let (one, other, event, transfer, from, to, remembered, committed) = tokio::join!(
        biased;
        statements.change(client, one),
        statements.change(client, other),
        statements.log(client, event),
        statements.transfer(client, transfer),
        statements.enter(client, from),
        statements.enter(client, to),
        remembers,
        client.batch_execute("commit"),
    );
    // Any error has turned the commit into a rollback.
    for written in [one, other, event, transfer, from, to, remembered] {
        written?;
    }
    Ok(committed?)
}

/// What a transfer is written with.
struct Statements {
    changed: Statement,
    event: Statement,
    transfer: Statement,
    entry: Statement,
}

impl Statements {
    /// Sends nothing after a connection's first transfer.
    async fn prepare(client: &ClientWrapper) -> Result<Self, Error> {
        let (changed, event, transfer, entry) = tokio::try_join!(
            biased;
            client.prepare_cached(CHANGED),
            client.prepare_cached(EVENT),
            client.prepare_cached(TRANSFER),
            client.prepare_cached(ENTRY),
        )?;
        Ok(Self { changed, event, transfer, entry })
    }

    async fn change(&self, client: &ClientWrapper, account: &Account) -> Result<u64, Error> {
        let version = account.version.cast_signed();
        client.execute(&self.changed, &[&account.id, &account.balance, &version]).await
    }

    async fn log(&self, client: &ClientWrapper, event: &LoggedEvent) -> Result<u64, Error> {
        client.execute(&self.event, &[&event.seq.cast_signed(), &event.body, &event.hash]).await
    }

    async fn transfer(&self, client: &ClientWrapper, transfer: &Transfer) -> Result<u64, Error> {
        let terms = &transfer.terms;
        let parameters: [&(dyn ToSql + Sync); 14] = [
            &transfer.id,
            &transfer.seq.cast_signed(),
            &transfer.status,
            &terms.debit_account,
            &terms.credit_account,
            &terms.amount,
            &terms.currency,
            &terms.description,
            &terms.metadata.as_deref(),
            &terms.reference,
            &transfer.posted_amount,
            &transfer.created_by,
            &transfer.idempotency_key,
            &transfer.created_at,
        ];
        client.execute(&self.transfer, &parameters).await
    }

    async fn enter(&self, client: &ClientWrapper, entry: &Entry) -> Result<u64, Error> {
        let Entry { account_id, seq, transfer_id, amount, balance, created_at } = entry;
        let parameters: [&(dyn ToSql + Sync); 6] =
            [account_id, &seq.cast_signed(), transfer_id, amount, balance, created_at];
        client.execute(&self.entry, &parameters).await
    }
}

async fn remember(
    client: &ClientWrapper,
    statement: &Statement,
    ((user, key), record): &((UserId, IdempotencyKey), KeyRecord),
) -> Result<u64, Error> {
    let (seq, rejection) = match &record.outcome {
        KeyOutcome::Transfer { seq, .. } => (Some(seq.cast_signed()), None),
        KeyOutcome::Rejected(rejection, request_id) => {
            (None, Some(json!([rejection, request_id]).to_string()))
        }
        // Nobody asks this subject for a batch.
        KeyOutcome::Batch(_) | KeyOutcome::Unread => (None, None),
    };
    client.execute(statement, &[user, key, &record.fingerprint, &seq, &rejection, &record.used_at]).await
}

fn strange(what: &str) -> AppError {
    AppError::Internal(what.into())
}
