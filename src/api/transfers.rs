//! `/api/v1/transfers`

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::error::mark_replayed;
use super::{Answer, Api, AppError, AuthUser, idempotency};
use crate::models::posting::Outcome;
use crate::models::transfer::{Description, Reference};
use crate::models::{AccountId, Amount, Currency, Money, Terms, Timestamp, Transfer, TransferId};
use crate::web::call::Call;
use crate::web::invalid::Flaws;
use crate::web::json::{JsonObject, RawJson, Text};
use crate::web::reply::Reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order<'a> {
    debit_account: AccountId,
    credit_account: AccountId,
    amount: Amount,
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(default)]
    metadata: Option<JsonObject>,
    #[serde(borrow, default)]
    reference: Option<Text<'a>>,
    #[serde(default)]
    pending: Option<bool>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
}

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
    let key = idempotency::key(call.headers)?;
    let terms = checked(call.body.json::<Order<'_>>()?)?;
    let outcome = api.services.transfer(user.actor(), key, terms, call.request_id).await?;
    match outcome {
        Outcome::Transferred { transfer, replayed } => {
            let location = format!("/api/v1/transfers/{}", transfer.id);
            let reply = Reply::json(StatusCode::CREATED, &TransferView::from(&*transfer))?;
            Ok(mark_replayed(reply.location(&location).no_store(), replayed))
        }
        Outcome::Rejected { rejection, request_id, replayed } => {
            Err(AppError::Rejected { rejection, request_id, replayed })
        }
        Outcome::Forbidden => Err(AppError::Forbidden("The debit account belongs to another user.")),
        Outcome::KeyReused => Err(AppError::IdempotencyKeyReused),
        Outcome::Registered(_) | Outcome::UsernameTaken | Outcome::Opened(_) | Outcome::OwnerNotFound => {
            Err(AppError::Internal("a transfer was answered with another command's outcome".into()))
        }
    }
}

/// GET `/api/v1/transfers/{id}`
pub(super) async fn read(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let id = call.params.parse("id").map_err(|_| AppError::NotFound)?;
    let transfer = api.services.transfer_by_id(user.actor(), id).await?;
    Ok(Reply::json(StatusCode::OK, &TransferView::from(&transfer))?.no_store())
}

/// Every flaw of an order at once, then the currency, which has a code of its own.
fn checked(order: Order<'_>) -> Result<Terms, AppError> {
    let mut flaws = Flaws::default();
    let description = flaws.optional("description", order.description.as_deref().map(str::parse));
    let reference = flaws.optional("reference", order.reference.as_deref().map(str::parse));
    let pending = order.pending == Some(true);
    if order.timeout_seconds.is_some() && !pending {
        flaws.note("timeout_seconds", "must not be set unless pending is true");
    }
    flaws.none()?;
    if pending {
        return Err(AppError::NotImplemented("Pending transfers are not built yet."));
    }
    Ok(Terms {
        debit_account: order.debit_account,
        credit_account: order.credit_account,
        amount: order.amount,
        currency: order.currency.parse().map_err(|_| AppError::CurrencyUnknown)?,
        description,
        // Sorted, so that the order of members does not tell two uses of a key apart.
        metadata: order.metadata.map(|object| object.to_sorted_string().into()),
        reference,
    })
}
