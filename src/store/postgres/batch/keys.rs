//! What became of the keys that a batch uses: each record's outcome, with the rows that it may need beside its own.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::BatchError;
use super::load::KEY;
use super::transfers::TRANSFERS_BY_ID;
use crate::models::posting::{KeyOutcome, KeyRecord};
use crate::models::{Event, Fingerprint, IdempotencyKey, Transfer, TransferId, UserId};
use crate::store::StoreError;
use crate::store::keys::{self, Kept, KeptBatch};
use crate::store::postgres::convert::{signed, unsigned};
use crate::store::postgres::prepared::prepared;
use crate::store::postgres::rows;

const BODIES: &str = "select body from events where seq >= $1 and seq < $2 order by seq";

/// Whose key.
type Name = (UserId, IdempotencyKey);

/// The records of a batch's keys.
#[derive(Default)]
pub(super) struct Records {
    pub(super) read: Vec<(Name, KeyRecord)>,
    /// Those that cannot be read: only the commands that name them fail.
    pub(super) damaged: Vec<Name>,
}

impl Records {
    fn add(&mut self, row: &Row, outcome: Result<KeyOutcome, BatchError>) -> Result<(), BatchError> {
        let name = (rows::get(row, KEY)?, rows::get(row, KEY + 1)?);
        match outcome.and_then(|outcome| record(row, outcome)) {
            Ok(record) => self.read.push((name, record)),
            Err(BatchError::Store(error @ StoreError::Corrupt(_))) => {
                keys::tell_damaged(name.0, &name.1, &error);
                self.damaged.push(name);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// What a row says of an outcome.
enum Told {
    All(KeyOutcome),
    /// The event that ended a transfer, whose row is needed, too.
    End(Event),
}

/// Reads rows whose columns, from [`KEY`] on, are those of a key and the body of the event that it names. Asks again,
/// once for all, for transfers that were posted or voided, and once for each batch: repeats of those are rare.
pub(super) async fn records(
    client: &ClientWrapper,
    rows: &[&Row],
    wanted: &HashSet<Fingerprint>,
) -> Result<Records, BatchError> {
    let mut records = Records::default();
    let mut ended = Vec::new();
    for &row in rows {
        match told(client, row, wanted).await {
            Ok(Told::All(outcome)) => records.add(row, Ok(outcome))?,
            Ok(Told::End(event)) => ended.push((row, event)),
            Err(error) => records.add(row, Err(error))?,
        }
    }
    if !ended.is_empty() {
        let transfers = transfers(client, ended.iter().map(|(_, event)| event.transfer_id).collect()).await?;
        for (row, event) in &ended {
            let outcome = keys::transfer_after(event, transfers.get(&event.transfer_id));
            records.add(row, outcome.map_err(BatchError::from))?;
        }
    }
    Ok(records)
}

async fn told(client: &ClientWrapper, row: &Row, wanted: &HashSet<Fingerprint>) -> Result<Told, BatchError> {
    let fingerprint = rows::get(row, KEY + 2)?;
    Ok(match rows::get::<Option<i64>>(row, KEY + 4)? {
        _ if !wanted.contains(&fingerprint) => Told::All(KeyOutcome::Unread),
        Some(seq) => {
            let event = keys::event(unsigned(seq), rows::get(row, KEY + 6)?)?;
            keys::transfer_after(&event, None).map_or(Told::End(event), Told::All)
        }
        None => Told::All(match keys::read(rows::get(row, KEY + 5)?)? {
            Kept::Rejected { rejection, request_id } => KeyOutcome::Rejected(rejection, request_id),
            Kept::Batch { batch } => batch_outcome(client, batch).await?,
        }),
    })
}

fn record(row: &Row, outcome: KeyOutcome) -> Result<KeyRecord, BatchError> {
    Ok(KeyRecord { fingerprint: rows::get(row, KEY + 2)?, used_at: rows::get(row, KEY + 3)?, outcome })
}

async fn batch_outcome(client: &ClientWrapper, batch: KeptBatch) -> Result<KeyOutcome, BatchError> {
    let statement = prepared(client, BODIES).await?;
    let seqs = batch.seqs();
    let found = client.query(&statement, &[&signed(seqs.start), &signed(seqs.end)]).await?;
    let bodies = found.iter().map(|row| rows::get::<&[u8]>(row, 0)).collect::<Result<Vec<_>, _>>()?;
    Ok(batch.outcome(&bodies)?)
}

async fn transfers(
    client: &ClientWrapper,
    ids: Vec<TransferId>,
) -> Result<HashMap<TransferId, Transfer>, BatchError> {
    let statement = prepared(client, TRANSFERS_BY_ID).await?;
    let found = client.query(&statement, &[&ids]).await?;
    // One that cannot be read is missed by its own key's record alone.
    let read = found.iter().filter_map(|row| rows::transfer(row).ok());
    Ok(read.map(|transfer| (transfer.id, transfer)).collect())
}
