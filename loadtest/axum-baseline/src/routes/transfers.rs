//! `/api/v1/transfers`

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{AppendHeaders, IntoResponse};
use ringledger::models::posting::{Command, Outcome, TransferRequest};
use ringledger::models::transfer::{Description, Reference};
use ringledger::models::{
    AccountId, Amount, Currencies, Currency, Fingerprint, Money, Terms, Timestamp, Transfer, TransferId,
};
use ringledger::telemetry::ids::uuid_v7;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::NO_STORE;
use crate::error::{AppError, IDEMPOTENCY_REPLAYED};
use crate::extract::{AuthUser, Id, Json, Key, PathId};
use crate::problem::Flaw;
use crate::state::App;

/// Bytes of `metadata` as compact JSON; bounds what a transfer keeps for ever.
const METADATA_BYTES: usize = 4_096;
/// Levels of objects and arrays in `metadata`, itself the first.
const METADATA_DEPTH: usize = 16;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    debit_account: AccountId,
    credit_account: AccountId,
    amount: Amount,
    currency: String,
    description: Option<String>,
    metadata: Option<Map<String, Value>>,
    reference: Option<String>,
    pending: Option<bool>,
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
    metadata: Option<&'a RawValue>,
    reference: Option<&'a Reference>,
    expires_at: Option<Timestamp>,
    reverses: Option<TransferId>,
    reversed_by: Option<TransferId>,
    created_at: Timestamp,
}

impl<'a> TransferView<'a> {
    pub(super) fn of(transfer: &'a Transfer) -> Result<Self, AppError> {
        let terms = &transfer.terms;
        let metadata = terms.metadata.as_deref().map(serde_json::from_str).transpose();
        Ok(Self {
            id: transfer.id,
            seq: transfer.seq,
            status: transfer.status.as_str(),
            debit_account: terms.debit_account,
            credit_account: terms.credit_account,
            amount: terms.amount,
            posted_amount: transfer.posted_amount.map(Amount::money),
            currency: terms.currency,
            description: terms.description.as_ref(),
            metadata: metadata.map_err(|error| AppError::Internal(format!("stored metadata: {error}")))?,
            reference: terms.reference.as_ref(),
            expires_at: transfer.expires_at,
            reverses: transfer.reverses,
            reversed_by: transfer.reversed_by,
            created_at: transfer.created_at,
        })
    }
}

/// POST `/api/v1/transfers`
pub(super) async fn create(
    State(app): State<App>,
    AuthUser(actor): AuthUser,
    Key(key): Key,
    Id(request_id): Id,
    Json(order): Json<Order>,
) -> Result<impl IntoResponse, AppError> {
    let terms = checked(order)?;
    let command = Command::Transfer(TransferRequest {
        actor,
        key,
        fingerprint: Fingerprint::of_transfer(&terms, None),
        id: TransferId::from_uuid(uuid_v7()),
        terms,
        hold: None,
        request_id,
    });
    match app.posting.submit(command).await? {
        Outcome::Transferred { transfer, replayed } => {
            let location = (LOCATION, format!("/api/v1/transfers/{}", transfer.id));
            let replayed = replayed.then_some((IDEMPOTENCY_REPLAYED, "true"));
            let reply = Json(TransferView::of(&transfer)?).into_response();
            Ok((StatusCode::CREATED, [NO_STORE], AppendHeaders([location]), AppendHeaders(replayed), reply))
        }
        Outcome::Rejected { rejection, request_id, replayed } => {
            Err(AppError::Rejected { rejection, request_id, replayed })
        }
        Outcome::Forbidden => Err(AppError::Forbidden("The debit account belongs to another user.")),
        Outcome::KeyReused => Err(AppError::IdempotencyKeyReused),
        other @ (Outcome::Registered(_)
        | Outcome::UsernameTaken
        | Outcome::Opened(_)
        | Outcome::OwnerNotFound
        | Outcome::Batch { .. }
        | Outcome::Expired(_)
        | Outcome::KeyDamaged
        | Outcome::NotFound) => Err(AppError::Internal(format!("a transfer was answered with {other:?}"))),
    }
}

/// GET `/api/v1/transfers/{id}`
pub(super) async fn read(
    State(app): State<App>,
    AuthUser(actor): AuthUser,
    PathId(id): PathId<TransferId>,
) -> Result<impl IntoResponse, AppError> {
    let found = app.reads.transfer(actor, id).await?;
    let (transfer, visible) = found.ok_or(AppError::NotFound)?;
    if !visible {
        return Err(AppError::Forbidden("The transfer is between accounts of other users."));
    }
    Ok(([NO_STORE], Json(TransferView::of(&transfer)?).into_response()))
}

/// Every flaw of an order at once, then the currency, which has a code of its own.
pub(super) fn checked(order: Order) -> Result<Terms, AppError> {
    let mut flaws = Vec::new();
    let description = parsed(&mut flaws, "description", order.description);
    let reference = parsed(&mut flaws, "reference", order.reference);
    let pending = order.pending == Some(true);
    if order.timeout_seconds.is_some() && !pending {
        flaws.push(Flaw::member("timeout_seconds", "must not be set unless pending is true"));
    }
    let metadata = order.metadata.map(Value::Object);
    if metadata.as_ref().is_some_and(|metadata| depth(metadata) > METADATA_DEPTH) {
        flaws.push(Flaw::member("metadata", "nests deeper than 16 levels"));
    }
    // The members of a map are sorted, so that their order does not tell two uses of a key apart.
    let metadata: Option<Box<str>> = metadata.map(|metadata| metadata.to_string().into());
    if metadata.as_ref().is_some_and(|text| text.len() > METADATA_BYTES) {
        flaws.push(Flaw::member("metadata", "is larger than 4096 bytes as compact JSON"));
    }
    if !flaws.is_empty() {
        return Err(AppError::Invalid(flaws));
    }
    if pending {
        return Err(AppError::NotImplemented("Pending transfers are not built yet."));
    }
    let currency = Currencies::default()
        .known(&order.currency)
        .map_err(|_| AppError::CurrencyUnknown("/currency".into()))?;
    let Order { debit_account, credit_account, amount, .. } = order;
    Ok(Terms { debit_account, credit_account, amount, currency, description, metadata, reference })
}

/// The value of an optional member; notes why it has none that is valid.
fn parsed<T>(flaws: &mut Vec<Flaw>, name: &str, text: Option<String>) -> Option<T>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    text?.parse().map_err(|error: T::Err| flaws.push(Flaw::member(name, error.to_string()))).ok()
}

/// Levels of objects and arrays; the decoder has bounded them to 128.
fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Object(members) => members.values().map(depth).max(),
        Value::Array(elements) => elements.iter().map(depth).max(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return 0,
    };
    1 + inner.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_object_itself_is_the_first_level() {
        assert_eq!(depth(&json!({})), 1);
        assert_eq!(depth(&json!({"a": 1, "b": [[]]})), 3);
    }
}
