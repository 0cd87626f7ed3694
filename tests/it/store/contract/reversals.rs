//! Reversals: kept on both sides, and once.

use ringledger::models::posting::{Command, Outcome, Rejection, ReversalRequest};
use ringledger::models::{Amount, TransferStatus};

use crate::store::ledger::{Ledger, euros, money, posted, rejected};

pub(crate) fn a_reversal_is_linked_both_ways(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let paid = ledger.pay(bank, purse, 30);
    let hold = ledger.reserve(purse, bank, 20, Some(9));
    let post = ledger.posting(hold.id, Some(15));
    posted(ledger.decide(post));
    let mut ledger = ledger.reopened();
    ledger.pay(bank, purse, 100);
    for (original, amount) in [(paid.id, 30), (hold.id, 15)] {
        let request = ledger.reversal(original);
        let back = posted(ledger.decide(request));
        assert_eq!((back.reverses, back.reversed_by), (Some(original), None));
        assert_eq!(back.posted_amount.map(Amount::money), Some(money(amount)));
        ledger = ledger.reopened();
        assert_eq!(ledger.transfer(back.id), *back);
        let original = ledger.transfer(original);
        assert_eq!((original.status, original.reversed_by), (TransferStatus::Posted, Some(back.id)));
    }
    assert_eq!((ledger.funds(purse), ledger.funds(bank)), ((100, 0), (-100, 0)));
    ledger.audit();
}

pub(crate) fn a_transfer_is_reversed_once(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 100);
    let paid = ledger.pay(bank, purse, 30);
    // Two in one batch of commands, and later ones.
    let [first, second] = [ledger.reversal(paid.id), ledger.reversal(paid.id)];
    let back = first.id;
    let mut told = ledger.commit(&[first, second].map(Command::Reverse));
    assert_eq!(rejected(told.remove(1)), Rejection::AlreadyReversed);
    posted(told.remove(0));
    let mut ledger = ledger.reopened();
    let again = [ledger.reversal(paid.id), ledger.reversal(back)];
    let told: Vec<_> = ledger.commit(&again.map(Command::Reverse)).into_iter().map(rejected).collect();
    assert_eq!(told, [Rejection::AlreadyReversed, Rejection::NotReversible]);
    assert_eq!(ledger.balance(purse), 100);
    ledger.audit();
}

pub(crate) fn payees_and_operators_reverse(mut ledger: Ledger) {
    let (alice, bob) = (ledger.user("alice"), ledger.user("bob"));
    let (from, to, bank) = (ledger.purse_of(alice), ledger.purse_of(bob), ledger.bank());
    ledger.pay(bank, from, 10);
    let paid = ledger.pay(from, to, 10);
    let claim = ReversalRequest { actor: alice, ..ledger.reversal(paid.id) };
    assert_eq!(ledger.decide(claim), Outcome::Forbidden);
    // The money is gone, and comes again.
    let spent = ledger.request(bob, "spent", euros(to, bank, 1));
    let spent = posted(ledger.decide(spent));
    let poor = ReversalRequest { actor: bob, ..ledger.reversal(paid.id) };
    assert_eq!(rejected(ledger.decide(poor)), Rejection::InsufficientFunds { available: money(9) });
    let refund = ledger.reversal(spent.id);
    posted(ledger.decide(refund));
    let back = ReversalRequest { actor: bob, ..ledger.reversal(paid.id) };
    posted(ledger.decide(back));
    assert_eq!((ledger.balance(from), ledger.balance(to)), (10, 0));
    ledger.audit();
}
