//! What a body says about a transfer to be made.

use std::fmt::Display;

use serde::Deserialize;

use crate::api::AppError;
use crate::models::{AccountId, Amount, Currencies, Hold, Terms};
use crate::services::transfers::Order;
use crate::web::invalid::{FieldError, Invalid, Pointer};
use crate::web::json::{JsonObject, Text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderBody<'a> {
    debit_account: AccountId,
    credit_account: AccountId,
    amount: Amount,
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(default)]
    metadata: Option<JsonObject>,
    #[serde(borrow, default)]
    reference: Option<Text<'a>>,
    #[serde(default)]
    pending: Option<bool>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
}

/// Every flaw of an order at once, then the currency, which has a code of its own. `at` says where the order stands in
/// the body; it is asked of an order with a flaw only, since a batch has thousands without.
pub(crate) fn checked(
    order: OrderBody<'_>,
    currencies: &Currencies,
    at: impl FnOnce() -> Pointer,
) -> Result<Order, AppError> {
    let description = order.description.as_deref().map(str::parse).transpose();
    let reference = order.reference.as_deref().map(str::parse).transpose();
    let hold = hold(order.pending, order.timeout_seconds);
    let (description, reference, hold) = match (description, reference, hold) {
        (Ok(description), Ok(reference), Ok(hold)) => (description, reference, hold),
        (description, reference, hold) => {
            let flaws = [
                ("description", text(description.err())),
                ("reference", text(reference.err())),
                ("timeout_seconds", text(hold.err())),
            ];
            return Err(refused(&at(), flaws));
        }
    };
    let currency = currencies.known(&order.currency).map_err(|_| AppError::CurrencyUnknown(at()))?;
    Ok(Order {
        terms: Terms {
            debit_account: order.debit_account,
            credit_account: order.credit_account,
            amount: order.amount,
            currency,
            description,
            // Sorted, so that the order of members does not tell two uses of a key apart.
            metadata: order.metadata.map(|object| object.to_sorted_string().into()),
            reference,
        },
        hold,
    })
}

fn hold(pending: Option<bool>, timeout_s: Option<u32>) -> Result<Option<Hold>, &'static str> {
    match (pending == Some(true), timeout_s) {
        (false, Some(_)) => Err("must not be set unless pending is true"),
        (true, Some(0)) => Err("must be at least 1"),
        (pending, timeout_s) => Ok(pending.then_some(Hold { timeout_s })),
    }
}

fn text(flaw: Option<impl Display>) -> Option<String> {
    flaw.map(|flaw| flaw.to_string())
}

fn refused(at: &Pointer, flaws: [(&str, Option<String>); 3]) -> AppError {
    let error =
        |(member, flaw): (&str, Option<String>)| Some(FieldError::new(at.clone().member(member), flaw?));
    Invalid { errors: flaws.into_iter().filter_map(error).collect() }.into()
}
