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

/// Decides a batch in an attempt whose end nobody saw.
fn attempted(books: &mut Books, commands: &[Command], unseen: &mut Unseen) -> Vec<Outcome> {
    let before = books.journal.keys.len();
    let told = commands.iter().map(|command| books.decide(command)).collect();
    unseen.add(books.journal.keys[before..].to_vec());
    told
}

fn decided_again(books: &mut Books, commands: &[Command], unseen: &Unseen) -> Vec<Outcome> {
    let mut unseen = unseen.clone();
    commands.iter().map(|command| books.decide_again(command, &mut unseen)).collect()
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
    let mut unseen = Unseen::default();
    let told = attempted(&mut books, &batch, &mut unseen);
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
    let again = decided_again(&mut committed, &batch, &unseen);
    assert_eq!(again, told);
    assert!(committed.into_journal().is_empty());

    // It was not: all is decided as if for the first time.
    let mut lost = books_with_accounts(genesis(), at(1));
    lost.load_user(users[0].clone());
    let again = decided_again(&mut lost, &batch, &unseen);
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
    let mut unseen = Unseen::default();
    let told = attempted(&mut books, &commands, &mut unseen);
    let head = books.journal.head;
    let mut committed = books.committed(at(6));
    let again = decided_again(&mut committed, &commands, &unseen);
    let (expiry, others) = told.split_last().unwrap();
    assert_eq!(again[..others.len()], *others);
    // What is let go is not let go again.
    assert_eq!((expiry, again.last()), (&Outcome::Expired(1), Some(&Outcome::Expired(0))));
    assert_eq!(committed.journal.head, head);
    assert!(committed.into_journal().is_empty());
}

#[test]
fn holds_reversals_and_batches_that_were_lost_are_done() {
    let (mut books, commands) = commands_about_transfers();
    let (mut lost, _) = commands_about_transfers();
    let mut unseen = Unseen::default();
    let told = attempted(&mut books, &commands, &mut unseen);
    assert_eq!(decided_again(&mut lost, &commands, &unseen), told);
    assert_eq!(lost.journal.events, books.journal.events);
}

#[test]
fn a_replay_is_told_as_one_after_an_attempt_that_nobody_saw() {
    let (mut books, commands) = commands_about_transfers();
    let told: Vec<_> = commands.iter().map(|command| books.decide(command)).collect();
    let kept = |outcome: &Outcome| {
        matches!(outcome, Outcome::Transferred { .. } | Outcome::Rejected { .. } | Outcome::Batch { .. })
    };
    let mut later = books.committed(at(6));
    for (command, told) in commands.iter().zip(&told).filter(|(_, told)| kept(told)) {
        // Sent again with new ids, and as it was with its own: who sends it does not matter, the key's first use does.
        for command in [sent_again(command), command.clone()] {
            let mut unseen = Unseen::default();
            let first = attempted(&mut later, std::slice::from_ref(&command), &mut unseen);
            assert_eq!(first, [replay_of(told)]);
            assert_eq!(decided_again(&mut later, &[command], &unseen), first);
        }
    }
}

#[test]
fn of_two_posts_with_one_key_in_one_batch_the_second_is_the_replay() {
    let (mut books, _) = commands_about_transfers();
    let posts = [post(as_user(0), "post", 1, Some(4)), post(as_user(0), "post", 1, Some(4))];
    let mut unseen = Unseen::default();
    let told = attempted(&mut books, &posts, &mut unseen);
    assert_eq!(told[1], replay_of(&told[0]));
    assert_eq!(decided_again(&mut books.committed(at(6)), &posts, &unseen), told);
}

/// Each attempt may be the one that went through.
#[test]
fn what_any_attempt_has_left_is_found() {
    let command = [post(as_user(0), "post", 1, Some(4))];
    let (mut first, _) = commands_about_transfers();
    let (mut second, _) = commands_about_transfers();
    second.now = at(4);
    let mut unseen = Unseen::default();
    let told = attempted(&mut first, &command, &mut unseen);
    assert_eq!(attempted(&mut second, &command, &mut unseen), told);
    for books in [first, second] {
        assert_eq!(decided_again(&mut books.committed(at(6)), &command, &unseen), told);
    }
}
