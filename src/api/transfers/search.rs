//! GET `/api/v1/transfers`: the search.

use serde::Deserialize;

use super::TransferView;
use crate::api::paging::Page;
use crate::api::{Answer, Api, AppError, AuthUser};
use crate::models::{AccountId, Timestamp, TransferStatus};
use crate::services::search::TransferSearch;
use crate::web::call::Call;
use crate::web::invalid::Flaws;
use crate::web::json::Text;
use crate::web::page::List;
use crate::web::query;

const TRANSFERS: List = List(3);

#[derive(Deserialize)]
struct Wanted<'a> {
    account: Option<AccountId>,
    status: Option<Status>,
    #[serde(borrow)]
    reference: Option<Text<'a>>,
    #[serde(borrow)]
    idempotency_key: Option<Text<'a>>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    limit: Option<u32>,
    #[serde(borrow)]
    cursor: Option<Text<'a>>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Pending,
    Posted,
    Voided,
    Expired,
}

impl From<Status> for TransferStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Pending => Self::Pending,
            Status::Posted => Self::Posted,
            Status::Voided => Self::Voided,
            Status::Expired => Self::Expired,
        }
    }
}

/// GET `/api/v1/transfers`
pub(crate) async fn list(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let (page, search) = parsed(call.query)?;
    let found = api.services.transfers(user.actor(), &search).await?;
    page.reply_up_to::<_, TransferView<'_>>(&call, &found.transfers, found.rest.map(u64::to_be_bytes))
}

/// What the query of a request asks for.
pub(crate) fn parsed(query: &str) -> Result<(Page<8>, TransferSearch), AppError> {
    let wanted: Wanted<'_> = query::decode(query)?;
    let page = Page::parse(TRANSFERS, wanted.limit, wanted.cursor.as_deref())?;
    let search = checked(&wanted, &page)?;
    Ok((page, search))
}

fn checked(wanted: &Wanted<'_>, page: &Page<8>) -> Result<TransferSearch, AppError> {
    let mut flaws = Flaws::default();
    let reference = flaws.optional("reference", wanted.reference.as_deref().map(str::parse));
    let key = flaws.optional("idempotency_key", wanted.idempotency_key.as_deref().map(str::parse));
    flaws.none()?;
    Ok(TransferSearch {
        account: wanted.account,
        status: wanted.status.map(TransferStatus::from),
        reference,
        key,
        from: wanted.from,
        to: wanted.to,
        before_seq: page.after.map(u64::from_be_bytes),
        limit: page.rows,
    })
}
