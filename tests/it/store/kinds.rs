//! A ledger with every kind of event, written past the rule of posting: its events are made by hand, and what follows
//! from them is derived.

use ringledger::models::event::{ChainHash, Creation};
use ringledger::models::posting::LoggedEvent;
use ringledger::models::replay::Replay;
use ringledger::models::{
    Account, AccountId, Amount, Event, EventKind, Fingerprint, Head, Money, Timestamp, TransferId,
};
use ringledger::store::Store;
use ringledger::store::audit::KeptKey;
use uuid::Uuid;

use super::ledger::{OPERATOR, euros, key_of, second};

/// How many events there are.
pub(crate) const EVENTS: u64 = 10;
/// How many accounts.
pub(crate) const ACCOUNTS: u64 = 3;

const BANK: AccountId = account_id(1);
const PURSE: AccountId = account_id(2);
const OTHER: AccountId = account_id(3);

const fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0100 + n))
}

/// The transfer that the event with this number made.
pub(crate) const fn transfer_id(seq: u64) -> TransferId {
    TransferId::from_uuid(Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0200 + seq as u128))
}

/// Whether money is held at first.
#[derive(Clone, Copy)]
enum Waits {
    No,
    Forever,
    Until(Timestamp),
}

fn creation((debit, credit): (AccountId, AccountId), amount: i64, waits: Waits, key: &str) -> Creation {
    let mut terms = euros(debit, credit, amount);
    terms.description = Some("Grüße \"…\" \\".parse().unwrap());
    terms.metadata = Some(r#"{"order":"4711","rate":1.50}"#.into());
    Creation {
        terms,
        pending: !matches!(waits, Waits::No),
        expires_at: match waits {
            Waits::Until(limit) => Some(limit),
            Waits::No | Waits::Forever => None,
        },
        created_by: OPERATOR.id,
        idempotency_key: key_of(key),
    }
}

/// A hold posted in part, one voided, one expired, a transfer that was reversed, an open hold, and a plain transfer.
/// Each event is a second after the one before.
fn history() -> Vec<(u64, EventKind)> {
    let to_purse = |amount, waits, key| EventKind::Created(creation((BANK, PURSE), amount, waits, key));
    vec![
        (1, to_purse(100, Waits::Forever, "held")),
        (1, EventKind::Posted { amount: Amount::new(60).unwrap() }),
        (3, to_purse(50, Waits::Until(second(1_000)), "given-up")),
        (3, EventKind::Voided),
        (5, to_purse(40, Waits::Until(second(6)), "late")),
        (5, EventKind::Expired),
        (7, EventKind::Created(creation((PURSE, OTHER), 20, Waits::No, "wrong"))),
        (
            8,
            EventKind::Reversed {
                creation: creation((OTHER, PURSE), 20, Waits::No, "back"),
                reverses: transfer_id(7),
            },
        ),
        (9, to_purse(7, Waits::Until(second(1_000)), "open")),
        (10, EventKind::Created(creation((PURSE, OTHER), 5, Waits::No, "plain"))),
    ]
}

/// The keys: those of creations, and those of the post and of the void.
fn key(event: &Event) -> Option<KeptKey> {
    let (key, fingerprint) = match &event.kind {
        EventKind::Created(creation) | EventKind::Reversed { creation, .. } => {
            (creation.idempotency_key.clone(), Fingerprint::of_transfer(&creation.terms))
        }
        EventKind::Posted { .. } => (key_of("post"), Fingerprint::from_bytes([1; 32])),
        EventKind::Voided => (key_of("void"), Fingerprint::from_bytes([2; 32])),
        EventKind::Expired => return None,
    };
    Some(KeptKey {
        user_id: OPERATOR.id,
        key,
        fingerprint,
        used_at: event.at,
        seq: Some(event.seq),
        outcome: None,
    })
}

/// Writes the ledger into an empty store.
pub(crate) fn write(store: &Store) {
    let importer = store.importer().unwrap();
    let euros = "EUR".parse().unwrap();
    let accounts = [(BANK, None), (PURSE, Some(Money::ZERO)), (OTHER, Some(Money::ZERO))]
        .map(|(id, least)| Account::opened(id, OPERATOR.id, None, euros, least, second(0)));
    importer.save_accounts(&accounts).unwrap();
    let mut replay = Replay::default();
    for account in accounts {
        replay.load_account(account);
    }
    let (mut hash, mut logged, mut keys, mut at) = (ChainHash::default(), Vec::new(), Vec::new(), second(0));
    for (seq, (transfer, kind)) in (1..).zip(history()) {
        at = second(i64::try_from(seq).unwrap());
        let event = Event { seq, at, transfer_id: transfer_id(transfer), kind };
        replay.apply(&event).unwrap();
        keys.extend(key(&event));
        let body = event.encode();
        hash = hash.next(&body);
        logged.push(LoggedEvent { seq, body, hash });
    }
    importer.save_events(&logged, &replay.into_changes()).unwrap();
    importer.save_keys(&keys).unwrap();
    importer.save_head(Head { seq: EVENTS, hash, at }).unwrap();
    importer.commit().unwrap();
}
