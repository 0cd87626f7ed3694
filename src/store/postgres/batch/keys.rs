//! What became of the keys that a batch uses: each record's outcome, with the rows that it may need beside its own.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::ClientWrapper;
use tokio_postgres::Row;

use super::BatchError;
use super::load::KEY;
use super::transfers::TRANSFERS_BY_ID;
use crate::models::posting::{KeyOutcome, KeyRecord};
use crate::models::{Fingerprint, IdempotencyKey, Transfer, TransferId, UserId};
use crate::store::keys::{self, Kept, KeptBatch};
use crate::store::postgres::convert::{signed, unsigned};
use crate::store::postgres::rows;

const BODIES: &str = "select body from events where seq >= $1 and seq < $2 order by seq";

/// A key's record.
pub(super) type Record = (UserId, IdempotencyKey, KeyRecord);

/// Reads rows whose columns, from [`KEY`] on, are those of a key and the body of the event that it names. Asks again, once for all, for transfers that were posted or voided, and once for each
/// batch: repeats of those are rare.
pub(super) async fn records(
    client: &ClientWrapper,
    rows: &[&Row],
    wanted: &HashSet<Fingerprint>,
) -> Result<Vec<Record>, BatchError> {
    let mut records = Vec::with_capacity(rows.len());
    let mut ended = Vec::new();
    for &row in rows {
        let fingerprint = rows::get(row, KEY + 2)?;
        let outcome = match rows::get::<Option<i64>>(row, KEY + 4)? {
            _ if !wanted.contains(&fingerprint) => KeyOutcome::Unread,
            Some(seq) => {
                let event = keys::event(unsigned(seq), rows::get(row, KEY + 6)?)?;
                let Ok(outcome) = keys::transfer_after(&event, None) else {
                    ended.push((row, event));
                    continue;
                };
                outcome
            }
            None => match keys::read(rows::get(row, KEY + 5)?)? {
                Kept::Rejected { rejection, request_id } => KeyOutcome::Rejected(rejection, request_id),
                Kept::Batch { batch } => batch_outcome(client, batch).await?,
            },
        };
        records.push(record(row, outcome)?);
    }
    if !ended.is_empty() {
        let transfers = transfers(client, ended.iter().map(|(_, event)| event.transfer_id).collect()).await?;
        for (row, event) in &ended {
            let outcome = keys::transfer_after(event, transfers.get(&event.transfer_id))?;
            records.push(record(row, outcome)?);
        }
    }
    Ok(records)
}

fn record(row: &Row, outcome: KeyOutcome) -> Result<Record, BatchError> {
    let record =
        KeyRecord { fingerprint: rows::get(row, KEY + 2)?, used_at: rows::get(row, KEY + 3)?, outcome };
    Ok((rows::get(row, KEY)?, rows::get(row, KEY + 1)?, record))
}

async fn batch_outcome(client: &ClientWrapper, batch: KeptBatch) -> Result<KeyOutcome, BatchError> {
    let statement = client.prepare_cached(BODIES).await?;
    let seqs = batch.seqs();
    let found = client.query(&statement, &[&signed(seqs.start), &signed(seqs.end)]).await?;
    let bodies = found.iter().map(|row| rows::get::<&[u8]>(row, 0)).collect::<Result<Vec<_>, _>>()?;
    Ok(batch.outcome(&bodies)?)
}

async fn transfers(
    client: &ClientWrapper,
    ids: Vec<TransferId>,
) -> Result<HashMap<TransferId, Transfer>, BatchError> {
    let statement = client.prepare_cached(TRANSFERS_BY_ID).await?;
    let found = client.query(&statement, &[&ids]).await?;
    let transfers = found.iter().map(|row| rows::transfer(row).map(|transfer| (transfer.id, transfer)));
    Ok(transfers.collect::<Result<_, _>>()?)
}
