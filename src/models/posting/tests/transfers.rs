//! Users, accounts, keys and plain transfers.

use super::*;

#[test]
fn a_balance_never_leaves_its_range() {
    let mut books = books_with_accounts(genesis(), at(1));
    let max = crate::models::money::MAX_MINOR_UNITS;
    assert!(matches!(
        books.decide(&transfer(as_user(0), "a", item(1, 0, 2, max))),
        Outcome::Transferred { .. }
    ));
    let overflow = rejection(books.decide(&transfer(as_user(0), "b", item(2, 0, 1, 1))));
    assert_eq!(overflow, Rejection::BalanceOverflow { side: Side::Debit });
}

#[test]
fn keys_are_each_users_own_and_free_after_a_day() {
    let mut books = books_with_accounts(genesis(), at(1));
    books.decide(&transfer(as_user(0), "k", item(1, 0, 2, 5)));
    // User 1's "k" is another key.
    let other = books.decide(&transfer(as_user(1), "k", item(2, 2, 1, 5)));
    assert!(matches!(other, Outcome::Transferred { replayed: false, .. }));
    let record = books.keys[&(user(0), "k".parse().unwrap())].clone();

    let head = books.into_journal().head;
    let mut next_day = books_with_accounts(head, at(1 + 24 * 60 * 60));
    next_day.load_key(user(0), "k".parse().unwrap(), record);
    let again = next_day.decide(&transfer(as_user(0), "k", item(3, 0, 2, 5)));
    assert!(matches!(again, Outcome::Transferred { replayed: false, .. }));
}

#[test]
fn time_never_falls_when_the_clock_does() {
    let mut books = books_with_accounts(Head { at: at(100), ..genesis() }, at(50));
    match books.decide(&transfer(as_user(0), "k", item(1, 0, 2, 5))) {
        Outcome::Transferred { transfer, .. } => assert_eq!(transfer.created_at, at(100)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_are_taken_whatever_their_case() {
    let mut books = Books::new(genesis(), None, at(1));
    let register = |name: &str, n| {
        let username = name.parse().unwrap();
        let password_hash = String::new();
        Command::RegisterUser(RegisterUser { id: user(n), username, role: Role::User, password_hash })
    };
    assert!(matches!(books.decide(&register("alice", 1)), Outcome::Registered(_)));
    assert_eq!(books.decide(&register("Alice", 2)), Outcome::UsernameTaken);
    let open = |owner| {
        let currency = "EUR".parse().unwrap();
        let id = account_id(1);
        Command::OpenAccount(OpenAccount { id, owner, name: None, currency, min_balance: None })
    };
    let opened = books.decide(&open(Owner::Name("ALICE".parse().unwrap())));
    assert!(matches!(opened, Outcome::Opened(account) if account.owner == user(1)));
    assert_eq!(books.decide(&open(Owner::Id(user(9)))), Outcome::OwnerNotFound);
    let journal = books.into_journal();
    assert_eq!((journal.users.len(), journal.opened.len(), journal.changed.len()), (1, 1, 0));
}
