//! Random commands in random batches: a store decides as the rule does over everything in memory, one command
//! after the other, and the invariants hold after each batch.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use ringledger::models::event::ChainHash;
use ringledger::models::idempotency::KEY_LIFE_S;
use ringledger::models::posting::{
    Books, Command, Entry, Journal, KeyRecord, OpenAccount, Outcome, Owner, RegisterUser, TransferRequest,
};
use ringledger::models::user::{BUILT_IN_OPERATOR, BUILT_IN_OPERATOR_NAME};
use ringledger::models::{
    Account, AccountId, Actor, Head, IdempotencyKey, Money, Role, Timestamp, Transfer, User, UserId,
};
use uuid::Uuid;

use crate::store::ledger::{Ledger, euros};

/// Random histories in a run; each is a ledger of its own.
const HISTORIES: u32 = 64;
/// Names that users fight for: two, in two spellings each.
const NAMES: [&str; 4] = ["ann", "Ann", "BEN", "ben"];

/// A command before it has ids. Users and accounts are named by the order in which they are asked for, so
/// that what does not exist, and what comes later in the batch, is named too.
#[derive(Debug, Clone)]
enum Step {
    Register { name: usize },
    Open { owner: usize, by_name: bool, yen: bool, unbounded: bool },
    Transfer { actor: u128, operator: bool, debit: u128, credit: u128, amount: i64, key: u8 },
    Repeat { earlier: Index },
}

/// What every history begins with, so that money can move from the first random step on.
const BEGINNING: [Step; 4] = [
    Step::Register { name: 0 },
    Step::Register { name: 2 },
    Step::Open { owner: 1, by_name: false, yen: false, unbounded: true },
    Step::Open { owner: 2, by_name: false, yen: false, unbounded: false },
];

#[derive(Debug, Clone)]
struct Batch {
    /// How far the clock moves before it.
    clock_step_s: i64,
    /// Whether the store is opened anew before it.
    reopen: bool,
    steps: Vec<Step>,
}

fn step() -> impl Strategy<Value = Step> {
    let register = (0..NAMES.len()).prop_map(|name| Step::Register { name });
    let open = (0..NAMES.len(), any::<bool>(), prop::bool::weighted(0.1), any::<bool>())
        .prop_map(|(owner, by_name, yen, unbounded)| Step::Open { owner, by_name, yen, unbounded });
    let transfer = (1..3_u128, any::<bool>(), 0..6_u128, 0..6_u128, 1..40_i64, 0..20_u8).prop_map(
        |(actor, operator, debit, credit, amount, key)| Step::Transfer {
            actor,
            operator,
            debit,
            credit,
            amount,
            key,
        },
    );
    let repeat = any::<Index>().prop_map(|earlier| Step::Repeat { earlier });
    prop_oneof![1 => register, 2 => open, 8 => transfer, 3 => repeat]
}

fn batch() -> impl Strategy<Value = Batch> {
    let clock_step_s = prop_oneof![4 => -5..60_i64, 1 => Just(KEY_LIFE_S), 1 => -KEY_LIFE_S..KEY_LIFE_S];
    (clock_step_s, prop::bool::weighted(0.2), prop::collection::vec(step(), 0..16))
        .prop_map(|(clock_step_s, reopen, steps)| Batch { clock_step_s, reopen, steps })
}

/// Turns steps into commands.
#[derive(Default)]
struct Commands {
    users: u128,
    accounts: u128,
    requests: Vec<TransferRequest>,
}

fn user_id(number: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(number))
}

fn account_id(number: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(0xacc0 + number))
}

impl Commands {
    fn of(&mut self, ledger: &mut Ledger, steps: &[Step]) -> Vec<Command> {
        steps.iter().filter_map(|step| self.command(ledger, step)).collect()
    }

    /// `None` where there is nothing to repeat.
    fn command(&mut self, ledger: &mut Ledger, step: &Step) -> Option<Command> {
        let request = match *step {
            Step::Register { name } => {
                self.users += 1;
                let registration = ledger.registration(NAMES[name]);
                let id = user_id(self.users);
                return Some(Command::RegisterUser(RegisterUser { id, ..registration }));
            }
            Step::Open { owner, by_name, yen, unbounded } => {
                self.accounts += 1;
                let named = || Owner::Name(NAMES[owner].parse().unwrap());
                return Some(Command::OpenAccount(OpenAccount {
                    id: account_id(self.accounts),
                    owner: if by_name { named() } else { Owner::Id(user_id(owner as u128)) },
                    name: None,
                    currency: if yen { "JPY" } else { "EUR" }.parse().unwrap(),
                    min_balance: (!unbounded).then_some(Money::ZERO),
                }));
            }
            Step::Transfer { actor, operator, debit, credit, amount, key } => {
                let role = if operator { Role::Operator } else { Role::User };
                let actor = Actor { id: user_id(actor), role };
                let terms = euros(account_id(debit), account_id(credit), amount);
                ledger.request(actor, &format!("key-{key}"), terms)
            }
            Step::Repeat { .. } if self.requests.is_empty() => return None,
            Step::Repeat { earlier } => ledger.again(earlier.get(&self.requests)),
        };
        self.requests.push(request.clone());
        Some(Command::Transfer(request))
    }
}

