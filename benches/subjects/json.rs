//! A body of POST `/api/v1/transfers` and what it is decoded into.

use ringledger::models::{AccountId, Amount};
use ringledger::web::json::Text;
use serde::Deserialize;

/// One transfer, 201 bytes.
pub(crate) const TRANSFER: &str = concat!(
    r#"{"debit_account":"01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5d","#,
    r#""credit_account":"01990f7e-8a52-7c3a-9f10-3d2f6a1b4c5e","#,
    r#""amount":1999,"currency":"EUR","description":"Invoice 2026-0117","#,
    r#""reference":"2026-0117"}"#
);

/// The members that the API reads, with the types that it reads them into.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "decoded, never read")]
pub(crate) struct Order<'a> {
    debit_account: AccountId,
    credit_account: AccountId,
    amount: Amount,
    #[serde(borrow)]
    currency: Text<'a>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    reference: Option<Text<'a>>,
    #[serde(default)]
    pending: Option<bool>,
    #[serde(default)]
    timeout_seconds: Option<u32>,
}
