//! `/api/v1/accounts`

pub(super) mod balance;

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};

use super::paging::Page;
use super::{Answer, Api, AppError, AuthUser};
use crate::models::account::AccountName;
use crate::models::posting::{Entry, Owner};
use crate::models::{
    Account, AccountId, Actor, Currencies, Currency, Money, Role, Timestamp, TransferId, UserId,
};
use crate::services::accounts::NewAccount;
use crate::store::EntryQuery;
use crate::web::call::Call;
use crate::web::conditional::ETag;
use crate::web::invalid::{Flaws, Pointer};
use crate::web::json::Text;
use crate::web::page::List;
use crate::web::reply::Reply;

const ACCOUNTS: List = List(1);
const ENTRIES: List = List(2);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening<'a> {
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    owner: Option<Text<'a>>,
    #[serde(default)]
    min_balance: MinBalance,
}

/// The member as it was sent: absent is 0, `null` is no bound.
#[derive(Clone, Copy, Default)]
enum MinBalance {
    #[default]
    Absent,
    Given(Option<Money>),
}

impl<'de> Deserialize<'de> for MinBalance {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Option::deserialize(from).map(Self::Given)
    }
}

/// An account as replies show one.
#[derive(Serialize)]
struct AccountView<'a> {
    id: AccountId,
    owner: UserId,
    name: Option<&'a AccountName>,
    currency: Currency,
    balance: Money,
    held: Money,
    available: Money,
    min_balance: Option<Money>,
    version: u64,
    created_at: Timestamp,
}

impl<'a> From<&'a Account> for AccountView<'a> {
    fn from(account: &'a Account) -> Self {
        Self {
            id: account.id,
            owner: account.owner,
            name: account.name.as_ref(),
            currency: account.currency,
            balance: account.balance,
            held: account.held,
            available: account.available(),
            min_balance: account.min_balance,
            version: account.version,
            created_at: account.created_at,
        }
    }
}

/// An entry as replies show one.
#[derive(Serialize)]
struct EntryView {
    seq: u64,
    transfer_id: TransferId,
    amount: Money,
    balance: Money,
    created_at: Timestamp,
}

impl From<&Entry> for EntryView {
    fn from(entry: &Entry) -> Self {
        Self {
            seq: entry.seq,
            transfer_id: entry.transfer_id,
            amount: entry.amount,
            balance: entry.balance,
            created_at: entry.created_at,
        }
    }
}

/// POST `/api/v1/accounts`
pub(super) async fn open(api: &Api, user: AuthUser, mut call: Call<'_>) -> Answer {
    let wanted = checked(&call.body.json::<Opening<'_>>()?, user.actor(), &api.currencies)?;
    let account = api.services.open_account(user.actor(), wanted).await?;
    let location = format!("/api/v1/accounts/{}", account.id);
    Ok(Reply::json(StatusCode::CREATED, &AccountView::from(&account))?
        .location(&location)
        .etag(&ETag::of_version(account.version))
        .no_store())
}

/// GET `/api/v1/accounts/{id}`
pub(super) async fn read(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let account = api.services.account(user.actor(), account_id(&call)?).await?;
    let etag = ETag::of_version(account.version);
    let reply = if etag.is_in_if_none_match(call.headers) {
        Reply::empty(StatusCode::NOT_MODIFIED)
    } else {
        Reply::json(StatusCode::OK, &AccountView::from(&account))?
    };
    Ok(reply.etag(&etag).no_store())
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<u32>,
    cursor: Option<String>,
}

/// GET `/api/v1/accounts`
pub(super) async fn list(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let query: ListQuery = call.query()?;
    let page = Page::<16>::parse(ACCOUNTS, query.limit, query.cursor.as_deref())?;
    let after = page.after.map(|bytes| AccountId::from_uuid(uuid::Uuid::from_bytes(bytes)));
    let rows = api.services.accounts(user.actor(), after, page.rows_to_read()).await?;
    page.reply::<_, AccountView<'_>>(&call, &rows, |account| *account.id.as_uuid().as_bytes())
}

#[derive(Deserialize)]
struct EntriesQuery {
    limit: Option<u32>,
    cursor: Option<String>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

/// GET `/api/v1/accounts/{id}/entries`
pub(super) async fn entries(api: &Api, user: AuthUser, call: Call<'_>) -> Answer {
    let account_id = account_id(&call)?;
    let query: EntriesQuery = call.query()?;
    let page = Page::<8>::parse(ENTRIES, query.limit, query.cursor.as_deref())?;
    let wanted = EntryQuery {
        account_id,
        before_seq: page.after.map(u64::from_be_bytes),
        from: query.from,
        to: query.to,
        limit: page.rows_to_read(),
    };
    let rows = api.services.entries(user.actor(), wanted).await?;
    page.reply::<_, EntryView>(&call, &rows, |entry| entry.seq.to_be_bytes())
}

/// The account that the path names. No account has a malformed id.
fn account_id(call: &Call<'_>) -> Result<AccountId, AppError> {
    call.params.parse("id").map_err(|_| AppError::NotFound)
}

/// Every flaw of an opening at once, then the currency, which has a code of its own.
pub(super) fn checked(
    body: &Opening<'_>,
    actor: Actor,
    currencies: &Currencies,
) -> Result<NewAccount, AppError> {
    let mut flaws = Flaws::default();
    let name = flaws.optional("name", body.name.as_ref().map(|name| name.parse()));
    let owner = flaws.optional("owner", body.owner.as_deref().map(owner));
    let min_balance = match body.min_balance {
        MinBalance::Absent => Some(Money::ZERO),
        MinBalance::Given(least) => least,
    };
    // To a user any other value than 0 is forbidden, which the service says.
    if actor.role == Role::Operator && min_balance.is_some_and(|least| least > Money::ZERO) {
        flaws.note("min_balance", "must be 0 or less, or null for no bound");
    }
    flaws.none()?;
    let currency =
        currencies.known(&body.currency).map_err(|_| AppError::CurrencyUnknown(Pointer::root()))?;
    Ok(NewAccount { currency, name, owner, min_balance })
}

/// A user by id or by name; no name looks like an id.
fn owner(text: &str) -> Result<Owner, &'static str> {
    if let Ok(id) = text.parse() {
        return Ok(Owner::Id(id));
    }
    text.parse().map(Owner::Name).map_err(|_| "must be the id or the name of a user")
}