/// The whole ledger in memory.
struct Memory {
    head: Head,
    users: Vec<User>,
    accounts: BTreeMap<AccountId, Account>,
    entries: Vec<Entry>,
    transfers: Vec<Arc<Transfer>>,
    keys: HashMap<(UserId, IdempotencyKey), KeyRecord>,
}

impl Memory {
    fn new() -> Self {
        let epoch = Timestamp::from_micros(0).unwrap();
        Self {
            head: Head { seq: 0, hash: ChainHash::default(), at: epoch },
            users: vec![User {
                id: BUILT_IN_OPERATOR,
                username: BUILT_IN_OPERATOR_NAME.parse().unwrap(),
                role: Role::Operator,
                created_at: epoch,
            }],
            accounts: BTreeMap::new(),
            entries: Vec::new(),
            transfers: Vec::new(),
            keys: HashMap::new(),
        }
    }

    fn decide(&mut self, command: &Command, clock: Timestamp) -> Outcome {
        let last_key_use = self.keys.values().map(|record| record.used_at).max();
        let mut books = Books::new(self.head, last_key_use, clock);
        for user in &self.users {
            books.load_user(user.clone());
        }
        for account in self.accounts.values() {
            books.load_account(account.clone());
        }
        for ((user, key), record) in &self.keys {
            books.load_key(*user, key.clone(), record.clone());
        }
        let outcome = books.decide(command);
        self.keep(books.into_journal());
        outcome
    }

    fn keep(&mut self, journal: Journal) {
        self.head = journal.head;
        self.users.extend(journal.users.into_iter().map(|new| new.user));
        let accounts = journal.opened.into_iter().chain(journal.changed);
        self.accounts.extend(accounts.map(|account| (account.id, account)));
        self.entries.extend(journal.entries);
        self.transfers.extend(journal.transfers);
        self.keys.extend(journal.keys);
    }

    /// Compares everything that can be read.
    fn assert_same(&self, ledger: &Ledger) {
        assert_eq!(ledger.audit().rows.transfers, self.transfers.len() as u64);
        assert_eq!(ledger.head(), self.head);
        assert_eq!(ledger.accounts(), self.accounts.values().cloned().collect::<Vec<_>>());
        for &id in self.accounts.keys() {
            let newest_first = self.entries.iter().rev().filter(|entry| entry.account_id == id).copied();
            assert_eq!(ledger.entries(id), newest_first.collect::<Vec<_>>());
        }
        for transfer in &self.transfers {
            assert_eq!(ledger.read(ledger.reader.transfer(transfer.id)).as_ref(), Some(&**transfer));
        }
        for user in self.users.iter().filter(|user| user.id != BUILT_IN_OPERATOR) {
            let found = ledger.read(ledger.reader.credentials(user.username.as_str()));
            assert_eq!(found.map(|credentials| credentials.user).as_ref(), Some(user));
        }
    }
}

const fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Registered(_) => "registered",
        Outcome::UsernameTaken => "username taken",
        Outcome::Opened(_) => "opened",
        Outcome::OwnerNotFound => "owner not found",
        Outcome::Transferred { replayed: false, .. } => "transferred",
        Outcome::Transferred { replayed: true, .. } => "transferred before",
        Outcome::Rejected { replayed: false, .. } => "rejected",
        Outcome::Rejected { replayed: true, .. } => "rejected before",
        Outcome::Batch { replayed: false, .. } => "batch",
        Outcome::Batch { replayed: true, .. } => "batch before",
        Outcome::Expired(_) => "expired",
        Outcome::NotFound => "not found",
        Outcome::Forbidden => "forbidden",
        Outcome::KeyReused => "key reused",
    }
}

/// How many kinds [`kind`] tells apart.
const KINDS: usize = 10;

pub(crate) fn batches_decide_as_single_commands_do(empty: Ledger) {
    let seen = RefCell::new(BTreeSet::new());
    let histories = prop::collection::vec(batch(), 1..10);
    let config = Config { cases: HISTORIES, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&histories, |history| {
        let mut ledger = empty.elsewhere();
        let (mut memory, mut commands) = (Memory::new(), Commands::default());
        let beginning = Batch { clock_step_s: 0, reopen: false, steps: BEGINNING.to_vec() };
        for Batch { clock_step_s, reopen, steps } in iter::once(beginning).chain(history) {
            if reopen {
                ledger = ledger.reopened();
            }
            ledger.clock = ledger.clock.saturating_add_seconds(clock_step_s);
            let batch = commands.of(&mut ledger, &steps);
            let outcomes = ledger.commit(&batch);
            let expected: Vec<_> = batch.iter().map(|command| memory.decide(command, ledger.clock)).collect();
            prop_assert_eq!(&outcomes, &expected);
            memory.assert_same(&ledger);
            seen.borrow_mut().extend(outcomes.iter().map(kind));
        }
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    assert_eq!(seen.len(), KINDS, "the histories are too tame: {seen:?}");
}
