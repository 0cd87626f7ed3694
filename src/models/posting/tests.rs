//! The rule against a naive model: random commands, the invariants after each.

use std::collections::HashMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::models::event::ChainHash;
use crate::models::{
    Account, AccountId, Actor, Amount, Event, Fingerprint, Head, Money, Role, Terms, Timestamp, TransferId,
    User, UserId,
};

const ACCOUNTS: u128 = 5;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000).unwrap()
}

fn genesis() -> Head {
    Head { seq: 0, hash: ChainHash::default(), at: at(0) }
}

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(100 + n))
}

fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

/// Accounts 0 and 1 belong to user 0, the others to user 1; 0 is unbounded; 4 counts yen.
fn books_with_accounts(head: Head, clock: Timestamp) -> Books {
    let mut books = Books::new(head, None, clock);
    for n in 0..ACCOUNTS {
        let currency = if n == 4 { "JPY" } else { "EUR" };
        let least = if n == 0 { None } else { Some(Money::ZERO) };
        let currency = currency.parse().unwrap();
        books.load_account(Account::opened(account_id(n), user(n / 2), None, currency, least, at(0)));
    }
    books
}

fn request(debit: u128, credit: u128, amount: i64, key: &str, actor: Actor, id: u128) -> TransferRequest {
    let terms = Terms {
        debit_account: account_id(debit),
        credit_account: account_id(credit),
        amount: Amount::new(amount).unwrap(),
        currency: "EUR".parse().unwrap(),
        description: None,
        metadata: None,
        reference: None,
    };
    let fingerprint = Fingerprint::of_transfer(&terms, None);
    let id = TransferId::from_uuid(Uuid::from_u128(1000 + id));
    let request_id = format!("request-{id}").into();
    TransferRequest { actor, key: key.parse().unwrap(), fingerprint, id, terms, hold: None, request_id }
}

fn as_user(n: u128) -> Actor {
    Actor { id: user(n), role: Role::User }
}

fn decide(books: &mut Books, request: TransferRequest) -> Outcome {
    books.decide(&Command::Transfer(request))
}

fn rejection(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected { rejection, replayed: false, .. } => rejection,
        other => panic!("{other:?}"),
    }
}

#[test]
fn errors_come_in_the_documented_order() {
    let mut books = books_with_accounts(genesis(), at(1));
    let mut judge = |request| decide(&mut books, request);
    let found = |side| Rejection::AccountNotFound { side };
    assert_eq!(rejection(judge(request(9, 9, 1, "a", as_user(0), 1))), Rejection::SameAccount);
    assert_eq!(rejection(judge(request(9, 8, 1, "b", as_user(0), 2))), found(Side::Debit));
    assert_eq!(judge(request(2, 9, 1, "c", as_user(0), 3)), Outcome::Forbidden);
    assert_eq!(rejection(judge(request(0, 9, 1, "d", as_user(0), 4))), found(Side::Credit));
    let mismatch = Rejection::CurrencyMismatch { side: Side::Credit, currency: "JPY".parse().unwrap() };
    assert_eq!(rejection(judge(request(1, 4, 1, "e", as_user(0), 5))), mismatch);
    let poor = Rejection::InsufficientFunds { available: Money::ZERO };
    assert_eq!(rejection(judge(request(1, 2, 1, "f", as_user(0), 6))), poor);
    // A key that was refused without a decision is still free; a decided one is not.
    assert!(matches!(judge(request(0, 2, 1, "c", as_user(0), 7)), Outcome::Transferred { .. }));
    assert_eq!(judge(request(0, 2, 1, "f", as_user(0), 8)), Outcome::KeyReused);
    assert_eq!(
        judge(request(1, 2, 1, "f", as_user(0), 9)),
        Outcome::Rejected {
            rejection: poor,
            request_id: "request-00000000-0000-0000-0000-0000000003ee".into(),
            replayed: true
        }
    );
}

#[test]
fn a_balance_never_leaves_its_range() {
    let mut books = books_with_accounts(genesis(), at(1));
    let max = crate::models::money::MAX_MINOR_UNITS;
    assert!(matches!(
        decide(&mut books, request(0, 2, max, "a", as_user(0), 1)),
        Outcome::Transferred { .. }
    ));
    let overflow = rejection(decide(&mut books, request(0, 1, 1, "b", as_user(0), 2)));
    assert_eq!(overflow, Rejection::BalanceOverflow { side: Side::Debit });
}

#[test]
fn keys_are_each_users_own_and_free_after_a_day() {
    let mut books = books_with_accounts(genesis(), at(1));
    decide(&mut books, request(0, 2, 5, "k", as_user(0), 1));
    // User 1's "k" is another key.
    let other = decide(&mut books, request(2, 1, 5, "k", as_user(1), 2));
    assert!(matches!(other, Outcome::Transferred { replayed: false, .. }));
    let record = books.keys[&(user(0), "k".parse().unwrap())].clone();

    let head = books.into_journal().head;
    let mut next_day = books_with_accounts(head, at(1 + 24 * 60 * 60));
    next_day.load_key(user(0), "k".parse().unwrap(), record);
    let again = decide(&mut next_day, request(0, 2, 5, "k", as_user(0), 3));
    assert!(matches!(again, Outcome::Transferred { replayed: false, .. }));
}

