//! What a body says about a transfer to be made.

use serde::Deserialize;

use crate::api::AppError;
use crate::models::{AccountId, Amount, Currencies, Hold, Terms};
use crate::services::transfers::Order;
use crate::web::invalid::{Flaws, Pointer};
use crate::web::json::{JsonObject, Text};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrderBody<'a> {
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

/// Every flaw of an order at once, then the currency, which has a code of its own. `at` is where the order stands in
/// the body.
pub(super) fn checked(order: OrderBody<'_>, currencies: &Currencies, at: Pointer) -> Result<Order, AppError> {
    let mut flaws = Flaws::of(at.clone());
    let description = flaws.optional("description", order.description.as_deref().map(str::parse));
    let reference = flaws.optional("reference", order.reference.as_deref().map(str::parse));
    let pending = order.pending == Some(true);
    match order.timeout_seconds {
        Some(_) if !pending => flaws.note("timeout_seconds", "must not be set unless pending is true"),
        Some(0) => flaws.note("timeout_seconds", "must be at least 1"),
        Some(_) | None => {}
    }
    flaws.none()?;
    let currency = currencies.known(&order.currency).map_err(|_| AppError::CurrencyUnknown(at))?;
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
        hold: pending.then_some(Hold { timeout_s: order.timeout_seconds }),
    })
}
