//! Holds: what they reserve, and their four ends.

use super::*;

/// Account 1 has 100, of which a hold takes 60 for account 2. The hold is transfer 1 and ends at second 11.
fn with_a_hold() -> Books {
    let mut books = books_with_accounts(genesis(), at(1));
    books.fund(1, 100);
    accepted(books.decide(&transfer(as_user(0), "hold", held_item(1, 1, 2, 60, Some(10)))));
    books
}

#[test]
fn a_hold_takes_from_available_and_moves_nothing() {
    let mut books = with_a_hold();
    let held = &books.transfers[&transfer_id(1)];
    assert_eq!(
        (held.status, held.posted_amount, held.expires_at),
        (TransferStatus::Pending, None, Some(at(11)))
    );
    assert_eq!((books.funds(1), books.funds(2)), ((100, 60), (0, 0)));
    assert_eq!((books.account(1).version, books.account(2).version), (3, 1));
    assert_eq!(books.journal.entries.len(), 2, "those of the funding");
    let poor = Rejection::InsufficientFunds { available: money(40) };
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "a", item(2, 1, 2, 41)))), poor);
    assert_eq!(rejection(books.decide(&transfer(as_user(0), "b", held_item(3, 1, 2, 41, None)))), poor);
    accepted(books.decide(&transfer(as_user(0), "c", item(4, 1, 2, 40))));
    assert_eq!(books.account(1).available(), Money::ZERO);
}

#[test]
fn a_post_in_full_moves_what_was_held() {
    for (key, part) in [("all", None), ("the-same", Some(60))] {
        let mut books = with_a_hold();
        let told = accepted(books.decide(&post(as_user(0), key, 1, part)));
        assert_eq!((told.status, told.posted_amount), (TransferStatus::Posted, Some(amount(60))));
        assert_eq!(
            (told.seq, told.expires_at, books.journal.head.seq),
            (2, Some(at(11)), 3),
            "its first event"
        );
        assert_eq!((books.funds(1), books.funds(2)), ((40, 0), (60, 0)));
        // One change of each account, of balance and held together.
        assert_eq!((books.account(1).version, books.account(2).version), (4, 2));
    }
}

#[test]
fn a_post_in_part_lets_the_rest_go() {
    let mut books = with_a_hold();
    let told = accepted(books.decide(&post(as_user(0), "part", 1, Some(1))));
    assert_eq!((told.terms.amount, told.posted_amount), (amount(60), Some(amount(1))));
    assert_eq!((books.funds(1), books.funds(2)), ((99, 0), (1, 0)));
    let ended = Rejection::TransferNotPending { status: TransferStatus::Posted };
    assert_eq!(rejection(books.decide(&post(as_user(0), "rest", 1, Some(59)))), ended);
}

#[test]
fn a_void_lets_all_go() {
    let mut books = with_a_hold();
    let told = accepted(books.decide(&void(as_user(0), "void", 1)));
    assert_eq!((told.status, told.posted_amount), (TransferStatus::Voided, None));
    assert_eq!((books.funds(1), books.funds(2)), ((100, 0), (0, 0)));
    assert_eq!((books.account(1).version, books.account(2).version), (4, 1));
    let ended = Rejection::TransferNotPending { status: TransferStatus::Voided };
    assert_eq!(rejection(books.decide(&void(as_user(0), "again", 1))), ended);
    assert_eq!(rejection(books.decide(&post(as_user(0), "late", 1, None))), ended);
}

#[test]
fn a_hold_is_refused_from_its_last_moment_on_although_nobody_swept() {
    let ended = Rejection::TransferNotPending { status: TransferStatus::Expired };
    let just_before = Timestamp::from_micros(at(11).as_micros() - 1).unwrap();
    for command in [post(as_user(0), "end", 1, None), void(as_user(0), "end", 1)] {
        let mut books = with_a_hold().committed(just_before);
        accepted(books.decide(&command));
        let mut books = with_a_hold().committed(at(11));
        assert_eq!(rejection(books.decide(&command)), ended);
        assert_eq!(books.status(1), TransferStatus::Pending, "its event is the sweep's");
        assert_eq!(books.funds(1), (100, 60));
    }
}

