use uuid::Uuid;

use super::*;
use crate::models::{Timestamp, UserId};

const RESERVED: i64 = 100;

fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

fn transfer_id(n: u128) -> TransferId {
    TransferId::from_uuid(Uuid::from_u128(n))
}

fn creation(debit: u128, credit: u128, amount: i64, pending: bool) -> Creation {
    let terms = Terms {
        debit_account: account_id(debit),
        credit_account: account_id(credit),
        amount: Amount::new(amount).unwrap(),
        currency: "EUR".parse().unwrap(),
        description: None,
        metadata: None,
        reference: None,
    };
    let created_by = UserId::from_uuid(Uuid::nil());
    Creation { terms, pending, expires_at: None, created_by, idempotency_key: "k".parse().unwrap() }
}

/// An account of each currency, two of euros.
fn ledger() -> Replay {
    let mut replay = Replay::default();
    for (n, currency) in [(1, "EUR"), (2, "EUR"), (3, "USD")] {
        let owner = UserId::from_uuid(Uuid::nil());
        let currency = currency.parse().unwrap();
        replay.load_account(Account::opened(account_id(n), owner, None, currency, None, Timestamp::EPOCH));
    }
    replay
}

/// Applies events in order, each about the transfer of its number.
fn play(replay: &mut Replay, events: &[(u128, EventKind)]) -> Result<(), ReplayError> {
    (1..).zip(events).try_for_each(|(seq, (transfer, kind))| {
        let (transfer_id, kind) = (transfer_id(*transfer), kind.clone());
        replay.apply(&Event { seq, at: Timestamp::EPOCH, transfer_id, kind })
    })
}

fn held() -> (u128, EventKind) {
    (1, EventKind::Created(creation(1, 2, RESERVED, true)))
}

/// The same with a time limit.
fn limited(limit: Timestamp) -> (u128, EventKind) {
    let creation = Creation { expires_at: Some(limit), ..creation(1, 2, RESERVED, true) };
    (1, EventKind::Created(creation))
}

fn post(amount: i64) -> (u128, EventKind) {
    (1, EventKind::Posted { amount: Amount::new(amount).unwrap() })
}

fn reversal(of: u128, amount: i64) -> EventKind {
    EventKind::Reversed { creation: creation(2, 1, amount, false), reverses: transfer_id(of) }
}

/// Balance and sum held of the first account, status of the first transfer, and how many entries there are.
fn end_of(events: &[(u128, EventKind)]) -> (i64, i64, TransferStatus, usize) {
    let mut replay = ledger();
    play(&mut replay, events).unwrap();
    let changes = replay.into_changes();
    let account = changes.accounts.iter().find(|account| account.id == account_id(1)).unwrap();
    let status = changes.made[0].status;
    (account.balance.minor_units(), account.held.minor_units(), status, changes.entries.len())
}

#[test]
fn a_hold_reserves_until_it_ends() {
    use TransferStatus::{Expired, Pending, Posted, Voided};
    assert_eq!(end_of(&[held()]), (0, RESERVED, Pending, 0));
    assert_eq!(end_of(&[held(), post(RESERVED)]), (-RESERVED, 0, Posted, 2));
    assert_eq!(end_of(&[held(), post(30)]), (-30, 0, Posted, 2));
    assert_eq!(end_of(&[held(), (1, EventKind::Voided)]), (0, 0, Voided, 0));
    assert_eq!(end_of(&[limited(Timestamp::EPOCH), (1, EventKind::Expired)]), (0, 0, Expired, 0));
}

#[test]
fn a_reversal_moves_back_what_was_posted_and_links_both() {
    let mut replay = ledger();
    play(&mut replay, &[held(), post(30), (2, reversal(1, 30))]).unwrap();
    let changes = replay.into_changes();
    assert!(changes.accounts.iter().all(|account| account.balance == Money::ZERO));
    let [original, back] = changes.made.as_slice() else { panic!("{changes:?}") };
    assert_eq!((original.reversed_by, back.reverses), (Some(back.id), Some(original.id)));
    let seqs: Vec<u64> = changes.entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(seqs, [2, 2, 3, 3]);
}

