//! Migrations, each once, however many replicas start together.

use deadpool_postgres::ClientWrapper;

use super::convert::unsigned;
use super::rows::get;
use crate::models::Timestamp;
use crate::store::StoreError;
use crate::store::migrations::{self, Applied, POSTGRES, Status};

/// The lock under which migrations run: `ledger` in ASCII. Locks of other programs are told apart by their numbers.
const LOCK: i64 = 0x6c65_6467_6572;

/// Opens the transaction of all migrations. A statement may take as long as a large ledger needs.
const BEGIN: &str = "begin isolation level read committed; set local statement_timeout = 0";

const APPLIED: &str = "select version, digest, applied_at from schema_migrations order by version";

/// Applies what is missing, all in one transaction.
pub(super) async fn migrate(client: &ClientWrapper) -> Result<(), StoreError> {
    if pending(client).await?.is_empty() {
        return Ok(());
    }
    client.batch_execute(BEGIN).await?;
    client.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    client
        .batch_execute(
            "create table if not exists schema_migrations (
                version integer primary key, name text not null, digest text not null,
                applied_at timestamptz not null)",
        )
        .await?;
    // Another replica may have been first.
    for Status { migration, .. } in pending(client).await? {
        client.batch_execute(migration.sql).await?;
        let version = i32::try_from(migration.version).unwrap_or(i32::MAX);
        client
            .execute(
                "insert into schema_migrations (version, name, digest, applied_at)
                 values ($1, $2, $3, clock_timestamp())",
                &[&version, &migration.name, &migration.digest()],
            )
            .await?;
    }
    Ok(client.batch_execute("commit").await?)
}

async fn pending(client: &ClientWrapper) -> Result<Vec<Status>, StoreError> {
    let mut status = status(client).await?;
    status.retain(|line| line.applied_at.is_none());
    Ok(status)
}

/// Which migrations have run.
pub(super) async fn status(client: &ClientWrapper) -> Result<Vec<Status>, StoreError> {
    Ok(migrations::status(POSTGRES, &applied(client).await?)?)
}

async fn applied(client: &ClientWrapper) -> Result<Vec<Applied>, StoreError> {
    let known = client.query_one("select to_regclass('schema_migrations') is not null", &[]).await?;
    if !get::<bool>(&known, 0)? {
        return Ok(Vec::new());
    }
    let applied = |row: &tokio_postgres::Row| {
        Ok(Applied {
            version: u32::try_from(unsigned(i64::from(get::<i32>(row, 0)?))).unwrap_or(u32::MAX),
            digest: get(row, 1)?,
            at: get::<Timestamp>(row, 2)?,
        })
    };
    client.query(APPLIED, &[]).await?.iter().map(applied).collect()
}

/// Lets keys in that come first or with one that is in; see [`super::Database::accept_signing_keys`].
pub(super) async fn accept_signing_keys(
    client: &ClientWrapper,
    fingerprints: &[[u8; 32]],
) -> Result<bool, StoreError> {
    let wanted: Vec<&[u8]> = fingerprints.iter().map(<[u8; 32]>::as_slice).collect();
    if are_accepted(client, &wanted).await? {
        return Ok(true);
    }
    client.batch_execute("begin isolation level read committed").await?;
    // Two replicas that start at once on a new database must not both be first.
    client.execute("select pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    client
        .execute(
            "insert into signing_keys (fingerprint, accepted_at)
             select wanted, clock_timestamp() from unnest($1::bytea[]) as wanted
             where not exists (select from signing_keys)
                or exists (select from signing_keys where fingerprint = any($1))
             on conflict do nothing",
            &[&wanted],
        )
        .await?;
    let accepted = are_accepted(client, &wanted).await?;
    client.batch_execute("commit").await?;
    Ok(accepted)
}

async fn are_accepted(client: &ClientWrapper, fingerprints: &[&[u8]]) -> Result<bool, StoreError> {
    let sql = "select count(distinct fingerprint) from signing_keys where fingerprint = any($1)";
    let known: i64 = get(&client.query_one(sql, &[&fingerprints]).await?, 0)?;
    Ok(usize::try_from(known).is_ok_and(|known| known == fingerprints.len()))
}
