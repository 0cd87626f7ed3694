//! GET `/api/v1/accounts/{id}/balance`: what an account held at some time.

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::account_id;
use crate::api::{Answer, Api, AuthUser};
use crate::models::{AccountId, Money, Timestamp};
use crate::web::call::Call;
use crate::web::reply::Reply;

#[derive(Deserialize)]
struct Moment {
    at: Option<Timestamp>,
}

#[derive(Serialize)]
struct BalanceView {
    account_id: AccountId,
    balance: Money,
    at: Timestamp,
}

/// GET `/api/v1/accounts/{id}/balance`
pub(crate) async fn read(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let account_id = account_id(&call)?;
    let wanted: Moment = call.query()?;
    let (balance, at) = api.services.balance(user.actor(), account_id, wanted.at).await?;
    Ok(Reply::json(StatusCode::OK, &BalanceView { account_id, balance, at })?.no_store())
}
