//! Batches of transfers under one key: item by item, or all or nothing.

use super::*;

/// What of a journal does not depend on the order in which its maps are walked.
fn lists(mut journal: Journal) -> impl PartialEq + std::fmt::Debug {
    journal.changed.sort_by_key(|account| account.id);
    journal.updated_transfers.sort_by_key(|transfer| transfer.seq);
    let Journal { head, events, transfers, updated_transfers, entries, opened, changed, keys, .. } = journal;
    (head, events, transfers, updated_transfers, entries, opened, changed, keys)
}

#[test]
fn items_see_what_those_before_them_have_moved() {
    let items = vec![item(1, 1, 2, 5), item(2, 0, 1, 5), item(3, 1, 2, 5), item(4, 1, 2, 1)];
    let poor = Refusal::from(Rejection::InsufficientFunds { available: Money::ZERO });
    let mut books = books_with_accounts(genesis(), at(1));
    let told = judged(books.decide(&batch(as_user(0), "k", false, items.clone())));
    let refused: Vec<_> = told.items.iter().map(|item| item.clone().err()).collect();
    assert_eq!(refused, [Some(poor), None, None, Some(poor)]);
    let seqs: Vec<_> = told.items.iter().flatten().map(|transfer| transfer.seq).collect();
    assert_eq!((seqs, books.funds(1), books.funds(2)), (vec![1, 2], (0, 0), (5, 0)));

    let mut books = books_with_accounts(genesis(), at(1));
    let told = judged(books.decide(&batch(as_user(0), "k", true, items)));
    let aborted = Refusal::Aborted;
    assert_eq!(told.items, [Err(poor), Err(aborted), Err(aborted), Err(poor)], "judged as if it went on");
    assert_eq!((books.funds(1), books.funds(2), books.journal.head), ((0, 0), (0, 0), genesis()));
}

#[test]
fn an_atomic_batch_without_a_flaw_is_kept() {
    let items = vec![item(1, 0, 1, 5), held_item(2, 1, 2, 5, Some(9)), item(3, 0, 2, 1)];
    let mut books = books_with_accounts(genesis(), at(1));
    let told = judged(books.decide(&batch(as_user(0), "k", true, items.clone())));
    assert!(!told.aborted && told.items.iter().all(Result::is_ok), "{told:?}");
    let mut independent = books_with_accounts(genesis(), at(1));
    judged(independent.decide(&batch(as_user(0), "k", false, items)));
    assert_eq!(independent.journal.events, books.journal.events);
    assert_eq!((books.funds(0), books.funds(1), books.funds(2)), ((-6, 0), (5, 5), (1, 0)));
    // Nothing of it can be undone by a later one.
    judged(books.decide(&batch(as_user(0), "other", true, vec![item(4, 0, 1, 5), item(5, 1, 1, 5)])));
    assert_eq!((books.funds(1), books.journal.head.seq), ((5, 5), 3));
    let journal = books.into_journal();
    assert_eq!((journal.transfers.len(), journal.changed.len(), journal.entries.len()), (3, 3, 4));
}

/// Some accounts are touched before in the same batch of commands, one was opened in it, and some are touched by the
/// atomic batch alone.
#[test]
fn a_refused_atomic_batch_leaves_nothing_behind() {
    let run = |with_it: bool| {
        let mut books = books_with_accounts(genesis(), at(1));
        accepted(books.decide(&transfer(as_user(0), "hold", held_item(1, 0, 2, 9, Some(3)))));
        let mut books = books.committed(at(2));
        let owner =
            User { id: user(0), username: "ann".parse().unwrap(), role: Role::User, created_at: at(0) };
        books.load_user(owner);
        let (id, owner) = (account_id(8), Owner::Id(user(0)));
        let currency = "EUR".parse().unwrap();
        let opening = OpenAccount { id, owner, name: None, currency, min_balance: None };
        books.decide(&Command::OpenAccount(opening));
        accepted(books.decide(&transfer(as_user(0), "before", item(2, 0, 1, 10))));
        accepted(books.decide(&post(as_user(0), "post", 1, Some(4))));
        if with_it {
            let twice = [item(3, 1, 3, 4), held_item(4, 1, 2, 4, None), item(5, 8, 2, 4), item(6, 0, 8, 1)];
            let refused = [item(7, 1, 2, 3)];
            let items = twice.into_iter().chain(refused).collect();
            let told = judged(books.decide(&batch(as_user(0), "refused", true, items)));
            let poor = Rejection::InsufficientFunds { available: money(2) };
            assert_eq!(told.items[4], Err(poor.into()));
            assert_eq!(told.items[..4], [const { Err(Refusal::Aborted) }; 4]);
            assert_eq!(books.journal.keys.pop().map(|((_, key), _)| key), "refused".parse().ok());
        }
        accepted(books.decide(&transfer(as_user(0), "after", item(9, 1, 2, 10))));
        books
    };
    let (with_it, without) = (run(true), run(false));
    assert_eq!(with_it.accounts, without.accounts);
    assert_eq!(with_it.transfers, without.transfers);
    assert_eq!(lists(with_it.into_journal()), lists(without.into_journal()));
}

#[test]
fn nothing_is_refused_although_a_batch_is_forbidden_in_all_its_items() {
    let mut books = books_with_accounts(genesis(), at(1));
    let items = vec![item(1, 2, 0, 1), held_item(2, 3, 0, 1, None)];
    let request = batch(as_user(0), "k", false, items);
    let told = judged(books.decide(&request));
    assert_eq!((&*told.items, told.aborted), (&[const { Err(Refusal::Forbidden) }; 2][..], false));
    assert_eq!(books.journal.head, genesis());
    // Unlike a transfer alone, a batch is decided by then, and its key is used.
    assert!(matches!(books.decide(&request), Outcome::Batch { replayed: true, .. }));
    assert_eq!(books.decide(&transfer(as_user(0), "k", item(3, 0, 1, 1))), Outcome::KeyReused);
}

#[test]
fn pending_items_are_holds_like_any() {
    let mut books = books_with_accounts(genesis(), at(1));
    let items = vec![held_item(1, 0, 2, 5, Some(10)), item(2, 0, 2, 3), held_item(3, 0, 2, 4, None)];
    judged(books.decide(&batch(as_user(0), "k", true, items)));
    assert_eq!((books.funds(0), books.funds(2)), ((-3, 9), (3, 0)));
    accepted(books.decide(&post(as_user(0), "post", 3, None)));
    accepted(books.decide(&reverse(as_user(1), "reverse", 2, 4)));
    let mut books = books.committed(at(20));
    assert_eq!(books.decide(&expire(5)), Outcome::Expired(1));
    assert_eq!((books.funds(0), books.funds(2)), ((-4, 0), (4, 0)));
}

#[test]
fn a_batch_weighs_as_many_transfers_as_it_has() {
    let items = (0..100).map(|id| item(id, 0, 1, 1)).collect();
    assert_eq!(batch(as_user(0), "k", true, items).weight(), 100);
    assert_eq!(post(as_user(0), "k", 1, None).weight(), 1);
    assert_eq!(expire(512).weight(), 512);
}
