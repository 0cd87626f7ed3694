//! The one error of handlers, and the one table from it to status and code.
//!
//! Detail that callers must not see goes to the log.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use ringledger::models::posting::{Refusal, Rejection, Side};
use ringledger::services::{LaneError, ServiceError};
use ringledger::store::StoreError;
use serde_json::value::RawValue;

use crate::problem::{Flaw, Problem};

/// Says that a reply is the stored outcome of an earlier request.
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Why a request is not answered as it wishes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppError {
    /// The body is not JSON; with the place.
    #[error("{0}")]
    InvalidJson(String),
    /// Members or parameters are not what they must be.
    #[error("invalid request")]
    Invalid(Vec<Flaw>),
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
    /// The resource knows other methods; axum's router says which.
    #[error("method not allowed")]
    MethodNotAllowed,
    /// The body broke off.
    #[error("the body broke off")]
    BodyBroken,
    /// The name belongs to somebody.
    #[error("username taken")]
    UsernameTaken,
    /// The body is longer than its bound.
    #[error("body too large")]
    PayloadTooLarge,
    /// The body is not said to be JSON.
    #[error("unsupported media type")]
    UnsupportedMediaType,
    /// The key stands for something else.
    #[error("key reused")]
    IdempotencyKeyReused,
    /// The code is not in ISO 4217; with the pointer to it.
    #[error("unknown currency")]
    CurrencyUnknown(String),
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
    /// A transfer of an atomic batch was refused, so none was made.
    #[error("batch refused")]
    BatchRefused {
        /// What became of each.
        results: Box<RawValue>,
        /// The request that was first told so.
        request_id: Box<str>,
        /// Whether that was an earlier one.
        replayed: bool,
    },
    /// Known, but not built.
    #[error("not implemented: {0}")]
    NotImplemented(&'static str),
    /// A queue is full.
    #[error("overloaded: {0}")]
    Overloaded(&'static str),
    /// The request took longer than it may.
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
    /// What the caller is told.
    pub(crate) fn problem(self) -> Problem {
        let (status, code, title) = self.row();
        let detail = self.detail();
        let mut problem =
            Problem { status, code, title, detail, errors: Vec::new(), first_told: None, results: None };
        match self {
            Self::Invalid(flaws) => problem.errors = flaws,
            Self::CurrencyUnknown(pointer) => {
                problem.errors =
                    vec![Flaw { pointer, detail: "must be an ISO 4217 code such as EUR".into() }];
            }
            Self::UserNotFound => {
                problem.errors = vec![Flaw::member("owner", "must be the id or the name of a user")];
            }
            Self::Rejected { request_id, .. } => problem.first_told = Some(request_id),
            Self::BatchRefused { results, request_id, .. } => {
                (problem.results, problem.first_told) = (Some(results), Some(request_id));
            }
            _ => {}
        }
        problem
    }

    /// The same error about a part of the body.
    pub(crate) fn within(self, pointer: &str) -> Self {
        let at = |inner: &str| format!("{pointer}{inner}");
        match self {
            Self::Invalid(flaws) => {
                let flaw = |Flaw { pointer, detail }| Flaw { pointer: at(&pointer), detail };
                Self::Invalid(flaws.into_iter().map(flaw).collect())
            }
            Self::CurrencyUnknown(inner) => Self::CurrencyUnknown(at(&inner)),
            other => other,
        }
    }

    /// Status, code and title of each.
    #[rustfmt::skip] // one line a row
    fn row(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::InvalidJson(_) => (S::BAD_REQUEST, "invalid_json", "Invalid JSON"),
            Self::BodyBroken => (S::BAD_REQUEST, "invalid_json", "Incomplete body"),
            Self::IdempotencyKeyMissing => (S::BAD_REQUEST, "idempotency_key_missing", "Idempotency key missing"),
            Self::Unauthenticated { .. } | Self::WrongCredentials => (S::UNAUTHORIZED, "unauthenticated", "Not authenticated"),
            Self::Forbidden(_) => (S::FORBIDDEN, "forbidden", "Forbidden"),
            Self::NotFound => (S::NOT_FOUND, "not_found", "Not found"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed"),
            Self::UsernameTaken => (S::CONFLICT, "username_taken", "Username taken"),
            Self::PayloadTooLarge => (S::PAYLOAD_TOO_LARGE, "payload_too_large", "Payload too large"),
            Self::UnsupportedMediaType => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "Unsupported media type"),
            Self::Invalid(_) => (S::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request"),
            Self::IdempotencyKeyReused => (S::UNPROCESSABLE_ENTITY, "idempotency_key_reused", "Idempotency key reused"),
            Self::CurrencyUnknown(_) => (S::UNPROCESSABLE_ENTITY, "currency_unknown", "Unknown currency"),
            Self::UserNotFound => (S::UNPROCESSABLE_ENTITY, "user_not_found", "User not found"),
            Self::BatchRefused { .. } => (S::UNPROCESSABLE_ENTITY, "batch_refused", "Batch refused"),
            Self::Rejected { rejection, .. } => rejection_row(rejection),
            Self::Internal(_) => (S::INTERNAL_SERVER_ERROR, "internal", "Internal error"),
            Self::NotImplemented(_) => (S::NOT_IMPLEMENTED, "not_implemented", "Not implemented"),
            Self::Overloaded(_) | Self::DeadlinePassed => (S::SERVICE_UNAVAILABLE, "overloaded", "Overloaded"),
            Self::StoreUnavailable(_) => (S::SERVICE_UNAVAILABLE, "store_unavailable", "Store unavailable"),
        }
    }

    fn detail(&self) -> Cow<'static, str> {
        let text = match self {
            Self::InvalidJson(detail) => return detail.clone().into(),
            Self::Rejected { rejection, .. } => return rejection_detail(rejection),
            Self::Forbidden(detail) | Self::NotImplemented(detail) | Self::Overloaded(detail) => detail,
            Self::BodyBroken => "The body broke off.",
            Self::IdempotencyKeyMissing => "Send an Idempotency-Key of 1 to 255 visible ASCII characters.",
            Self::Unauthenticated { presented: true } => "The token is not valid; it may have expired.",
            Self::Unauthenticated { presented: false } => "Send a token as Authorization: Bearer.",
            Self::WrongCredentials => "Username and password do not belong together.",
            Self::NotFound => "There is no such resource.",
            Self::MethodNotAllowed => "The resource does not know this method; see Allow.",
            Self::UsernameTaken => "The username belongs to somebody.",
            Self::PayloadTooLarge => "The body is longer than this route takes.",
            Self::UnsupportedMediaType => "Send the body as application/json.",
            Self::Invalid(_) => "The request is not valid; see errors.",
            Self::IdempotencyKeyReused => "The key was used for another request within the last 24 hours.",
            Self::BatchRefused { .. } => "A transfer was refused, so none was made; see results.",
            Self::CurrencyUnknown(_) => "The currency is not an ISO 4217 code such as EUR.",
            Self::UserNotFound => "The owner is no user of this ledger.",
            Self::DeadlinePassed => {
                "It took too long and is not known to be applied; send it again with its key."
            }
            Self::StoreUnavailable(_) => {
                "The store does not answer; what was asked is not known to be applied."
            }
            Self::Internal(_) => {
                "Something went wrong on our side; the log tells it under this request's id."
            }
        };
        text.into()
    }

    /// Fields of the reply beside those of the document.
    fn field(&self, status: StatusCode) -> Option<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_static;
        match self {
            Self::Unauthenticated { presented: true } => {
                Some((WWW_AUTHENTICATE, value("Bearer error=\"invalid_token\"")))
            }
            Self::Unauthenticated { presented: false } | Self::WrongCredentials => {
                Some((WWW_AUTHENTICATE, value("Bearer")))
            }
            Self::Rejected { replayed: true, .. } | Self::BatchRefused { replayed: true, .. } => {
                Some((IDEMPOTENCY_REPLAYED, value("true")))
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, value("1"))),
            _ => None,
        }
    }

    fn log(&self) {
        match self {
            Self::Internal(_) => tracing::error!(error = %self, "request failed"),
            Self::StoreUnavailable(_) => tracing::warn!(error = %self, "request failed"),
            _ => {}
        }
    }
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response<Body> {
        self.log();
        let (status, ..) = self.row();
        let field = self.field(status);
        let mut response = status.into_response();
        response.headers_mut().extend(field);
        response.extensions_mut().insert(self.problem());
        response
    }
}

