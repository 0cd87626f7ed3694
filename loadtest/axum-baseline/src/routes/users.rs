//! `/api/v1/users`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use ringledger::models::posting::Outcome;
use ringledger::models::{Role, Timestamp, User, UserId, Username};
use ringledger::services::users::{Password, check_password, hash_password, register_command};
use serde::{Deserialize, Serialize};

use super::NO_STORE;
use crate::error::AppError;
use crate::extract::Json;
use crate::problem::Flaw;
use crate::state::App;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    username: String,
    password: String,
}

#[derive(Serialize)]
struct UserView {
    id: UserId,
    username: String,
    role: &'static str,
    created_at: Timestamp,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str().to_owned(),
            role: user.role.as_str(),
            created_at: user.created_at,
        }
    }
}

/// POST `/api/v1/users`
pub(super) async fn register(
    State(app): State<App>,
    Json(body): Json<Registration>,
) -> Result<impl IntoResponse, AppError> {
    let (username, password) = checked(body)?;
    let password_hash = app.cpu.run(move || hash_password(&password)).await??;
    match app.posting.submit(register_command(username, Role::User, password_hash)).await? {
        Outcome::Registered(user) => Ok((StatusCode::CREATED, [NO_STORE], Json(UserView::from(user)))),
        Outcome::UsernameTaken => Err(AppError::UsernameTaken),
        other => Err(AppError::Internal(format!("a registration was answered with {other:?}"))),
    }
}

/// Every flaw of a registration at once.
fn checked(body: Registration) -> Result<(Username, Password), AppError> {
    let username = body.username.parse::<Username>();
    let password = check_password(&body.password);
    match (username, password) {
        (Ok(username), Ok(())) => Ok((username, body.password.into())),
        (username, password) => {
            let username = username.err().map(|error| Flaw::member("username", error.to_string()));
            let password = password.err().map(|error| Flaw::member("password", error.to_string()));
            Err(AppError::Invalid(username.into_iter().chain(password).collect()))
        }
    }
}
