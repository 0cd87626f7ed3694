//! The ends of the range, ±(2^53 − 1).

use super::*;
use crate::models::money::MAX_MINOR_UNITS as MOST;

const DEBIT: Rejection = Rejection::BalanceOverflow { side: Side::Debit };
const CREDIT: Rejection = Rejection::BalanceOverflow { side: Side::Credit };

#[test]
fn a_hold_without_a_floor_ends_where_available_would_leave_the_range() {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "a", held_item(1, 0, 1, MOST - 1, None))));
    accepted(books.decide(&transfer(as_user(0), "b", item(2, 0, 1, 1))));
    assert_eq!((books.funds(0), books.account(0).available()), ((-1, MOST - 1), money(-MOST)));
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "c", held_item(3, 0, 1, 1, None)))), DEBIT);
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "d", item(4, 0, 1, 1)))), DEBIT);
    // What was held can be posted all the same.
    let posted = accepted(books.decide(&post(as_user(0), "e", 1, None)));
    assert_eq!(posted.posted_amount, Some(amount(MOST - 1)));
    assert_eq!((books.funds(0), books.funds(1)), ((-MOST, 0), (MOST, 0)));
}

#[test]
fn what_is_held_stays_in_range_itself() {
    let mut books = books_with_accounts(genesis(), at(1));
    // A second bank gives the first one all that there can be.
    let mut bank = books.account(0).clone();
    bank.id = account_id(7);
    books.load_account(bank);
    accepted(books.decide(&transfer(as_user(0), "fill", item(1, 7, 0, MOST))));
    accepted(books.decide(&transfer(as_user(0), "a", held_item(2, 0, 1, MOST, None))));
    assert_eq!((books.funds(0), books.account(0).available()), ((MOST, MOST), Money::ZERO));
    // Available could bear it.
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "b", held_item(3, 0, 1, 1, None)))), DEBIT);
    accepted(books.decide(&void(as_user(0), "c", 2)));
    accepted(books.decide(&transfer(as_user(0), "d", held_item(4, 0, 1, 1, None))));
}

#[test]
fn a_post_that_the_payee_cannot_take_leaves_the_hold_open() {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "hold", held_item(1, 0, 2, 10, None))));
    accepted(books.decide(&transfer(as_user(0), "fill", item(2, 0, 2, MOST - 10))));
    let mut bank = books.account(3).clone();
    (bank.id, bank.min_balance) = (account_id(7), None);
    books.load_account(bank);
    accepted(books.decide(&transfer(as_user(1), "more", item(3, 7, 2, 5))));
    assert_eq!(rejection(books.decide(&post(as_user(0), "a", 1, None))), CREDIT);
    assert_eq!((books.status(1), books.funds(0).1), (TransferStatus::Pending, 10));
    accepted(books.decide(&post(as_user(0), "b", 1, Some(5))));
    assert_eq!((books.funds(0), books.funds(2)), ((5 - MOST, 0), (MOST, 0)));
}

#[test]
fn a_reversal_that_the_payer_cannot_take_back_is_refused() {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "pay", item(1, 0, 1, 10))));
    let mut bank = books.account(0).clone();
    (bank.id, bank.balance) = (account_id(7), Money::ZERO);
    books.load_account(bank);
    accepted(books.decide(&transfer(as_user(0), "a", item(2, 7, 0, MOST))));
    accepted(books.decide(&transfer(as_user(0), "b", held_item(3, 0, 1, MOST, None))));
    // 0 has 2^53 - 11.
    accepted(books.decide(&reverse(as_user(0), "c", 1, 4)));
    assert_eq!(books.funds(0), (MOST, MOST));
    accepted(books.decide(&transfer(as_user(0), "d", item(5, 0, 2, 10))));
    let mut other = books.account(7).clone();
    (other.id, other.balance) = (account_id(8), Money::ZERO);
    books.load_account(other);
    accepted(books.decide(&transfer(as_user(0), "e", item(6, 8, 0, 1))));
    assert_eq!(rejection(books.decide(&reverse(as_user(1), "f", 5, 7))), CREDIT);
}

#[test]
fn items_of_a_batch_overflow_one_by_one() {
    let mut books = books_with_accounts(genesis(), at(1));
    let items = vec![held_item(1, 0, 1, MOST, None), held_item(2, 0, 1, 1, None), item(3, 0, 1, 1)];
    let told = judged(books.decide(&batch(as_user(0), "k", false, items.clone())));
    assert_eq!(told.items[1..], [const { Err(Refusal::Rejected(DEBIT)) }; 2]);
    assert_eq!(books.funds(0), (0, MOST));
    accepted(books.decide(&void(as_user(0), "void", 1)));
    judged(books.decide(&batch(as_user(0), "atomic", true, items)));
    assert_eq!(books.funds(0), (0, 0));
}

#[test]
fn the_longest_time_limit_is_a_time() {
    let mut books = books_with_accounts(genesis(), at(1));
    let hold = held_item(1, 0, 1, 1, Some(u32::MAX));
    let told = accepted(books.decide(&transfer(as_user(0), "k", hold)));
    assert_eq!(told.expires_at, Some(at(1 + i64::from(u32::MAX))));
}