#[test]
fn what_is_changed_from_before_is_told_apart_from_what_is_new() {
    let mut before = ledger();
    play(&mut before, &[held()]).unwrap();
    let changes = before.into_changes();
    let mut after = ledger();
    changes.accounts.into_iter().for_each(|account| after.load_account(account));
    changes.made.into_iter().for_each(|transfer| after.load_transfer(transfer));
    play(&mut after, &[post(RESERVED)]).unwrap();
    let changes = after.into_changes();
    assert_eq!((changes.made.len(), changes.changed.len()), (0, 1));
    assert_eq!(changes.changed[0].posted_amount, Amount::new(RESERVED).ok());
}

#[test]
fn events_that_no_ledger_made_are_refused() {
    let created = |debit, credit| (1, EventKind::Created(creation(debit, credit, 5, false)));
    let (early, late) = (Timestamp::EPOCH, Timestamp::from_micros(1).unwrap());
    let expiry = (1, EventKind::Expired);
    let again = EventKind::Reversed { creation: creation(1, 2, 5, false), reverses: transfer_id(2) };
    let cases: &[(&[(u128, EventKind)], ReplayError)] = &[
        (&[created(1, 9)], ReplayError::NoAccount(account_id(9))),
        (&[created(1, 1)], ReplayError::SameAccount(account_id(1))),
        (&[created(1, 3)], ReplayError::Currency(account_id(3))),
        (&[created(1, 2), created(1, 2)], ReplayError::Exists(transfer_id(1))),
        (&[post(5)], ReplayError::NoTransfer(transfer_id(1))),
        (&[created(1, 2), post(5)], ReplayError::NotPending(transfer_id(1))),
        (&[held(), post(RESERVED + 1)], ReplayError::BeyondReserved(transfer_id(1))),
        (&[held(), post(5), (1, EventKind::Voided)], ReplayError::NotPending(transfer_id(1))),
        (&[limited(early), expiry.clone(), post(5)], ReplayError::NotPending(transfer_id(1))),
        (&[limited(early), post(5)], ReplayError::Untimely(transfer_id(1))),
        (&[limited(early), (1, EventKind::Voided)], ReplayError::Untimely(transfer_id(1))),
        (&[limited(late), expiry.clone()], ReplayError::Untimely(transfer_id(1))),
        (&[held(), expiry.clone()], ReplayError::Untimely(transfer_id(1))),
        (&[held(), (2, reversal(1, RESERVED))], ReplayError::NotReversible(transfer_id(1))),
        (&[created(1, 2), (2, reversal(1, 4))], ReplayError::NotReversible(transfer_id(1))),
        (
            &[created(1, 2), (2, reversal(1, 5)), (3, reversal(1, 5))],
            ReplayError::NotReversible(transfer_id(1)),
        ),
        (&[(2, reversal(1, 5))], ReplayError::NoTransfer(transfer_id(1))),
        (&[created(1, 2), (2, reversal(1, 5)), (3, again)], ReplayError::NotReversible(transfer_id(2))),
    ];
    for (events, refusal) in cases {
        assert_eq!(play(&mut ledger(), events), Err(*refusal), "{events:?}");
    }
}

#[test]
fn sums_stay_in_range() {
    let most = crate::models::money::MAX_MINOR_UNITS;
    let hold = |n| (n, EventKind::Created(creation(1, 2, most, true)));
    assert_eq!(play(&mut ledger(), &[hold(1), hold(2)]), Err(ReplayError::Range(account_id(1))));
    let pay = |n| (n, EventKind::Created(creation(1, 2, most, false)));
    assert_eq!(play(&mut ledger(), &[pay(1), pay(2)]), Err(ReplayError::Range(account_id(1))));
}