/// What is told of a batch's transfer that was refused.
pub(crate) fn refusal(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Rejected(rejection) => {
            let (rejection, request_id) = (*rejection, Box::default());
            let problem = AppError::Rejected { rejection, request_id, replayed: false }.problem();
            Problem { first_told: None, ..problem }
        }
        Refusal::Forbidden => AppError::Forbidden("The debit account belongs to another user.").problem(),
        Refusal::Aborted => Problem {
            status: StatusCode::FAILED_DEPENDENCY,
            code: "batch_aborted",
            title: "Batch aborted",
            detail: "The batch is atomic, and another of its transfers was refused.".into(),
            errors: Vec::new(),
            first_told: None,
            results: None,
        },
    }
}

#[rustfmt::skip] // one line a row
fn rejection_row(rejection: &Rejection) -> (StatusCode, &'static str, &'static str) {
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

impl From<StoreError> for AppError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) => Self::Internal(error.to_string()),
            StoreError::Unavailable(_)
            | StoreError::Schema(_)
            | StoreError::InUse(_)
            | StoreError::Unfit(_)
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

/// The services that are used here hash passwords and sign tokens; both fail by a fault only.
impl From<ServiceError> for AppError {
    fn from(error: ServiceError) -> Self {
        Self::Internal(error.to_string())
    }
}
