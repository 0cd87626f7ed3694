//! `/api/v1/transfers/{id}/post`, `/void` and `/reverse`: what becomes of a transfer later.

use http::StatusCode;
use serde::Deserialize;

use super::{TransferView, asked, created, decided};
use crate::api::error::mark_replayed;
use crate::api::{Answer, Api, AppError, AuthUser};
use crate::models::posting::HoldDecision;
use crate::models::{Amount, TransferId};
use crate::services::transfers::Asked;
use crate::web::call::Call;
use crate::web::reply::Reply;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostBody {
    /// All that is held if absent.
    #[serde(default)]
    amount: Option<Amount>,
}

/// A body that may be left out, and says nothing.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct EmptyBody {}

/// POST `/api/v1/transfers/{id}/post`
pub(crate) async fn post(api: &Api, user: AuthUser, mut call: Call<'_>) -> Answer {
    let asked = asked(&user, &call)?;
    let body: PostBody = optional(&mut call)?;
    end(api, asked, &call, HoldDecision::Post(body.amount)).await
}

/// POST `/api/v1/transfers/{id}/void`
pub(crate) async fn void(api: &Api, user: AuthUser, mut call: Call<'_>) -> Answer {
    let asked = asked(&user, &call)?;
    let EmptyBody {} = optional(&mut call)?;
    end(api, asked, &call, HoldDecision::Void).await
}

/// POST `/api/v1/transfers/{id}/reverse`
pub(crate) async fn reverse(api: &Api, user: AuthUser, mut call: Call<'_>) -> Answer {
    let asked = asked(&user, &call)?;
    let EmptyBody {} = optional(&mut call)?;
    let outcome = api.services.reverse(asked, transfer_id(&call)?).await?;
    let (transfer, replayed) = decided(outcome, "The account that was credited belongs to another user.")?;
    created(&transfer, replayed)
}

async fn end(api: &Api, asked: Asked<'_>, call: &Call<'_>, decision: HoldDecision) -> Answer {
    let outcome = api.services.resolve(asked, transfer_id(call)?, decision).await?;
    let (transfer, replayed) = decided(outcome, "The debit account belongs to another user.")?;
    let reply = Reply::json(StatusCode::OK, &TransferView::from(&*transfer))?;
    Ok(mark_replayed(reply.no_store(), replayed))
}

fn transfer_id(call: &Call<'_>) -> Result<TransferId, AppError> {
    call.params.parse("id").map_err(|_| AppError::NotFound)
}

/// The body, which may be left out.
fn optional<T: Default + for<'de> Deserialize<'de>>(call: &mut Call<'_>) -> Result<T, AppError> {
    if call.body.is_empty() { Ok(T::default()) } else { Ok(call.body.json()?) }
}
