//! What was acknowledged is there after every kind of end.

use ringledger::models::posting::{Command, Outcome};
use ringledger::services::audit::audit;

use crate::store::ledger::{Ledger, OPERATOR, euros, replay_of};

pub(crate) fn what_was_committed_outlives_a_writer_that_was_not_closed(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let alice = ledger.user("alice");
    for round in 1..=5 {
        let request = ledger.request(OPERATOR, &format!("round-{round}"), euros(bank, purse, 7));
        let rejected = ledger.request(OPERATOR, &format!("poor-{round}"), euros(purse, bank, 1_000));
        let requests = [request, rejected];
        let outcomes = ledger.commit(&requests.clone().map(Command::Transfer));
        let (head, accounts) = (ledger.head(), ledger.accounts());

        ledger = ledger.abandoned();
        assert_eq!((ledger.head(), ledger.accounts()), (head, accounts));
        audit(&ledger.store.audit().unwrap(), Some((head.seq, head.hash)), |_| ()).unwrap();
        let again = requests.map(|request| Command::Transfer(ledger.again(&request)));
        assert_eq!(ledger.commit(&again), outcomes.iter().map(replay_of).collect::<Vec<_>>());
    }
    assert_eq!(ledger.balance(purse), 35);
    assert!(ledger.read(ledger.reader.user(alice.id)).is_some());
}

pub(crate) fn opening_again_changes_nothing(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 7);
    let before = (ledger.audit(), ledger.accounts(), ledger.entries(purse));
    for _ in 0..3 {
        ledger = ledger.reopened();
        assert_eq!((ledger.audit(), ledger.accounts(), ledger.entries(purse)), before);
    }
    // The first migration made the operator, and no later opening made another.
    let second = ledger.registration("operator");
    assert_eq!(ledger.decide(second), Outcome::UsernameTaken);
}
