//! `/api/v1/users`

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Answer, Api, AppError, AuthUser};
use crate::models::{Timestamp, User, UserId, Username};
use crate::services::users::check_password;
use crate::web::call::Call;
use crate::web::invalid::Flaws;
use crate::web::json::Text;
use crate::web::reply::Reply;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration<'a> {
    #[serde(borrow)]
    username: Text<'a>,
    #[serde(borrow)]
    password: Text<'a>,
}

/// A user as replies show one.
#[derive(Serialize)]
struct UserView<'a> {
    id: UserId,
    username: &'a Username,
    role: &'static str,
    created_at: Timestamp,
}

impl<'a> From<&'a User> for UserView<'a> {
    fn from(user: &'a User) -> Self {
        Self { id: user.id, username: &user.username, role: user.role.as_str(), created_at: user.created_at }
    }
}

/// POST `/api/v1/users`
pub(super) async fn register(api: &Api, mut call: Call<'_>) -> Answer {
    if !api.open_registration {
        let user = AuthUser::from_headers(call.headers, &api.services.tokens)?;
        user.require_operator("Registration is closed; only an operator may add users.")?;
    }
    let body: Registration<'_> = call.body.json()?;
    let username = checked(&body)?;
    let user = api.services.register(username, body.password.into_owned().into()).await?;
    Ok(Reply::json(StatusCode::CREATED, &UserView::from(&user))?.no_store())
}

/// GET `/api/v1/users/me`
pub(super) async fn me(api: &Api, user: AuthUser, _: Call<'_>) -> Answer {
    let user = api.services.user(user.actor()).await?;
    Ok(Reply::json(StatusCode::OK, &UserView::from(&user))?.no_store())
}

/// Every flaw of a registration at once.
pub(super) fn checked(body: &Registration<'_>) -> Result<Username, AppError> {
    let mut flaws = Flaws::default();
    let username = flaws.optional("username", Some(body.username.parse()));
    flaws.optional("password", Some(check_password(&body.password)));
    flaws.none()?;
    username.ok_or_else(|| AppError::Internal("a username without a flaw is missing".into()))
}
