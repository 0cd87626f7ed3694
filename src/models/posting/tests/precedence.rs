//! Which of several reasons against a command is told: the order of the module's documentation.

use super::*;

fn pending_of(status: TransferStatus) -> Rejection {
    Rejection::TransferNotPending { status }
}

fn posted_of(status: TransferStatus) -> Rejection {
    Rejection::TransferNotPosted { status }
}

#[test]
fn of_a_transfer() {
    let mut books = books_with_accounts(genesis(), at(1));
    let mut judge = |key, item| books.decide(&transfer(as_user(0), key, item));
    let found = |side| Rejection::AccountNotFound { side };
    let mismatch = |side| Rejection::CurrencyMismatch { side, currency: "JPY".parse().unwrap() };
    assert_eq!(rejection(judge("a", item(1, 9, 9, 1))), Rejection::SameAccount);
    assert_eq!(rejection(judge("b", item(2, 9, 8, 1))), found(Side::Debit));
    assert_eq!(judge("c", item(3, 2, 9, 1)), Outcome::Forbidden);
    assert_eq!(rejection(judge("d", item(4, 0, 9, 1))), found(Side::Credit));
    assert_eq!(rejection(judge("e", item(5, 1, 4, 1))), mismatch(Side::Credit));
    let poor = Rejection::InsufficientFunds { available: Money::ZERO };
    assert_eq!(rejection(judge("f", item(6, 1, 2, 1))), poor);
    // A key that was refused without a decision is still free; a decided one is not.
    accepted(judge("c", item(7, 0, 2, 1)));
    assert_eq!(judge("f", item(8, 0, 2, 1)), Outcome::KeyReused);
    let request_id = request_id("f");
    assert_eq!(
        judge("f", item(9, 1, 2, 1)),
        Outcome::Rejected { rejection: poor, request_id, replayed: true }
    );
}

#[test]
fn a_currency_is_told_of_the_debit_side_first_and_before_any_money() {
    let mut books = books_with_accounts(genesis(), at(1));
    let mut terms = item(1, 1, 2, 1);
    terms.terms.currency = "JPY".parse().unwrap();
    let mismatch = Rejection::CurrencyMismatch { side: Side::Debit, currency: "EUR".parse().unwrap() };
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "a", terms))), mismatch);
}

#[test]
fn want_of_funds_is_told_before_an_overflow_and_the_debit_side_first() {
    let mut books = books_with_accounts(genesis(), at(1));
    let most = crate::models::money::MAX_MINOR_UNITS;
    books.fund(2, most);
    // 1 has nothing and 2 can take nothing.
    let poor = Rejection::InsufficientFunds { available: Money::ZERO };
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "a", item(1, 1, 2, 1)))), poor);
    let overflow = Rejection::BalanceOverflow { side: Side::Debit };
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "b", item(2, 0, 2, 1)))), overflow);
}

#[test]
fn of_a_post_or_void() {
    let mut books = books_with_accounts(genesis(), at(1));
    books.decide(&transfer(as_user(0), "hold", held_item(1, 0, 2, 10, None)));
    books.decide(&transfer(as_user(0), "over", held_item(2, 0, 2, 10, None)));
    books.decide(&void(as_user(0), "end", 2));
    let ended = pending_of(TransferStatus::Voided);
    for decision in [HoldDecision::Post(Some(amount(11))), HoldDecision::Void] {
        let mut judge = |of| books.decide(&resolve(as_user(1), "free", of, decision));
        assert_eq!(judge(99), Outcome::NotFound, "{decision:?}");
        // Whose it is comes before whether it is pending, and both before how much it is.
        assert_eq!(judge(2), Outcome::Forbidden, "{decision:?}");
        assert_eq!(judge(1), Outcome::Forbidden, "{decision:?}");
    }
    assert_eq!(rejection(books.decide(&post(as_user(0), "a", 2, Some(11)))), ended);
    assert_eq!(rejection(books.decide(&void(as_user(0), "b", 2))), ended);
    let too_much = Rejection::AmountExceedsPending { pending: amount(10) };
    assert_eq!(rejection(books.decide(&post(as_user(0), "c", 1, Some(11)))), too_much);
    // Another use of a key that was decided comes before all of it, and one that was only refused is free.
    assert_eq!(books.decide(&post(as_user(0), "c", 99, None)), Outcome::KeyReused);
    let poor = Rejection::InsufficientFunds { available: Money::ZERO };
    assert_eq!(rejection(books.decide(&transfer(as_user(1), "free", item(3, 2, 0, 1)))), poor);
}

