//! `/api/v1/transfers/batch`

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::order::{self, OrderBody};
use super::{TransferView, asked, damaged_key, unexpected};
use crate::api::error::{mark_replayed, refusal_problem};
use crate::api::{Answer, Api, AppError, AuthUser};
use crate::models::Currencies;
use crate::models::posting::{BatchOutcome, Outcome};
use crate::services::transfers::Order;
use crate::web::call::{Body, Call};
use crate::web::invalid::{Invalid, Pointer};
use crate::web::json::{self, EncodeError};
use crate::web::problem::{Document, Problem};
use crate::web::reply::Reply;

/// Transfers of a batch at most: what one commit may have to wait for.
const MAX_ITEMS: usize = 8192;
const TRANSFERS: &str = "transfers";

/// The longest body, in bytes, that is read on a ring, and with it the longest batch whose reply is written there:
/// some 1,800 transfers, which take the core for about 2 ms each way. Longer ones go to the CPU pool, whose threads give
/// way to the rings: beside batches of 8,000 on two connections, light requests had a p99 of 4.2 ms, against 28 ms with
/// all of it on the rings, at as many batches a second.
const RING_BODY_BYTES: usize = 256 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(default)]
    atomic: Option<bool>,
    #[serde(borrow)]
    transfers: Vec<OrderBody<'a>>,
}

/// POST `/api/v1/transfers/batch`
pub(crate) async fn create(api: &Api, user: AuthUser, mut call: Call<'_>) -> Answer {
    let asked = asked(&user, &call)?;
    let is_large = call.body.bytes().len() > RING_BODY_BYTES;
    let Parsed { atomic, orders } = if is_large {
        let (body, currencies) = (call.body.bytes().clone(), api.currencies.clone());
        api.services.compute(move || parsed(&mut Body::new(body.clone()), &currencies)).await??
    } else {
        parsed(&mut call.body, &api.currencies)?
    };
    // Several MiB with the decoder's buffers: not kept while the batch waits for its commit.
    drop(call);
    match api.services.batch(asked, atomic, orders).await? {
        Outcome::Batch { batch, replayed } => {
            let (status, media_type) = if batch.aborted {
                (StatusCode::UNPROCESSABLE_ENTITY, "application/problem+json")
            } else {
                (StatusCode::OK, "application/json")
            };
            let body = if is_large { written_elsewhere(api, batch).await? } else { written(&batch)? };
            let reply = Reply::bytes(status, HeaderValue::from_static(media_type), body);
            Ok(mark_replayed(reply.no_store(), replayed))
        }
        Outcome::KeyReused => Err(AppError::IdempotencyKeyReused),
        Outcome::KeyDamaged => Err(damaged_key()),
        Outcome::Registered(_)
        | Outcome::UsernameTaken
        | Outcome::Opened(_)
        | Outcome::OwnerNotFound
        | Outcome::Transferred { .. }
        | Outcome::Rejected { .. }
        | Outcome::NotFound
        | Outcome::Forbidden
        | Outcome::Expired(_) => Err(unexpected()),
    }
}

/// A batch whose members are what they must be.
pub(crate) struct Parsed {
    atomic: bool,
    orders: Vec<Order>,
}

pub(crate) fn parsed(body: &mut Body, currencies: &Currencies) -> Result<Parsed, AppError> {
    let body: BatchBody<'_> = body.json()?;
    Ok(Parsed { atomic: body.atomic.unwrap_or(false), orders: checked(body.transfers, currencies)? })
}

/// The results, in a problem if all were refused together.
fn written(batch: &BatchOutcome) -> Result<Bytes, EncodeError> {
    if batch.aborted {
        let problem = refused().with_extension("results", &Items(batch))?;
        return json::to_bytes(&problem.document(&batch.request_id));
    }
    json::to_bytes(&Results { results: Items(batch) })
}

/// The problem of a batch of which none was made, without its results.
pub(crate) fn refused() -> Problem {
    let detail = "A transfer was refused, so none was made; see results.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "batch_refused", "Batch refused", detail)
}

/// On the CPU pool; without room there on the ring after all, since the batch is stored.
async fn written_elsewhere(api: &Api, batch: Arc<BatchOutcome>) -> Result<Bytes, EncodeError> {
    let shared = Arc::clone(&batch);
    match api.services.compute(move || written(&shared)).await {
        Ok(body) => body,
        Err(_) => written(&batch),
    }
}

fn checked(transfers: Vec<OrderBody<'_>>, currencies: &Currencies) -> Result<Vec<Order>, AppError> {
    if !(1..=MAX_ITEMS).contains(&transfers.len()) {
        return Err(Invalid::member(TRANSFERS, "must have 1 to 8192 items").into());
    }
    let items = transfers.into_iter().enumerate();
    items
        .map(|(n, item)| order::checked(item, currencies, || Pointer::root().member(TRANSFERS).index(n)))
        .collect()
}

#[derive(Serialize)]
struct Results<'a> {
    results: Items<'a>,
}

/// What became of each transfer, in order.
struct Items<'a>(&'a BatchOutcome);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(batch) = self;
        let mut items = serializer.serialize_seq(Some(batch.items.len()))?;
        for (index, item) in batch.items.iter().enumerate() {
            match item {
                Ok(transfer) => items.serialize_element(&Item {
                    index,
                    status: StatusCode::CREATED.as_u16(),
                    transfer: Some(TransferView::from(&**transfer)),
                    problem: None,
                })?,
                Err(refusal) => {
                    let problem: Problem = refusal_problem(refusal);
                    items.serialize_element(&Item {
                        index,
                        status: problem.status.as_u16(),
                        transfer: None,
                        problem: Some(problem.document(&batch.request_id)),
                    })?;
                }
            }
        }
        items.end()
    }
}

#[derive(Serialize)]
struct Item<'a> {
    index: usize,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer: Option<TransferView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Document<'a>>,
}
