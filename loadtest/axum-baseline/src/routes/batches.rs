//! `/api/v1/transfers/batch`

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{AppendHeaders, IntoResponse, Response};
use ringledger::models::posting::{BatchItem, BatchOutcome, BatchRequest, Command, Outcome, Refusal};
use ringledger::models::{Fingerprint, Terms, Transfer, TransferId};
use ringledger::telemetry::ids::uuid_v7;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::NO_STORE;
use super::transfers::{Order, TransferView, checked};
use crate::error::{AppError, IDEMPOTENCY_REPLAYED, refusal};
use crate::extract::{AuthUser, Id, Json, Key};
use crate::problem::Flaw;
use crate::state::App;

/// Transfers of a batch at most.
const MAX_ITEMS: usize = 8_192;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    atomic: Option<bool>,
    transfers: Vec<Order>,
}

#[derive(Serialize)]
struct Results<'a> {
    results: Vec<Item<'a>>,
}

/// As the ledger tells it.
type Made = Result<Arc<Transfer>, Refusal>;

/// What became of a transfer.
#[derive(Serialize)]
struct Item<'a> {
    index: usize,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<TransferView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Box<RawValue>>,
}

/// POST `/api/v1/transfers/batch`
pub(super) async fn create(
    State(app): State<App>,
    AuthUser(actor): AuthUser,
    Key(key): Key,
    Id(request_id): Id,
    Json(Batch { atomic, transfers }): Json<Batch>,
) -> Result<Response, AppError> {
    let atomic = atomic.unwrap_or(false);
    let items = all_checked(transfers)?;
    let fingerprint = Fingerprint::of_batch(atomic, &items);
    let command = Command::Batch(BatchRequest { actor, key, fingerprint, atomic, items, request_id });
    match app.posting.submit(command).await? {
        Outcome::Batch { batch, replayed } if batch.aborted => {
            let results = to_raw_value(&items_of(&batch)?);
            let results = results.map_err(|error| AppError::Internal(format!("results: {error}")))?;
            Err(AppError::BatchRefused { results, request_id: batch.request_id.clone(), replayed })
        }
        Outcome::Batch { batch, replayed } => {
            let replayed = AppendHeaders(replayed.then_some((IDEMPOTENCY_REPLAYED, "true")));
            let results = Json(Results { results: items_of(&batch)? });
            Ok((StatusCode::OK, [NO_STORE], replayed, results).into_response())
        }
        Outcome::KeyReused => Err(AppError::IdempotencyKeyReused),
        other => Err(AppError::Internal(format!("a batch was answered with {other:?}"))),
    }
}

fn all_checked(transfers: Vec<Order>) -> Result<Vec<BatchItem>, AppError> {
    if !(1..=MAX_ITEMS).contains(&transfers.len()) {
        return Err(AppError::Invalid(vec![Flaw::member("transfers", "must have 1 to 8192 items")]));
    }
    let item = |terms: Terms| BatchItem { id: TransferId::from_uuid(uuid_v7()), terms, hold: None };
    let checked = |(index, order)| {
        checked(order).map(item).map_err(|error: AppError| error.within(&format!("/transfers/{index}")))
    };
    transfers.into_iter().enumerate().map(checked).collect()
}

/// What became of each transfer, in order.
fn items_of(batch: &BatchOutcome) -> Result<Vec<Item<'_>>, AppError> {
    batch.items.iter().enumerate().map(|(index, made)| item(index, made, &batch.request_id)).collect()
}

fn item<'a>(index: usize, made: &'a Made, request_id: &str) -> Result<Item<'a>, AppError> {
    match made {
        Ok(transfer) => {
            let transfer = Some(TransferView::of(transfer)?);
            Ok(Item { index, status: StatusCode::CREATED.as_u16(), transfer, problem: None })
        }
        Err(refused) => {
            let problem = refusal(refused);
            let status = problem.status.as_u16();
            Ok(Item { index, status, transfer: None, problem: Some(problem.to_raw(request_id)?) })
        }
    }
}