#[test]
fn a_sweep_ends_only_what_is_due() {
    let mut books = with_a_hold();
    accepted(books.decide(&transfer(as_user(0), "longer", held_item(2, 1, 2, 7, Some(11)))));
    accepted(books.decide(&transfer(as_user(0), "for-ever", held_item(3, 1, 2, 8, None))));
    assert_eq!(books.decide(&expire(10)), Outcome::Expired(0));
    let mut books = books.committed(at(11));
    assert_eq!(books.decide(&expire(10)), Outcome::Expired(1));
    assert_eq!(books.decide(&expire(10)), Outcome::Expired(0));
    assert_eq!(
        [1, 2, 3].map(|n| books.status(n)),
        [TransferStatus::Expired, TransferStatus::Pending, TransferStatus::Pending]
    );
    assert_eq!(books.funds(1), (100, 15));
    let mut books = books.committed(at(1_000_000));
    assert_eq!(books.decide(&expire(10)), Outcome::Expired(1));
    assert_eq!(books.status(3), TransferStatus::Pending);
}

#[test]
fn a_sweep_with_a_limit_takes_the_earliest_first() {
    let mut books = books_with_accounts(genesis(), at(1));
    for (id, timeout_s) in (1..).zip([40, 20, 30, 20]) {
        let hold = held_item(id, 0, 1, 5, Some(timeout_s));
        accepted(books.decide(&transfer(as_user(0), &format!("{id}"), hold)));
    }
    let mut books = books.committed(at(100));
    let mut ended = Vec::new();
    for (limit, expired) in [(0, 0), (3, 3), (3, 1), (3, 0)] {
        assert_eq!(books.decide(&expire(limit)), Outcome::Expired(expired));
        let now_ended = (1..5).filter(|&n| books.status(n) == TransferStatus::Expired);
        ended.extend(now_ended.filter(|n| !ended.contains(n)).collect::<Vec<_>>());
    }
    assert_eq!(ended, [2, 3, 4, 1]);
    assert_eq!(books.funds(0), (0, 0));
}

#[test]
fn an_expired_hold_is_told_as_such() {
    let mut books = with_a_hold().committed(at(11));
    books.decide(&expire(1));
    let ended = Rejection::TransferNotPending { status: TransferStatus::Expired };
    assert_eq!(rejection(books.decide(&post(as_user(0), "post", 1, None))), ended);
    let unposted = Rejection::TransferNotPosted { status: TransferStatus::Expired };
    assert_eq!(rejection(books.decide(&reverse(as_user(1), "reverse", 1, 2))), unposted);
}

#[test]
fn payers_and_operators_end_a_hold_and_payees_do_not() {
    for actor in [as_user(0), as_operator(1)] {
        for decision in [HoldDecision::Post(None), HoldDecision::Void] {
            let mut books = with_a_hold();
            assert_eq!(books.decide(&resolve(as_user(1), "end", 1, decision)), Outcome::Forbidden);
            accepted(books.decide(&resolve(actor, "end", 1, decision)));
        }
    }
}

#[test]
fn a_hold_may_be_made_and_ended_in_one_batch_of_commands() {
    let mut books = with_a_hold();
    accepted(books.decide(&post(as_user(0), "post", 1, None)));
    accepted(books.decide(&transfer(as_user(0), "other", held_item(2, 1, 2, 40, None))));
    accepted(books.decide(&void(as_user(0), "void", 2)));
    let journal = books.into_journal();
    let statuses: Vec<_> = journal.transfers.iter().map(|transfer| transfer.status).collect();
    // The funding, and both as they are in the end; nothing is left to be updated.
    assert_eq!(statuses, [TransferStatus::Posted, TransferStatus::Posted, TransferStatus::Voided]);
    assert_eq!(journal.updated_transfers, []);
}

#[test]
fn a_hold_of_an_earlier_batch_is_updated_once() {
    let mut books = with_a_hold().committed(at(2));
    accepted(books.decide(&post(as_user(0), "post", 1, Some(59))));
    accepted(books.decide(&reverse(as_user(1), "reverse", 1, 2)));
    let journal = books.into_journal();
    let [posted] = &*journal.updated_transfers else { panic!("{journal:?}") };
    assert_eq!((posted.id, posted.reversed_by), (transfer_id(1), Some(transfer_id(2))));
    assert_eq!((posted.status, posted.posted_amount), (TransferStatus::Posted, Some(amount(59))));
    assert_eq!(journal.transfers.len(), 1);
}
