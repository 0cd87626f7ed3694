//! Reversals: money moves back once, and both transfers tell of it.

use super::*;

#[test]
fn a_reversal_is_linked_both_ways() {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "pay", item(1, 0, 2, 10))));
    let back = accepted(books.decide(&reverse(as_user(1), "back", 1, 2)));
    assert_eq!((back.status, back.posted_amount), (TransferStatus::Posted, Some(amount(10))));
    assert_eq!((back.terms.debit_account, back.terms.credit_account), (account_id(2), account_id(0)));
    assert_eq!((back.reverses, back.reversed_by), (Some(transfer_id(1)), None));
    let original = &books.transfers[&transfer_id(1)];
    assert_eq!((original.status, original.reversed_by), (TransferStatus::Posted, Some(transfer_id(2))));
    assert_eq!((books.funds(0), books.funds(2)), ((0, 0), (0, 0)));
}

#[test]
fn a_posted_hold_gives_back_what_was_posted() {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "hold", held_item(1, 0, 2, 10, Some(5)))));
    accepted(books.decide(&post(as_user(0), "post", 1, Some(7))));
    // Its time limit has no say any more.
    let mut books = books.committed(at(100));
    let back = accepted(books.decide(&reverse(as_user(1), "back", 1, 2)));
    assert_eq!(back.terms.amount, amount(7));
    assert_eq!((books.funds(0), books.funds(2)), ((0, 0), (0, 0)));
}

#[test]
fn what_has_moved_no_money_is_not_reversed() {
    let mut books = books_with_accounts(genesis(), at(1));
    for (id, timeout_s) in [(1, None), (2, Some(5)), (3, Some(5)), (4, None)] {
        let hold = held_item(id, 0, 2, 10, timeout_s);
        accepted(books.decide(&transfer(as_user(0), &format!("hold-{id}"), hold)));
    }
    accepted(books.decide(&void(as_user(0), "void", 4)));
    let mut books = books.committed(at(6));
    // Due before the sweep, then swept.
    let mut told = vec![rejection(books.decide(&reverse(as_user(1), "due", 2, 9)))];
    books.decide(&expire(10));
    for of in [1, 3, 4] {
        told.push(rejection(books.decide(&reverse(as_user(1), &format!("back-{of}"), of, 9))));
    }
    let unposted = |status| Rejection::TransferNotPosted { status };
    let expired = unposted(TransferStatus::Expired);
    assert_eq!(told, [expired, unposted(TransferStatus::Pending), expired, unposted(TransferStatus::Voided)]);
}

#[test]
fn the_payee_must_be_able_to_pay() {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "pay", item(1, 0, 2, 10))));
    accepted(books.decide(&transfer(as_user(1), "hold", held_item(2, 2, 3, 1, None))));
    let poor = Rejection::InsufficientFunds { available: money(9) };
    assert_eq!(rejection(books.decide(&reverse(as_user(1), "poor", 1, 3))), poor);
    assert_eq!(books.transfers[&transfer_id(1)].reversed_by, None);
    // Not even an operator moves what a hold has.
    assert_eq!(rejection(books.decide(&reverse(as_operator(0), "force", 1, 3))), poor);
    accepted(books.decide(&void(as_user(1), "void", 2)));
    accepted(books.decide(&reverse(as_operator(0), "now", 1, 4)));
}

#[test]
fn a_transfer_is_reversed_once_and_a_reversal_never() {
    let mut books = books_with_accounts(genesis(), at(1));
    books.fund(2, 100);
    accepted(books.decide(&transfer(as_user(0), "pay", item(1, 0, 2, 10))));
    accepted(books.decide(&reverse(as_user(1), "back", 1, 2)));
    assert_eq!(rejection(books.decide(&reverse(as_user(1), "twice", 1, 3))), Rejection::AlreadyReversed);
    assert_eq!(rejection(books.decide(&reverse(as_user(0), "and-back", 2, 4))), Rejection::NotReversible);
    assert_eq!(books.funds(2), (100, 0));
}
