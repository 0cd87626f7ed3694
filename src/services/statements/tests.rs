//! What the tests of documents are about: an account of alice's with a balance of 1,000 cents, and its entries.

use uuid::Uuid;

use super::{Heading, Period};
use crate::models::{Account, AccountId, Money, Role, Timestamp, TransferId, User, UserId};
use crate::store::statements::Line;

pub(super) const OPENING: i64 = 1_000;

pub(super) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The heading of January; its closing balance is that after [`line`]s of +500 and −200.
pub(super) fn heading() -> Heading {
    let (owner, created_at) = (UserId::from_uuid(Uuid::from_u128(1)), time("2025-11-03T08:00:00Z"));
    let account = AccountId::from_uuid(Uuid::from_u128(0x0199_0f7e_8a52_7c3a_9f10_3d2f_6a1b_4c5d));
    let name = Some("Housekeeping".parse().unwrap());
    let currency = "EUR".parse().unwrap();
    Heading {
        account: Account::opened(account, owner, name, currency, Some(Money::ZERO), created_at),
        owner: User { id: owner, username: "alice".parse().unwrap(), role: Role::User, created_at },
        period: Period::new(time("2026-01-01T00:00:00Z"), time("2026-02-01T00:00:00Z")).unwrap(),
        opening: Money::new(OPENING).unwrap(),
        closing: Money::new(OPENING + 300).unwrap(),
        issued_at: time("2026-02-01T09:30:12.345678Z"),
        decimals: 2,
    }
}

/// Entry `seq`, which changes the balance by `amount`; the first two of a statement give the right balance.
pub(super) fn line(seq: u64, amount: i64, description: &str) -> Line {
    let before = if seq == 1 { OPENING } else { OPENING + 500 };
    Line {
        seq,
        created_at: time("2026-01-05T10:20:30Z"),
        transfer_id: TransferId::from_uuid(Uuid::from_u128(seq.into())),
        counterparty: AccountId::from_uuid(Uuid::from_u128(0x0199_0f7e_1111_7c3a_9f10_0000_0000_0001)),
        description: Some(description.parse().unwrap()),
        reference: Some(format!("ref-{seq}").parse().unwrap()),
        amount: Money::new(amount).unwrap(),
        balance: Money::new(before + amount).unwrap(),
    }
}
