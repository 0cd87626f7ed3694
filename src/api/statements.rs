//! `/api/v1/accounts/{id}/statement`

use futures_util::TryStreamExt;
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;

use super::{Answer, Api, AppError, AuthUser};
use crate::models::{Account, Timestamp};
use crate::services::now;
use crate::services::statements::{Format, Period};
use crate::web::call::Call;
use crate::web::invalid::Invalid;
use crate::web::negotiate;
use crate::web::reply::{BodyBroken, Pieces, Reply};

/// What a statement can be, the first if the caller does not say.
pub(super) const MEDIA_TYPES: [&str; 2] = ["application/pdf", "text/csv"];

#[derive(Deserialize)]
struct PeriodQuery {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// GET `/api/v1/accounts/{id}/statement`
pub(super) async fn read(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let id = call.params.parse("id").map_err(|_| AppError::NotFound)?;
    let query: PeriodQuery = call.query()?;
    let (format, media_type, ending) = match negotiate::best(call.headers, &MEDIA_TYPES) {
        Some(0) => (Format::Pdf, "application/pdf", "pdf"),
        Some(_) => (Format::Csv, "text/csv; charset=utf-8", "csv"),
        None => return Err(AppError::NotAcceptable),
    };
    let account = api.services.account(user.actor(), id).await?;
    // What was acknowledged is in it, also where another replica's clock is ahead of this one's.
    let head = api.services.reader.head().await?;
    let latest = now().max(head.at.next().unwrap_or(head.at));
    let period = period(&query, &account, latest)?;
    let file_name = file_name(&account, period, ending)?;
    let decimals = api.currencies.exponent(account.currency);
    let document = api.services.statement(account, period, format, decimals).await?;
    let stream = Box::pin(document.pieces.map_err(|error| BodyBroken(error.to_string())));
    let pieces = Pieces { stream, due: document.due };
    let reply = Reply::pieces(StatusCode::OK, HeaderValue::from_static(media_type), pieces);
    Ok(reply.header(CONTENT_DISPOSITION, file_name).no_store())
}

/// From the account's beginning up to now, unless the caller says otherwise.
fn period(query: &PeriodQuery, account: &Account, latest: Timestamp) -> Result<Period, Invalid> {
    let from = query.from.unwrap_or(account.created_at);
    let to = query.to.unwrap_or(latest);
    Period::new(from, to).ok_or_else(|| match query.to {
        Some(_) => {
            Invalid::member("to", "must not be before from, which is the account's creation by default")
        }
        None => Invalid::member("from", "must not be after now, unless to is given"),
    })
}

/// `attachment; filename="statement-ID-20260101-20260201.pdf"`
fn file_name(account: &Account, period: Period, ending: &str) -> Result<HeaderValue, AppError> {
    let day = |time: Timestamp| time.to_string()[..10].replace('-', "");
    let (from, to) = (day(period.from()), day(period.to()));
    let value = format!("attachment; filename=\"statement-{}-{from}-{to}.{ending}\"", account.id);
    HeaderValue::from_str(&value).map_err(|error| AppError::Internal(error.to_string()))
}
