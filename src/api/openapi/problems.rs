//! An occurrence of each problem, from which the document has status, title, an example and the header fields.

use http::HeaderValue;

use crate::api::AppError;
use crate::api::error::refusal_problem;
use crate::api::transfers::batch_refused;
use crate::models::posting::{Refusal, Rejection, Side};
use crate::models::{Amount, Currency, Money, TransferStatus};
use crate::web::invalid::{Invalid, Pointer};
use crate::web::problem::Problem;

/// The bounds that examples name, in bytes: the defaults.
const BODY_BYTES: usize = 65_536;
const TARGET_BYTES: usize = 8_192;

/// One problem of each code.
pub(super) fn occurrences() -> Vec<Problem> {
    let of_requests = of_requests().into_iter().map(AppError::into_problem);
    let of_ledger = of_ledger().into_iter().map(|rejection| refusal_problem(&Refusal::Rejected(rejection)));
    of_requests.chain(of_ledger).chain([batch_refused(), refusal_problem(&Refusal::Aborted)]).collect()
}

fn of_requests() -> Vec<AppError> {
    use AppError as E;
    vec![
        E::InvalidJson("expected `,` or `}` at line 1 column 24".into()),
        E::IdempotencyKeyMissing,
        E::Unauthenticated { presented: false },
        E::Forbidden("The account belongs to another user."),
        E::NotFound,
        E::MethodNotAllowed { allow: HeaderValue::from_static("GET, HEAD, OPTIONS") },
        E::NotAcceptable,
        E::BodyTimeout,
        E::UsernameTaken,
        E::PayloadTooLarge(BODY_BYTES),
        E::UriTooLong(TARGET_BYTES),
        E::UnsupportedMediaType,
        E::ExpectationFailed,
        E::Invalid(Invalid::member("amount", "is required")),
        E::IdempotencyKeyReused,
        E::CurrencyUnknown(Pointer::root()),
        E::UserNotFound,
        E::UpgradeRequired,
        E::TooManyRequests { retry_after_s: 1 },
        E::HeadersTooLarge,
        E::Internal(String::new()),
        E::NotImplemented("No method is that long."),
        E::Overloaded("Too many commands wait for the ledger."),
        E::StoreUnavailable(String::new()),
    ]
}

fn of_ledger() -> Vec<Rejection> {
    use Rejection as R;
    vec![
        R::SameAccount,
        R::AccountNotFound { side: Side::Credit },
        R::CurrencyMismatch { side: Side::Credit, currency: currency() },
        R::InsufficientFunds { available: Money::ZERO },
        R::BalanceOverflow { side: Side::Credit },
        R::TransferNotPending { status: TransferStatus::Voided },
        R::AmountExceedsPending { pending: amount() },
        R::TransferNotPosted { status: TransferStatus::Pending },
        R::NotReversible,
        R::AlreadyReversed,
    ]
}

fn currency() -> Currency {
    "USD".parse().expect("three upper-case letters are a code")
}

fn amount() -> Amount {
    Amount::new(1_250).expect("1,250 is within 1 to 2^53 - 1")
}
