//! The one top error, and the one table from it to status and code.
//!
//! Each layer's error comes in by `From`. Detail that callers must not see goes to the log, where the
//! request's span names the request.

use std::borrow::Cow;

use http::header::{ALLOW, CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::models::currency::UnknownCurrency;
use crate::models::posting::{Refusal, Rejection, Side};
use crate::runtime::PoolError;
use crate::services::{LaneError, ServiceError};
use crate::store::StoreError;
use crate::web::invalid::{Invalid, Pointer};
use crate::web::json::{BodyError, EncodeError};
use crate::web::problem::Problem;
use crate::web::reply::Reply;
use crate::web::websocket;

/// Says that a reply is the stored outcome of an earlier request.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// When to come again after a refusal that tells no time of its own, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// Why a request is not answered as it wishes.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The head breaks HTTP in a way that leaves nothing to talk about: a bare 400.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// The body is not JSON.
    #[error("{0}")]
    InvalidJson(String),
    /// A member or parameter is not what it must be.
    #[error("invalid request")]
    Invalid(Invalid),
    /// No `Idempotency-Key`.
    #[error("Idempotency-Key is missing")]
    IdempotencyKeyMissing,
    /// No valid token.
    #[error("not authenticated")]
    Unauthenticated {
        /// Whether one was presented.
        presented: bool,
    },
    /// Wrong username or password.
    #[error("wrong credentials")]
    WrongCredentials,
    /// Not this caller's.
    #[error("forbidden: {0}")]
    Forbidden(&'static str),
    /// No such resource.
    #[error("not found")]
    NotFound,
    /// The resource knows other methods.
    #[error("method not allowed")]
    MethodNotAllowed {
        /// Those.
        allow: HeaderValue,
    },
    /// The caller accepts nothing that we can send.
    #[error("not acceptable")]
    NotAcceptable,
    /// The body stopped coming.
    #[error("the body stalled")]
    BodyTimeout,
    /// The body broke off.
    #[error("the body broke off")]
    BodyBroken,
    /// The name belongs to somebody.
    #[error("username taken")]
    UsernameTaken,
    /// The body is longer than its bound, in bytes.
    #[error("body beyond {0} bytes")]
    PayloadTooLarge(usize),
    /// The target is longer than its bound, in bytes.
    #[error("target beyond {0} bytes")]
    UriTooLong(usize),
    /// The body is not said to be JSON.
    #[error("unsupported media type")]
    UnsupportedMediaType,
    /// An `Expect` other than `100-continue`.
    #[error("unknown expectation")]
    ExpectationFailed,
    /// The resource is spoken to over a WebSocket only.
    #[error("no upgrade asked for")]
    UpgradeRequired,
    /// The key stands for something else.
    #[error("key reused")]
    IdempotencyKeyReused,
    /// The code is neither in ISO 4217 nor of a unit of the ledger.
    #[error("unknown currency")]
    CurrencyUnknown(
        /// The object whose member it is.
        Pointer,
    ),
    /// The owner of an account to be does not exist.
    #[error("no such owner")]
    UserNotFound,
    /// The ledger's decision, now or when the key was first used.
    #[error("rejected: {rejection:?}")]
    Rejected {
        /// Why.
        rejection: Rejection,
        /// The request that was first told so.
        request_id: Box<str>,
        /// Whether that was an earlier one.
        replayed: bool,
    },
    /// The user has sent more requests than the rate limit allows.
    #[error("too many requests")]
    TooManyRequests {
        /// Seconds until one is let through again.
        retry_after_s: u64,
    },
    /// The user has as many WebSockets open as one may.
    #[error("too many WebSockets of one user")]
    TooManySockets,
    /// Bodies of batches that the user still sends hold as much as they may.
    #[error("too many bodies of one user")]
    TooManyBodies,
    /// As many batches of the user are under way as may be.
    #[error("too many batches of one user")]
    TooManyBatches,
    /// Fields or head beyond their bounds.
    #[error("head too large")]
    HeadersTooLarge,
    /// Known, but not built.
    #[error("not implemented: {0}")]
    NotImplemented(&'static str),
    /// A queue is full.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// The request took longer than it may; it is not known whether it was applied.
    #[error("deadline passed")]
    DeadlinePassed,
    /// The store does not answer.
    #[error("store unavailable: {0}")]
    StoreUnavailable(String),
    /// A bug or a fault.
    #[error("internal: {0}")]
    Internal(String),
}

impl AppError {
    /// The reply that tells the caller. `request_id` is this request's.
    pub fn into_reply(self, request_id: &str) -> Reply {
        match self {
            Self::Malformed(_) => Reply::empty(StatusCode::BAD_REQUEST),
            Self::Rejected { rejection, request_id, replayed } => {
                let (status, code, title) = rejection_row(&rejection);
                let problem = Problem::new(status, code, title, rejection_detail(&rejection));
                mark_replayed(problem.into_reply(&request_id), replayed)
            }
            other => other.into_problem().into_reply(request_id),
        }
    }

    /// Status and code of the reply.
    pub fn status_and_code(&self) -> (u16, &'static str) {
        let (status, code, _) = self.row();
        (status.as_u16(), code)
    }

    /// Whether what follows on the connection cannot be told from this request, or is not worth reading.
    pub const fn ends_connection(&self) -> bool {
        matches!(self, Self::Malformed(_) | Self::BodyTimeout | Self::BodyBroken | Self::PayloadTooLarge(_))
    }

    /// Writes to the log what the caller is not told.
    pub fn log(&self) {
        match self {
            Self::Internal(_) => tracing::error!(error = %self, "request failed"),
            Self::StoreUnavailable(_) | Self::DeadlinePassed => {
                tracing::warn!(error = %self, "request failed");
            }
            _ => {}
        }
    }

    /// The problem that tells the caller.
    pub(super) fn into_problem(self) -> Problem {
        let (status, code, title) = self.row();
        let problem = Problem::new(status, code, title, self.detail());
        match self {
            Self::Invalid(invalid) => problem.with_errors(invalid),
            Self::CurrencyUnknown(object) => {
                let pointer = object.member("currency");
                problem.with_errors(Invalid::at(pointer, UnknownCurrency.to_string()))
            }
            Self::UserNotFound => {
                problem.with_errors(Invalid::member("owner", "must be the id or the name of a user"))
            }
            Self::Unauthenticated { presented: true } => problem
                .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            Self::Unauthenticated { presented: false } | Self::WrongCredentials => {
                problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            Self::MethodNotAllowed { allow } => problem.with_header(ALLOW, allow),
            Self::UpgradeRequired => problem
                .with_header(UPGRADE, HeaderValue::from_static("websocket"))
                .with_header(CONNECTION, HeaderValue::from_static("upgrade"))
                .with_header(SEC_WEBSOCKET_VERSION, websocket::VERSION),
            Self::TooManyRequests { retry_after_s } => problem.with_header(RETRY_AFTER, retry_after_s.into()),
            Self::TooManySockets | Self::TooManyBodies | Self::TooManyBatches => {
                problem.with_header(RETRY_AFTER, RETRY_AFTER_S)
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => problem.with_header(RETRY_AFTER, RETRY_AFTER_S),
            _ => problem,
        }
    }

    /// The table: status, code and title of each.
    #[rustfmt::skip] // one line a row
    fn row(&self) -> Row {
        use StatusCode as S;
        match self {
            Self::Malformed(_) => (S::BAD_REQUEST, "invalid_request", "Malformed request"),
            Self::InvalidJson(_) => (S::BAD_REQUEST, "invalid_json", "Invalid JSON"),
            Self::BodyBroken => (S::BAD_REQUEST, "invalid_json", "Incomplete body"),
            Self::IdempotencyKeyMissing => (S::BAD_REQUEST, "idempotency_key_missing", "Idempotency key missing"),
            Self::Unauthenticated { .. } | Self::WrongCredentials => (S::UNAUTHORIZED, "unauthenticated", "Not authenticated"),
            Self::Forbidden(_) => (S::FORBIDDEN, "forbidden", "Forbidden"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed { .. } => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::NotAcceptable => (S::NOT_ACCEPTABLE, "not_acceptable", "Not acceptable"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "request_timeout", "Request timeout"),
            Self::UsernameTaken => (S::CONFLICT, "username_taken", "Username taken"),
            Self::PayloadTooLarge(_) => (S::PAYLOAD_TOO_LARGE, "payload_too_large", "Payload too large"),
            Self::UriTooLong(_) => (S::URI_TOO_LONG, "uri_too_long", "URI too long"),
            Self::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type"),
            Self::ExpectationFailed => (S::EXPECTATION_FAILED, "expectation_failed", "Expectation failed"),
            Self::Invalid(_) => (S::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request"),
            Self::IdempotencyKeyReused => (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused"),
            Self::CurrencyUnknown(_) => (S::UNPROCESSABLE_ENTITY, "currency_unknown", "Unknown currency"),
            Self::UserNotFound => (S::UNPROCESSABLE_ENTITY, "user_not_found", "User not found"),
            Self::Rejected { rejection, .. } => rejection_row(rejection),
            Self::UpgradeRequired => (S::UPGRADE_REQUIRED, "upgrade_required", "Upgrade required"),
            Self::TooManyRequests { .. } | Self::TooManySockets | Self::TooManyBodies | Self::TooManyBatches => (S::TOO_MANY_REQUESTS, "too_many_requests", "Too many requests"),
            Self::HeadersTooLarge => (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", "Header fields too large"),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::NotImplemented(_) => (S::NOT_IMPLEMENTED, "not_implemented", "Not implemented"),
            Self::Overloaded(_) | Self::DeadlinePassed => (S::SERVICE_UNAVAILABLE, "overloaded", "Overloaded"),
            Self::StoreUnavailable(_) => (S::SERVICE_UNAVAILABLE, "store_unavailable", "Store unavailable"),
        }
    }

    /// What this occurrence is about, for people.
    fn detail(&self) -> Cow<'static, str> {
        let text = match self {
            Self::Malformed(detail)
            | Self::Forbidden(detail)
            | Self::NotImplemented(detail)
            | Self::Overloaded(detail) => detail,
            Self::InvalidJson(detail) => return detail.clone().into(),
            Self::PayloadTooLarge(limit) => return format!("The body is longer than {limit} bytes.").into(),
            Self::UriTooLong(limit) => return format!("The target is longer than {limit} bytes.").into(),
            Self::Rejected { rejection, .. } => return rejection_detail(rejection),
            Self::BodyBroken => "The body broke off.",
            Self::IdempotencyKeyMissing => "Send an Idempotency-Key of 1 to 255 visible ASCII characters.",
            Self::Unauthenticated { presented: true } => "The token is not valid; it may have expired.",
            Self::Unauthenticated { presented: false } => "Send a token as Authorization: Bearer.",
            Self::WrongCredentials => "Username and password do not belong together.",
            Self::NotFound => "There is no such resource.",
            Self::MethodNotAllowed { .. } => "The resource does not know this method; see Allow.",
            Self::NotAcceptable => "The resource has no representation that Accept allows.",
            Self::BodyTimeout => "The body did not arrive in time.",
            Self::UsernameTaken => "The username belongs to somebody.",
            Self::UnsupportedMediaType => "Send the body as application/json.",
            Self::ExpectationFailed => "The only expectation met here is 100-continue.",
            Self::Invalid(_) => "The request is not valid; see errors.",
            Self::UpgradeRequired => {
                "This resource is a WebSocket: ask for an upgrade to one, of version 13."
            }
            Self::IdempotencyKeyReused => "The key was used for another request within the last 24 hours.",
            Self::CurrencyUnknown(_) => {
                "The currency is neither an ISO 4217 code such as EUR nor a unit of this ledger."
            }
            Self::UserNotFound => "The owner is no user of this ledger.",
            Self::TooManyRequests { .. } => {
                "You send more requests than the rate limit allows; see Retry-After."
            }
            Self::TooManySockets => "You have as many WebSockets open as one user may.",
            Self::TooManyBodies => "The batches that you are still sending hold as much as one user's may.",
            Self::TooManyBatches => "As many of your batches are under way as one user may have.",
            Self::HeadersTooLarge => "The request has too many header fields, or too long ones.",
            Self::Internal(_) => {
                "Something went wrong on our side; the log tells it under this request's id."
            }
            Self::DeadlinePassed => {
                "It took too long and is not known to be applied; send it again with its key."
            }
            Self::StoreUnavailable(_) => {
                "The store does not answer; what was asked is not known to be applied."
            }
        };
        text.into()
    }
}

/// Status, code and title.
type Row = (StatusCode, &'static str, &'static str);

#[rustfmt::skip] // one line a row
fn rejection_row(rejection: &Rejection) -> Row {
    use StatusCode as S;
    match rejection {
        Rejection::SameAccount => (S::UNPROCESSABLE_ENTITY, "same_account", "Same account"),
        Rejection::AccountNotFound { .. } => (S::UNPROCESSABLE_ENTITY, "account_not_found", "Account not found"),
        Rejection::CurrencyMismatch { .. } => (S::UNPROCESSABLE_ENTITY, "currency_mismatch", "Currency mismatch"),
        Rejection::InsufficientFunds { .. } => (S::UNPROCESSABLE_ENTITY, "insufficient_funds", "Insufficient funds"),
        Rejection::BalanceOverflow { .. } => (S::UNPROCESSABLE_ENTITY, "balance_overflow", "Balance overflow"),
        Rejection::TransferNotPending { .. } => (S::CONFLICT, "transfer_not_pending", "Transfer not pending"),
        Rejection::AmountExceedsPending { .. } => (S::UNPROCESSABLE_ENTITY, "amount_exceeds_pending", "Amount exceeds pending"),
        Rejection::TransferNotPosted { .. } => (S::CONFLICT, "transfer_not_posted", "Transfer not posted"),
        Rejection::NotReversible => (S::CONFLICT, "not_reversible", "Not reversible"),
        Rejection::AlreadyReversed => (S::CONFLICT, "already_reversed", "Already reversed"),
    }
}

/// The problem of a batch's item.
pub(super) fn refusal_problem(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Rejected(rejection) => {
            let (status, code, title) = rejection_row(rejection);
            Problem::new(status, code, title, rejection_detail(rejection))
        }
        Refusal::Forbidden => {
            AppError::Forbidden("The debit account belongs to another user.").into_problem()
        }
        Refusal::Aborted => {
            let detail = "The batch is atomic, and another of its transfers was refused.";
            Problem::new(StatusCode::FAILED_DEPENDENCY, "batch_aborted", "Batch aborted", detail)
        }
    }
}

fn rejection_detail(rejection: &Rejection) -> Cow<'static, str> {
    let name = |side: &Side| match side {
        Side::Debit => "debit",
        Side::Credit => "credit",
    };
    match rejection {
        Rejection::SameAccount => "Debit and credit name the same account.".into(),
        Rejection::AccountNotFound { side } => format!("There is no such {} account.", name(side)).into(),
        Rejection::CurrencyMismatch { side, currency } => {
            format!("The {} account counts {currency}.", name(side)).into()
        }
        Rejection::InsufficientFunds { available } => {
            format!("The debit account has {available} minor units available.").into()
        }
        Rejection::BalanceOverflow { side } => {
            format!("The balance of the {} account would leave its range.", name(side)).into()
        }
        Rejection::TransferNotPending { status } | Rejection::TransferNotPosted { status } => {
            format!("The transfer is {}.", status.as_str()).into()
        }
        Rejection::AmountExceedsPending { pending } => {
            format!("The transfer holds {} minor units.", pending.money()).into()
        }
        Rejection::NotReversible => "The transfer is a reversal itself.".into(),
        Rejection::AlreadyReversed => "The transfer was reversed before; see its reversed_by.".into(),
    }
}

/// Tells the caller that a reply is the outcome of an earlier request.
pub fn mark_replayed(reply: Reply, replayed: bool) -> Reply {
    if replayed { reply.header(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true")) } else { reply }
}

impl From<ServiceError> for AppError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Store(error) => error.into(),
            ServiceError::Lane(error) => error.into(),
            ServiceError::Pool(error) => error.into(),
            ServiceError::Overloaded(what) => Self::Overloaded(what),
            ServiceError::TooManyFeeds => Self::TooManySockets,
            ServiceError::NotFound => Self::NotFound,
            ServiceError::Forbidden(what) => Self::Forbidden(what),
            ServiceError::UsernameTaken => Self::UsernameTaken,
            ServiceError::OwnerNotFound => Self::UserNotFound,
            ServiceError::WrongCredentials => Self::WrongCredentials,
            ServiceError::TimeToCome(_) => Invalid::member("at", "must not be in the future").into(),
            ServiceError::TooManyAccounts(most) => {
                Invalid::member("account", format!("is required of who owns more than {most} accounts"))
                    .into()
            }
            ServiceError::UnexpectedOutcome | ServiceError::Internal(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Internal(error.to_string()),
            StoreError::Unavailable(_)
            | StoreError::Schema(_)
            | StoreError::Unfit(_)
            | StoreError::InUse(_)
            | StoreError::Open { .. } => Self::StoreUnavailable(error.to_string()),
        }
    }
}

impl From<LaneError> for AppError {
    fn from(error: LaneError) -> Self {
        match error {
            LaneError::Full => Self::Overloaded("Too many commands wait for the ledger."),
            LaneError::Ended | LaneError::Store => Self::StoreUnavailable(error.to_string()),
        }
    }
}

impl From<PoolError> for AppError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Full => Self::Overloaded("Too many jobs wait for the CPU pool."),
            PoolError::Stopped => Self::Overloaded("The server is shutting down."),
            PoolError::Panicked => Self::Internal(error.to_string()),
        }
    }
}

impl From<BodyError> for AppError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::InvalidJson(error) => Self::InvalidJson(error.detail),
            BodyError::Invalid(invalid) => Self::Invalid(invalid),
        }
    }
}

impl From<websocket::Refusal> for AppError {
    fn from(refusal: websocket::Refusal) -> Self {
        match refusal {
            websocket::Refusal::NotAsked => Self::UpgradeRequired,
            websocket::Refusal::Malformed(what) => Self::Malformed(what),
        }
    }
}

impl From<Invalid> for AppError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<EncodeError> for AppError {
    fn from(error: EncodeError) -> Self {
        Self::Internal(error.to_string())
    }
}
