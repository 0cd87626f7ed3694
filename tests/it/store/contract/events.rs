//! The log as the feed of events reads it.

use ringledger::models::posting::Command;
use ringledger::models::{EventKind, TransferId};
use uuid::Uuid;

use crate::store::ledger::{ALL, Ledger, NOWHERE, posted, second};

pub(crate) fn the_log_is_read_in_pages_from_any_place(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    assert_eq!(ledger.read(ledger.reader.events(0, ALL)), []);
    ledger.clock = second(7);
    let batch: Vec<_> = (0..5).map(|_| Command::Transfer(ledger.payment(bank, purse, 3))).collect();
    let made: Vec<_> = ledger.commit(&batch).into_iter().map(posted).collect();
    let events = ledger.read(ledger.reader.events(0, ALL));
    for (transfer, event) in made.iter().zip(&events) {
        assert_eq!((event.seq, event.at, event.transfer_id), (transfer.seq, second(7), transfer.id));
        assert!(matches!(event.kind, EventKind::Created(_)));
        assert_eq!(event.transfer_after(transfer), **transfer);
    }
    for (after, limit, expected) in [
        (0, 2, 0..2),
        (2, 2, 2..4),
        (4, 2, 4..5),
        (5, 2, 5..5),
        (u64::MAX, 2, 5..5),
        (i64::MAX as u64, 2, 5..5),
        (0, 0, 0..0),
    ] {
        let page = ledger.read(ledger.reader.events(after, limit));
        assert_eq!(page, events[expected], "{limit} behind {after}");
    }
}

pub(crate) fn transfers_and_owners_are_found_for_many_at_once(mut ledger: Ledger) {
    let owner = ledger.user("ada");
    let (bank, purse) = (ledger.bank(), ledger.purse_of(owner));
    let made = [ledger.pay(bank, purse, 1), ledger.pay(bank, purse, 2)];
    let unknown = TransferId::from_uuid(Uuid::nil());
    let mut found = ledger.read(ledger.reader.transfers_by_id(&[made[1].id, unknown, made[0].id]));
    found.sort_by_key(|transfer| transfer.seq);
    assert_eq!(found, made.map(|transfer| (*transfer).clone()));
    assert_eq!(ledger.read(ledger.reader.transfers_by_id(&[])), []);

    let bankers = ledger.account(bank).owner;
    let mut owners = ledger.read(ledger.reader.owners(&[purse, NOWHERE, bank]));
    let mut expected = [(bank, bankers), (purse, owner.id)];
    owners.sort_unstable();
    expected.sort_unstable();
    assert_eq!(owners, expected);
}
