//! A batch whose commit may or may not have gone through is judged a second time.

use super::*;

/// The books of after `journal`, as a store would load them.
fn books_after(journal: Journal, users: &[User]) -> Books {
    let mut books = Books::new(journal.head, None, at(2));
    for account in journal.opened.into_iter().chain(journal.changed) {
        books.load_account(account);
    }
    for user in users {
        books.load_user(user.clone());
    }
    for ((user, key), record) in journal.keys {
        books.load_key(user, key, record);
    }
    books
}

#[test]
fn a_batch_whose_end_nobody_saw_finds_its_own_outcomes() {
    let operator =
        User { id: user(9), username: "op".parse().unwrap(), role: Role::Operator, created_at: at(0) };
    let registration = RegisterUser {
        id: user(7),
        username: "alice".parse().unwrap(),
        role: Role::User,
        password_hash: "hash".into(),
    };
    let opening = OpenAccount {
        id: account_id(7),
        owner: Owner::Id(operator.id),
        name: None,
        currency: "EUR".parse().unwrap(),
        min_balance: Some(Money::ZERO),
    };
    let batch = [
        Command::RegisterUser(registration),
        Command::OpenAccount(opening),
        transfer(as_user(0), "paid", item(1, 0, 1, 5)),
        transfer(as_user(1), "poor", item(2, 2, 1, 5)),
        transfer(as_user(0), "paid", item(3, 0, 1, 5)),
        transfer(as_user(0), "paid", item(4, 0, 2, 1)),
        transfer(as_user(0), "not-mine", item(5, 2, 1, 5)),
    ];
    let mut books = books_with_accounts(genesis(), at(1));
    books.load_user(operator.clone());
    let told: Vec<_> = batch.iter().map(|command| books.decide(command)).collect();
    let [Outcome::Registered(alice), ..] = told.as_slice() else { panic!("{told:?}") };
    assert!(matches!(told[2], Outcome::Transferred { replayed: false, .. }));
    assert!(matches!(told[4], Outcome::Transferred { replayed: true, .. }));
    assert_eq!(told[5..], [Outcome::KeyReused, Outcome::Forbidden]);
    let users = [operator, alice.clone()];

    // It was committed: nothing is done twice, and the first use of a key is still told as the first.
    let mut committed = books_after(books.into_journal(), &users);
    for n in 3..ACCOUNTS {
        let account = books_with_accounts(genesis(), at(1)).accounts.remove(&account_id(n)).unwrap();
        committed.load_account(account);
    }
    committed.load_account(books_with_accounts(genesis(), at(1)).accounts.remove(&account_id(2)).unwrap());
    let again: Vec<_> = batch.iter().map(|command| committed.decide_again(command)).collect();
    assert_eq!(again, told);
    assert!(committed.into_journal().is_empty());

    // It was not: all is decided as if for the first time.
    let mut lost = books_with_accounts(genesis(), at(1));
    lost.load_user(users[0].clone());
    let again: Vec<_> = batch.iter().map(|command| lost.decide_again(command)).collect();
    assert_eq!(again, told);
    assert_eq!(lost.into_journal().events.len(), 1);
}

/// Every command about a transfer or many, decided on books that have a hold and a payment.
fn commands_about_transfers() -> (Books, Vec<Command>) {
    let mut books = books_with_accounts(genesis(), at(1));
    accepted(books.decide(&transfer(as_user(0), "hold", held_item(1, 0, 1, 5, None))));
    accepted(books.decide(&transfer(as_user(0), "other", held_item(2, 0, 1, 5, None))));
    accepted(books.decide(&transfer(as_user(0), "paid", item(3, 0, 1, 5))));
    accepted(books.decide(&transfer(as_user(0), "due", held_item(4, 0, 1, 5, Some(1)))));
    let by = as_user(0);
    let commands = vec![
        post(by, "post", 1, Some(4)),
        void(by, "void", 2),
        post(by, "late", 2, None),
        void(by, "nothing", 99),
        reverse(by, "reverse", 3, 10),
        reverse(by, "twice", 3, 11),
        batch(by, "batch", false, vec![item(12, 0, 1, 1), item(13, 2, 1, 1), held_item(14, 0, 1, 1, None)]),
        batch(by, "refused", true, vec![item(15, 0, 1, 1), item(16, 0, 0, 1)]),
        expire(10),
    ];
    (books.committed(at(5)), commands)
}

#[test]
fn holds_reversals_and_batches_are_done_once() {
    let (mut books, commands) = commands_about_transfers();
    let told: Vec<_> = commands.iter().map(|command| books.decide(command)).collect();
    let head = books.journal.head;
    let mut committed = books.committed(at(6));
    for (command, told) in commands.iter().zip(&told) {
        let again = committed.decide_again(command);
        match command {
            // Neither names an id of its own, so the outcome is found under the key as any later use finds it.
            Command::Resolve(_) if *told != Outcome::NotFound => assert_eq!(again, replay_of(told)),
            // What is let go is not let go again.
            Command::ExpireHolds(_) => assert_eq!((told, again), (&Outcome::Expired(1), Outcome::Expired(0))),
            _ => assert_eq!(again, *told, "{command:?}"),
        }
    }
    assert_eq!(committed.journal.head, head);
    assert!(committed.into_journal().is_empty());
}

#[test]
fn holds_reversals_and_batches_that_were_lost_are_done() {
    let (mut books, commands) = commands_about_transfers();
    let (mut lost, _) = commands_about_transfers();
    for command in &commands {
        assert_eq!(lost.decide_again(command), books.decide(command), "{command:?}");
    }
    assert_eq!(lost.journal.events, books.journal.events);
}

#[test]
fn an_own_use_of_a_key_is_told_from_one_before_it() {
    let (mut books, commands) = commands_about_transfers();
    let told: Vec<_> = commands.iter().map(|command| books.decide(command)).collect();
    let mut committed = books.committed(at(6));
    for (command, told) in commands.iter().zip(&told) {
        if matches!(told, Outcome::Transferred { .. } | Outcome::Rejected { .. } | Outcome::Batch { .. }) {
            assert_eq!(committed.decide_again(&sent_again(command)), replay_of(told), "{command:?}");
        }
    }
}