#[test]
fn an_excess_is_told_before_an_overflow() {
    let mut books = books_with_accounts(genesis(), at(1));
    let most = crate::models::money::MAX_MINOR_UNITS;
    books.decide(&transfer(as_user(0), "hold", held_item(1, 0, 2, 10, None)));
    books.decide(&transfer(as_operator(0), "fill", item(2, 0, 2, most - 10)));
    let mut bank = books.account(3).clone();
    (bank.id, bank.min_balance) = (account_id(7), None);
    books.load_account(bank);
    accepted(books.decide(&transfer(as_user(1), "full", item(3, 7, 2, 10))));
    let too_much = Rejection::AmountExceedsPending { pending: amount(10) };
    assert_eq!(rejection(books.decide(&post(as_user(0), "a", 1, Some(11)))), too_much);
    let overflow = Rejection::BalanceOverflow { side: Side::Credit };
    assert_eq!(rejection(books.decide(&post(as_user(0), "b", 1, None))), overflow);
}

#[test]
fn of_a_reversal() {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "pay", item(1, 0, 2, 10))));
    accepted(books.decide(&transfer(as_user(0), "hold", held_item(2, 0, 2, 10, None))));
    let mut judge = |actor, key: &str, of| books.decide(&reverse(actor, key, of, 50));
    assert_eq!(judge(as_user(0), "free", 99), Outcome::NotFound);
    // The payee gives back, not the payer; and whose it is comes before where it stands.
    assert_eq!(judge(as_user(0), "free", 1), Outcome::Forbidden);
    assert_eq!(judge(as_user(0), "free", 2), Outcome::Forbidden);
    assert_eq!(rejection(judge(as_user(1), "a", 2)), posted_of(TransferStatus::Pending));
    accepted(judge(as_user(1), "back", 1));
    assert_eq!(rejection(judge(as_user(0), "b", 50)), Rejection::NotReversible);
    // Already reversed comes before the money, of which there is none left.
    assert_eq!(rejection(judge(as_user(1), "c", 1)), Rejection::AlreadyReversed);
    assert_eq!(judge(as_user(1), "c", 99), Outcome::KeyReused);
}

#[test]
fn of_the_items_of_a_batch() {
    let mut books = books_with_accounts(genesis(), at(1));
    let items = vec![
        item(1, 9, 9, 1),
        item(2, 9, 8, 1),
        item(3, 2, 9, 1),
        item(4, 0, 9, 1),
        item(5, 1, 4, 1),
        item(6, 1, 2, 1),
        item(7, 0, 1, 1),
    ];
    let found = |side| Refusal::from(Rejection::AccountNotFound { side });
    let refused = [
        Rejection::SameAccount.into(),
        found(Side::Debit),
        Refusal::Forbidden,
        found(Side::Credit),
        Rejection::CurrencyMismatch { side: Side::Credit, currency: "JPY".parse().unwrap() }.into(),
        Rejection::InsufficientFunds { available: Money::ZERO }.into(),
    ];
    for atomic in [true, false] {
        let key = format!("batch-{atomic}");
        let told = judged(books.decide(&batch(as_user(0), &key, atomic, items.clone())));
        assert_eq!(told.items.iter().flat_map(Result::as_ref).count(), usize::from(!atomic));
        let refusals: Vec<_> = told.items.iter().filter_map(|item| item.clone().err()).collect();
        assert_eq!(refusals[..6], refused);
        assert_eq!(refusals.get(6), atomic.then_some(&Refusal::Aborted));
        assert_eq!((told.aborted, told.request_id), (atomic, request_id(&key)));
        // It was decided, whatever was decided: the key is used.
        let other = batch(as_user(0), &key, atomic, vec![item(8, 0, 1, 1)]);
        assert_eq!(books.decide(&other), Outcome::KeyReused);
    }
}