#[test]
fn time_never_falls_when_the_clock_does() {
    let mut books = books_with_accounts(Head { at: at(100), ..genesis() }, at(50));
    match decide(&mut books, request(0, 2, 5, "k", as_user(0), 1)) {
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

#[derive(Debug, Clone)]
struct Step {
    debit: u128,
    credit: u128,
    amount: i64,
    key: u8,
    actor: u128,
    operator: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (0..ACCOUNTS + 1, 0..ACCOUNTS + 1, 1..60_i64, 0..12_u8, 0..2_u128, prop::bool::weighted(0.3)).prop_map(
        |(debit, credit, amount, key, actor, operator)| Step { debit, credit, amount, key, actor, operator },
    )
}

/// The ledger as a child would write it: balances, and a set of keys used.
#[derive(Default)]
struct Naive {
    balances: HashMap<u128, i64>,
    keys: HashMap<(u128, u8), (Step, bool)>,
    applied: usize,
}

#[derive(Debug, PartialEq)]
enum Expected {
    Moved,
    Rejected,
    Replayed,
    Reused,
    Forbidden,
}

impl Naive {
    fn apply(&mut self, step: &Step) -> Expected {
        let same = |a: &Step, b: &Step| (a.debit, a.credit, a.amount) == (b.debit, b.credit, b.amount);
        if let Some((earlier, _)) = self.keys.get(&(step.actor, step.key)) {
            return if same(earlier, step) { Expected::Replayed } else { Expected::Reused };
        }
        let exists = |n: u128| n < ACCOUNTS;
        let owned = step.operator || step.debit / 2 == step.actor;
        if step.debit != step.credit && exists(step.debit) && !owned {
            return Expected::Forbidden;
        }
        let possible = step.debit != step.credit
            && exists(step.debit)
            && exists(step.credit)
            && step.debit != 4
            && step.credit != 4;
        let rich = step.debit == 0 || self.balances.get(&step.debit).copied().unwrap_or(0) >= step.amount;
        let moved = possible && rich;
        self.keys.insert((step.actor, step.key), (step.clone(), moved));
        if !moved {
            return Expected::Rejected;
        }
        *self.balances.entry(step.debit).or_default() -= step.amount;
        *self.balances.entry(step.credit).or_default() += step.amount;
        self.applied += 1;
        Expected::Moved
    }
}

fn class(outcome: &Outcome) -> Expected {
    match outcome {
        Outcome::Transferred { replayed: true, .. } | Outcome::Rejected { replayed: true, .. } => {
            Expected::Replayed
        }
        Outcome::Transferred { .. } => Expected::Moved,
        Outcome::Rejected { .. } => Expected::Rejected,
        Outcome::KeyReused => Expected::Reused,
        Outcome::Forbidden => Expected::Forbidden,
        other => panic!("{other:?}"),
    }
}

/// The invariants of the contract that can be seen on the books alone: I2 to I6.
fn check_invariants(books: &Books, naive: &Naive) {
    let journal = &books.journal;
    let total: i64 = books.accounts.values().map(|account| account.balance.minor_units()).sum();
    assert_eq!(total, 0, "I3");
    for (n, account) in (0..ACCOUNTS).map(|n| (n, &books.accounts[&account_id(n)])) {
        let entries: Vec<_> = journal.entries.iter().filter(|entry| entry.account_id == account.id).collect();
        let sum: i64 = entries.iter().map(|entry| entry.amount.minor_units()).sum();
        assert_eq!(account.balance.minor_units(), sum, "I4");
        assert_eq!(entries.last().map_or(Money::ZERO, |entry| entry.balance), account.balance, "I4");
        assert!(account.min_balance.is_none_or(|least| account.available() >= least), "I5");
        assert_eq!(account.balance.minor_units(), naive.balances.get(&n).copied().unwrap_or(0));
        assert_eq!(account.version, 1 + entries.len() as u64);
    }
    let mut hash = ChainHash::default();
    for (expected_seq, event) in (1..).zip(&journal.events) {
        hash = hash.next(&event.body);
        let decoded = Event::decode(&event.body).unwrap();
        assert_eq!((event.seq, decoded.seq, event.hash), (expected_seq, expected_seq, hash), "I6");
    }
    assert_eq!((journal.head.seq, journal.head.hash), (journal.events.len() as u64, hash), "I6");
    assert_eq!(books.transfers.len(), naive.applied, "I2");
}

proptest! {
    #[test]
    fn agrees_with_a_naive_ledger(steps in prop::collection::vec(step(), 1..80)) {
        let mut books = books_with_accounts(genesis(), at(1));
        let mut naive = Naive::default();
        for (n, step) in (0..).zip(&steps) {
            let role = if step.operator { Role::Operator } else { Role::User };
            let actor = Actor { id: user(step.actor), role };
            let key = format!("key-{}", step.key);
            let outcome = decide(&mut books, request(step.debit, step.credit, step.amount, &key, actor, n));
            prop_assert_eq!(class(&outcome), naive.apply(step), "{:?}", step);
            check_invariants(&books, &naive);
        }
    }
}

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
        Command::Transfer(request(0, 1, 5, "paid", as_user(0), 1)),
        Command::Transfer(request(2, 1, 5, "poor", as_user(1), 2)),
        Command::Transfer(request(0, 1, 5, "paid", as_user(0), 3)),
        Command::Transfer(request(0, 2, 1, "paid", as_user(0), 4)),
        Command::Transfer(request(2, 1, 5, "not-mine", as_user(0), 5)),
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
