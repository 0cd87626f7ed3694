//! What became of transfers, in the words by which they are counted: the codes of problems where the ledger says no.

use crate::models::TransferStatus;
use crate::models::posting::{BatchOutcome, Outcome, Refusal, Rejection};

/// Every result that there is.
pub const RESULTS: [&str; 20] = [
    "posted",
    "pending",
    "voided",
    "expired",
    "replayed",
    "same_account",
    "account_not_found",
    "currency_mismatch",
    "insufficient_funds",
    "balance_overflow",
    "transfer_not_pending",
    "amount_exceeds_pending",
    "transfer_not_posted",
    "not_reversible",
    "already_reversed",
    "not_found",
    "forbidden",
    "idempotency_key_reused",
    "batch_aborted",
    "internal",
];

/// Tells the result of each transfer that an outcome is about; none for what is about users and accounts.
pub(super) fn each(outcome: &Outcome, mut tell: impl FnMut(&'static str)) {
    match outcome {
        Outcome::Registered(_) | Outcome::UsernameTaken | Outcome::Opened(_) | Outcome::OwnerNotFound => {}
        Outcome::Transferred { replayed: true, .. }
        | Outcome::Rejected { replayed: true, .. }
        | Outcome::Batch { replayed: true, .. } => tell("replayed"),
        Outcome::Transferred { transfer, .. } => tell(standing(transfer.status)),
        Outcome::Rejected { rejection, .. } => tell(rejected(*rejection)),
        Outcome::Batch { batch, .. } => of_batch(batch, tell),
        Outcome::Expired(count) => (0..*count).for_each(|_| tell("expired")),
        Outcome::NotFound => tell("not_found"),
        Outcome::Forbidden => tell("forbidden"),
        Outcome::KeyReused => tell("idempotency_key_reused"),
        Outcome::KeyDamaged => tell("internal"),
    }
}

fn of_batch(batch: &BatchOutcome, tell: impl FnMut(&'static str)) {
    let results = batch.items.iter().map(|item| match item {
        Ok(transfer) => standing(transfer.status),
        Err(Refusal::Rejected(rejection)) => rejected(*rejection),
        Err(Refusal::Forbidden) => "forbidden",
        Err(Refusal::Aborted) => "batch_aborted",
    });
    results.for_each(tell);
}

const fn standing(status: TransferStatus) -> &'static str {
    match status {
        TransferStatus::Pending => "pending",
        TransferStatus::Posted => "posted",
        TransferStatus::Voided => "voided",
        TransferStatus::Expired => "expired",
    }
}

const fn rejected(rejection: Rejection) -> &'static str {
    match rejection {
        Rejection::SameAccount => "same_account",
        Rejection::AccountNotFound { .. } => "account_not_found",
        Rejection::CurrencyMismatch { .. } => "currency_mismatch",
        Rejection::InsufficientFunds { .. } => "insufficient_funds",
        Rejection::BalanceOverflow { .. } => "balance_overflow",
        Rejection::TransferNotPending { .. } => "transfer_not_pending",
        Rejection::AmountExceedsPending { .. } => "amount_exceeds_pending",
        Rejection::TransferNotPosted { .. } => "transfer_not_posted",
        Rejection::NotReversible => "not_reversible",
        Rejection::AlreadyReversed => "already_reversed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_that_is_told_is_listed() {
        let items = vec![
            Err(Refusal::Forbidden),
            Err(Refusal::Aborted),
            Err(Rejection::SameAccount.into()),
            Err(Rejection::AlreadyReversed.into()),
        ];
        let batch = BatchOutcome { items, aborted: false, request_id: "r".into() }.into();
        let outcomes = [
            Outcome::NotFound,
            Outcome::Forbidden,
            Outcome::KeyReused,
            Outcome::Expired(2),
            Outcome::Rejected { rejection: Rejection::NotReversible, request_id: "r".into(), replayed: true },
            Outcome::Batch { batch, replayed: false },
            Outcome::UsernameTaken,
        ];
        let mut told = Vec::new();
        for outcome in &outcomes {
            each(outcome, |result| told.push(result));
        }
        let of_batch = ["forbidden", "batch_aborted", "same_account", "already_reversed"];
        let alone = ["not_found", "forbidden", "idempotency_key_reused", "expired", "expired", "replayed"];
        assert_eq!(told, [&alone[..], &of_batch].concat());
        assert!(told.iter().all(|result| RESULTS.contains(result)), "{told:?}");
    }
}
