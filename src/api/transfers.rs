//! `/api/v1/transfers`

pub(super) mod batch;
pub(super) mod holds;
pub(super) mod order;
pub(super) mod search;

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

pub(super) use self::batch::{create as create_batch, refused as batch_refused};
pub(super) use self::holds::{post, reverse, void};
use self::order::OrderBody;
use super::error::mark_replayed;
use super::{Answer, Api, AppError, AuthUser, idempotency};
use crate::models::posting::Outcome;
use crate::models::transfer::{Description, Reference};
use crate::models::{AccountId, Amount, Currency, Money, Timestamp, Transfer, TransferId};
use crate::services::transfers::Asked;
use crate::web::call::Call;
use crate::web::invalid::Pointer;
use crate::web::json::RawJson;
use crate::web::reply::Reply;

/// A transfer as replies show one.
#[derive(Serialize)]
pub(super) struct TransferView<'a> {
    id: TransferId,
    seq: u64,
    status: &'static str,
    debit_account: AccountId,
    credit_account: AccountId,
    amount: Amount,
    posted_amount: Option<Money>,
    currency: Currency,
    description: Option<&'a Description>,
    metadata: Option<RawJson<'a>>,
    reference: Option<&'a Reference>,
    expires_at: Option<Timestamp>,
    reverses: Option<TransferId>,
    reversed_by: Option<TransferId>,
    created_at: Timestamp,
}

impl<'a> From<&'a Transfer> for TransferView<'a> {
    fn from(transfer: &'a Transfer) -> Self {
        let terms = &transfer.terms;
        Self {
            id: transfer.id,
            seq: transfer.seq,
            status: transfer.status.as_str(),
            debit_account: terms.debit_account,
            credit_account: terms.credit_account,
            amount: terms.amount,
            posted_amount: transfer.posted_amount.map(Amount::money),
            currency: terms.currency,
            description: terms.description.as_ref(),
            metadata: terms.metadata.as_deref().map(RawJson),
            reference: terms.reference.as_ref(),
            expires_at: transfer.expires_at,
            reverses: transfer.reverses,
            reversed_by: transfer.reversed_by,
            created_at: transfer.created_at,
        }
    }
}

/// POST `/api/v1/transfers`
pub(super) async fn create(api: &Api, user: AuthUser, mut call: Call<'_>) -> Answer {
    let asked = asked(&user, &call)?;
    let order = order::checked(call.body.json::<OrderBody<'_>>()?, &api.currencies, Pointer::root)?;
    let outcome = api.services.transfer(asked, order).await?;
    let (transfer, replayed) = decided(outcome, "The debit account belongs to another user.")?;
    created(&transfer, replayed)
}

/// Who asks, under which key.
fn asked<'a>(user: &AuthUser, call: &Call<'a>) -> Result<Asked<'a>, AppError> {
    let key = idempotency::key(call.headers)?;
    Ok(Asked { actor: user.actor(), key, request_id: call.request_id })
}

/// The transfer that a command was answered with, and whether that is a replay.
fn decided(outcome: Outcome, forbidden: &'static str) -> Result<(Arc<Transfer>, bool), AppError> {
    match outcome {
        Outcome::Transferred { transfer, replayed } => Ok((transfer, replayed)),
        Outcome::Rejected { rejection, request_id, replayed } => {
            Err(AppError::Rejected { rejection, request_id, replayed })
        }
        Outcome::NotFound => Err(AppError::NotFound),
        Outcome::Forbidden => Err(AppError::Forbidden(forbidden)),
        Outcome::KeyReused => Err(AppError::IdempotencyKeyReused),
        Outcome::KeyDamaged => Err(damaged_key()),
        Outcome::Registered(_)
        | Outcome::UsernameTaken
        | Outcome::Opened(_)
        | Outcome::OwnerNotFound
        | Outcome::Batch { .. }
        | Outcome::Expired(_) => Err(unexpected()),
    }
}

fn damaged_key() -> AppError {
    AppError::Internal(
        "what is kept under the idempotency key cannot be read, see `ringledger verify`".into(),
    )
}

fn unexpected() -> AppError {
    AppError::Internal("a command was answered with another command's outcome".into())
}

/// The reply that shows a new transfer.
fn created(transfer: &Transfer, replayed: bool) -> Answer {
    let location = format!("/api/v1/transfers/{}", transfer.id);
    let reply = Reply::json(StatusCode::CREATED, &TransferView::from(transfer))?;
    Ok(mark_replayed(reply.location(&location).no_store(), replayed))
}

/// GET `/api/v1/transfers/{id}`
pub(super) async fn read(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let id = call.params.parse("id").map_err(|_| AppError::NotFound)?;
    let transfer = api.services.transfer_by_id(user.actor(), id).await?;
    Ok(Reply::json(StatusCode::OK, &TransferView::from(&transfer))?.no_store())
}
