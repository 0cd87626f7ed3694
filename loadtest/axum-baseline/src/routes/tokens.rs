//! `/api/v1/tokens`

use axum::extract::State;
use axum::response::IntoResponse;
use ringledger::models::Actor;
use ringledger::services::users::{PASSWORD_MAX_BYTES, Password, authenticate};
use serde::{Deserialize, Serialize};

use super::NO_STORE;
use crate::error::AppError;
use crate::extract::Json;
use crate::state::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Login {
    username: String,
    password: String,
}

/// RFC 6749 §5.1.
#[derive(Serialize)]
struct TokenView {
    access_token: String,
    token_type: &'static str,
    expires_in: u32,
}

/// POST `/api/v1/tokens`
pub(super) async fn issue(
    State(app): State<App>,
    Json(Login { username, password }): Json<Login>,
) -> Result<impl IntoResponse, AppError> {
    if password.len() > PASSWORD_MAX_BYTES {
        // No user has such a password, and hashing it would be paid by us.
        return Err(AppError::WrongCredentials);
    }
    let found = app.reads.credentials(username).await?;
    let password = Password::from(password);
    let user = app.cpu.run(move || authenticate(found.as_ref(), &password)).await?;
    let user = user.ok_or(AppError::WrongCredentials)?;
    let access_token = app.issue(Actor { id: user.id, role: user.role })?;
    Ok(([NO_STORE], Json(TokenView { access_token, token_type: "Bearer", expires_in: app.token_ttl_s })))
}
