//! `/api/v1/transfers/batch`

use http::StatusCode;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use super::order::{self, OrderBody};
use super::{TransferView, asked, unexpected};
use crate::api::error::{mark_replayed, refusal_problem};
use crate::api::{Answer, Api, AppError, AuthUser};
use crate::models::Currencies;
use crate::models::posting::{BatchOutcome, Outcome};
use crate::services::transfers::Order;
use crate::web::call::Call;
use crate::web::invalid::{Invalid, Pointer};
use crate::web::problem::{Document, Problem};
use crate::web::reply::Reply;

/// Transfers of a batch at most: what one commit may have to wait for.
const MAX_ITEMS: usize = 8192;
const TRANSFERS: &str = "transfers";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchBody<'a> {
    #[serde(default)]
    atomic: Option<bool>,
    #[serde(borrow)]
    transfers: Vec<OrderBody<'a>>,
}

/// POST `/api/v1/transfers/batch`
pub(in crate::api) async fn create(api: &Api, user: AuthUser, mut call: Call<'_>) -> Answer {
    let asked = asked(&user, &call)?;
    let body: BatchBody<'_> = call.body.json()?;
    let atomic = body.atomic.unwrap_or(false);
    let orders = checked(body.transfers, &api.currencies)?;
    // Several MiB with the decoder's buffers: not kept while the batch waits for its commit.
    drop(call);
    match api.services.batch(asked, atomic, orders).await? {
        Outcome::Batch { batch, replayed } if batch.aborted => {
            Err(AppError::BatchRefused { batch, replayed })
        }
        Outcome::Batch { batch, replayed } => {
            let reply = Reply::json(StatusCode::OK, &Results { results: Items(&batch) })?;
            Ok(mark_replayed(reply.no_store(), replayed))
        }
        Outcome::KeyReused => Err(AppError::IdempotencyKeyReused),
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
pub(in crate::api) struct Items<'a>(pub(in crate::api) &'a BatchOutcome);

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
