//! `/api/v1/accounts`

use axum::extract::State;
use axum::http::header::{ETAG, IF_NONE_MATCH, LINK, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Response};
use ringledger::models::account::AccountName;
use ringledger::models::posting::{Command, OpenAccount, Outcome, Owner};
use ringledger::models::{
    Account, AccountId, Actor, Currencies, Currency, Money, Timestamp, UserId, Username,
};
use ringledger::store::AccountQuery;
use ringledger::telemetry::ids::uuid_v7;
use serde::{Deserialize, Deserializer, Serialize};

use super::NO_STORE;
use crate::error::AppError;
use crate::extract::{AuthUser, Json, PathId, Query};
use crate::problem::Flaw;
use crate::state::App;

/// Rows of a page when the caller names no limit.
const DEFAULT_ROWS: u32 = 50;
/// Rows of a page at most; bounds the time a list holds its connection.
const MAX_ROWS: u32 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    currency: String,
    name: Option<String>,
    owner: Option<String>,
    /// Absent is 0, `null` is no bound.
    #[serde(default = "zero", deserialize_with = "nullable")]
    min_balance: Option<Money>,
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of the member")]
const fn zero() -> Option<Money> {
    Some(Money::ZERO)
}

fn nullable<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Money>, D::Error> {
    Option::deserialize(from)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

#[derive(Serialize)]
struct AccountView {
    id: AccountId,
    owner: UserId,
    name: Option<AccountName>,
    currency: Currency,
    balance: Money,
    held: Money,
    available: Money,
    min_balance: Option<Money>,
    version: u64,
    created_at: Timestamp,
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            id: account.id,
            owner: account.owner,
            available: account.available(),
            name: account.name,
            currency: account.currency,
            balance: account.balance,
            held: account.held,
            min_balance: account.min_balance,
            version: account.version,
            created_at: account.created_at,
        }
    }
}

#[derive(Serialize)]
struct PageView {
    data: Vec<AccountView>,
    next_cursor: Option<String>,
}

/// POST `/api/v1/accounts`
pub(super) async fn open(
    State(app): State<App>,
    user: AuthUser,
    Json(body): Json<Opening>,
) -> Result<impl IntoResponse, AppError> {
    let wanted = checked(body, user)?;
    if !user.is_operator() {
        if wanted.min_balance != Some(Money::ZERO) {
            return Err(AppError::Forbidden("Only an operator may set min_balance."));
        }
        permit_owner(&app, user.0, &wanted.owner).await?;
    }
    match app.posting.submit(Command::OpenAccount(wanted)).await? {
        Outcome::Opened(account) => {
            let location = format!("/api/v1/accounts/{}", account.id);
            let fields = [(LOCATION, location), (ETAG, etag(&account))];
            Ok((StatusCode::CREATED, [NO_STORE], AppendHeaders(fields), Json(AccountView::from(account))))
        }
        Outcome::OwnerNotFound => Err(AppError::UserNotFound),
        other => Err(AppError::Internal(format!("an opening was answered with {other:?}"))),
    }
}

/// Every flaw of an opening at once, then the currency, which has a code of its own.
fn checked(body: Opening, user: AuthUser) -> Result<OpenAccount, AppError> {
    let mut flaws = Vec::new();
    let name = body.name.map(|name| name.parse::<AccountName>()).transpose();
    let name = name.unwrap_or_else(|error| {
        flaws.push(Flaw::member("name", error.to_string()));
        None
    });
    let owner = body.owner.map_or(Some(Owner::Id(user.0.id)), |text| owner(&text));
    if owner.is_none() {
        flaws.push(Flaw::member("owner", "must be the id or the name of a user"));
    }
    if user.is_operator() && body.min_balance.is_some_and(|least| least > Money::ZERO) {
        flaws.push(Flaw::member("min_balance", "must be 0 or less, or null for no bound"));
    }
    let Some(owner) = owner.filter(|_| flaws.is_empty()) else { return Err(AppError::Invalid(flaws)) };
    let currency = Currencies::default()
        .known(&body.currency)
        .map_err(|_| AppError::CurrencyUnknown("/currency".into()))?;
    let id = AccountId::from_uuid(uuid_v7());
    Ok(OpenAccount { id, owner, name, currency, min_balance: body.min_balance })
}

/// A user by id or by name; no name looks like an id.
fn owner(text: &str) -> Option<Owner> {
    text.parse().map(Owner::Id).ok().or_else(|| text.parse().map(Owner::Name).ok())
}

/// Lets a user name nobody but themselves.
async fn permit_owner(app: &App, actor: Actor, owner: &Owner) -> Result<(), AppError> {
    let own = match owner {
        Owner::Id(id) => *id == actor.id,
        Owner::Name(name) => own_name(app, actor).await?.folded() == name.folded(),
    };
    if own {
        Ok(())
    } else {
        Err(AppError::Forbidden("Only an operator may open an account for another user."))
    }
}

async fn own_name(app: &App, actor: Actor) -> Result<Username, AppError> {
    let user = app.reads.user(actor.id).await?;
    user.map(|user| user.username).ok_or(AppError::NotFound)
}

/// GET `/api/v1/accounts/{id}`
pub(super) async fn read(
    State(app): State<App>,
    AuthUser(actor): AuthUser,
    PathId(id): PathId<AccountId>,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let account = app.reads.account(id).await?;
    let account = account.ok_or(AppError::NotFound)?;
    if !actor.may_use(account.owner) {
        return Err(AppError::Forbidden("The account belongs to another user."));
    }
    let etag = etag(&account);
    let fields = |etag| ([NO_STORE], AppendHeaders([(ETAG, etag)]));
    if is_known(&headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, fields(etag)).into_response());
    }
    Ok((fields(etag), Json(AccountView::from(account))).into_response())
}

/// The strong entity tag of an account's version.
fn etag(account: &Account) -> String {
    format!("\"{}\"", account.version)
}

/// Whether `If-None-Match` names this tag or `*` (RFC 9110 §13.1.2, a weak comparison).
fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

/// GET `/api/v1/accounts`
pub(super) async fn list(
    State(app): State<App>,
    user: AuthUser,
    Query(query): Query<ListQuery>,
) -> Result<impl IntoResponse, AppError> {
    let rows = query.limit.unwrap_or(DEFAULT_ROWS);
    if !(1..=MAX_ROWS).contains(&rows) {
        return Err(AppError::Invalid(vec![Flaw::member("limit", "must be between 1 and 200")]));
    }
    let after = query.cursor.map(|cursor| cursor.parse::<AccountId>()).transpose();
    let after =
        after.map_err(|_| AppError::Invalid(vec![Flaw::member("cursor", "is not a cursor of this list")]))?;
    let owner = (!user.is_operator()).then_some(user.0.id);
    // One more than wanted, to know whether there is a next page.
    let wanted = AccountQuery { owner, after, limit: rows + 1 };
    let mut found = app.reads.accounts(wanted).await?;
    let more = found.len() > rows as usize;
    found.truncate(rows as usize);
    let next_cursor = found.last().filter(|_| more).map(|account| account.id.to_string());
    let link = next_cursor
        .as_ref()
        .map(|cursor| (LINK, format!("</api/v1/accounts?limit={rows}&cursor={cursor}>; rel=\"next\"")));
    let data = found.into_iter().map(AccountView::from).collect();
    Ok(([NO_STORE], AppendHeaders(link), Json(PageView { data, next_cursor })))
}
