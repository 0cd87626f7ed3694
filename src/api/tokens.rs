//! `/api/v1/tokens`

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Answer, Api, AppError};
use crate::models::Actor;
use crate::services::users::PASSWORD_MAX_BYTES;
use crate::web::call::Call;
use crate::web::json::Text;
use crate::web::reply::Reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Login<'a> {
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(borrow)]
    password: Text<'a>,
}

/// RFC 6749 §5.1.
#[derive(Serialize)]
struct TokenView {
    access_token: String,
    token_type: &'static str,
    expires_in: u32,
}

/// POST `/api/v1/tokens`
pub(super) async fn issue(api: &Api, mut call: Call<'_>) -> Answer {
    let body: Login<'_> = call.body.json()?;
    if body.password.len() > PASSWORD_MAX_BYTES {
        // No user has such a password, and hashing it would be paid by us.
        return Err(AppError::WrongCredentials);
    }
    let Login { username, password } = body;
    let user = api.services.log_in(&username, password.into_owned().into()).await?;
    let actor = Actor { id: user.id, role: user.role };
    let access_token = api.services.tokens.issue(actor, api.token_ttl_s)?;
    let view = TokenView { access_token, token_type: "Bearer", expires_in: api.token_ttl_s };
    Ok(Reply::json(StatusCode::OK, &view)?.no_store())
}
