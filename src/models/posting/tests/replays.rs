//! A key tells again what was told first, whatever has become of it since.

use super::*;
use crate::models::IdempotencyKey;

/// Commands of every kind that were accepted, and one that was refused of each.
fn commands() -> [Command; 12] {
    let by = as_user(0);
    [
        transfer(by, "paid", item(1, 0, 1, 30)),
        transfer(by, "held", held_item(2, 0, 2, 10, Some(60))),
        transfer(by, "held-too", held_item(3, 0, 2, 10, None)),
        transfer(by, "poor", item(4, 1, 2, 1_000)),
        post(by, "too-much", 2, Some(11)),
        post(by, "posted", 2, Some(4)),
        void(by, "voided", 3),
        post(by, "over", 3, None),
        reverse(by, "unreversed", 2, 5),
        reverse(by, "reversed", 1, 6),
        batch(by, "batch", false, vec![item(7, 0, 2, 1), item(8, 0, 0, 1), held_item(9, 0, 2, 2, None)]),
        batch(by, "refused", true, vec![item(10, 0, 2, 1), item(11, 2, 0, 1)]),
    ]
}

/// The books after these commands and some that change what they made, and what each was told.
fn decided() -> (Books, Vec<(Command, Outcome)>) {
    let mut books = books_with_accounts(genesis(), at(1));
    let mut told = Vec::new();
    for command in commands() {
        let outcome = books.decide(&command);
        // The payee of the posted hold is somebody else.
        if outcome != Outcome::Forbidden {
            told.push((command, outcome));
        }
    }
    accepted(books.decide(&reverse(as_operator(1), "later", 2, 20)));
    accepted(books.decide(&post(as_operator(1), "later-post", 9, None)));
    accepted(books.decide(&reverse(as_operator(1), "later-batch", 7, 21)));
    (books, told)
}

#[test]
fn a_replay_shows_the_transfer_as_it_was() {
    let (books, told) = decided();
    assert_eq!(told.len(), 11);
    let kinds = told.iter().map(|(_, outcome)| match outcome {
        Outcome::Transferred { .. } => 't',
        Outcome::Rejected { .. } => 'r',
        Outcome::Batch { .. } => 'b',
        _ => '?',
    });
    assert_eq!(kinds.collect::<String>(), "tttrrttrtbb");
    let mut books = books.committed(at(100));
    books.decide(&expire(100));
    let head = books.journal.head;
    for (command, outcome) in &told {
        assert_eq!(books.decide(command), replay_of(outcome));
        assert_eq!(books.decide(&sent_again(command)), replay_of(outcome), "by another request");
    }
    assert_eq!(books.journal.head, head);
}

#[test]
fn a_key_is_one_for_all_actions() {
    let (mut books, told) = decided();
    for (place, (command, _)) in told.iter().enumerate() {
        for (_, (other, _)) in told.iter().enumerate().filter(|(other_place, _)| *other_place != place) {
            let mut other = other.clone();
            *key_of(&mut other) = key_of(&mut command.clone()).clone();
            assert_eq!(books.decide(&other), Outcome::KeyReused, "{command:?} then {other:?}");
        }
    }
}

fn key_of(command: &mut Command) -> &mut IdempotencyKey {
    match command {
        Command::Transfer(request) => &mut request.key,
        Command::Resolve(request) => &mut request.key,
        Command::Reverse(request) => &mut request.key,
        Command::Batch(request) => &mut request.key,
        other => panic!("{other:?} has no key"),
    }
}

#[test]
fn small_differences_are_another_use_of_the_key() {
    let by = as_user(0);
    let uses = [
        transfer(by, "k", item(1, 0, 1, 5)),
        transfer(by, "k", held_item(1, 0, 1, 5, None)),
        transfer(by, "k", held_item(1, 0, 1, 5, Some(1))),
        transfer(by, "k", held_item(1, 0, 1, 5, Some(2))),
        post(by, "k", 1, None),
        post(by, "k", 1, Some(5)),
        post(by, "k", 1, Some(6)),
        void(by, "k", 1),
        reverse(by, "k", 1, 2),
        batch(by, "k", true, vec![item(1, 0, 1, 5)]),
        batch(by, "k", false, vec![item(1, 0, 1, 5)]),
        batch(by, "k", false, vec![held_item(1, 0, 1, 5, None)]),
        batch(by, "k", false, vec![item(1, 0, 1, 5), item(2, 0, 1, 5)]),
    ];
    for (place, first) in uses.iter().enumerate() {
        for (other_place, other) in uses.iter().enumerate() {
            let mut books = books_with_accounts(genesis(), at(1));
            accepted(books.decide(&transfer(by, "there", held_item(1, 0, 1, 5, None))));
            books.decide(first);
            let reused = books.decide(other) == Outcome::KeyReused;
            assert_eq!(reused, place != other_place, "{first:?} then {other:?}");
        }
    }
}

#[test]
fn a_key_of_a_hold_is_free_after_a_day_like_any() {
    let (books, _) = decided();
    let mut books = books.committed(at(1 + 24 * 60 * 60));
    let ended = Rejection::TransferNotPending { status: TransferStatus::Voided };
    assert_eq!(rejection(books.decide(&void(as_user(0), "voided", 3))), ended);
}
