//! Random commands in random batches: a store decides as the rule does over everything in memory, one command
//! after the other, and the invariants hold after each batch.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::iter;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use ringledger::models::idempotency::KEY_LIFE_S;
use ringledger::models::posting::{
    BatchRequest, Command, ExpireHolds, HoldRequest, OpenAccount, Outcome, Owner, RegisterUser,
    ReversalRequest, TransferRequest,
};
use ringledger::models::user::BUILT_IN_OPERATOR;
use ringledger::models::{
    AccountId, Actor, Fingerprint, Hold, IdempotencyKey, Money, Role, Terms, Timestamp, Transfer, TransferId,
    TransferStatus, UserId,
};
use uuid::Uuid;

use crate::store::ledger::{ALL, Ledger, euros, key_of};
use crate::store::memory::Memory;

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
    Ask { actor: u128, operator: bool, key: u8, what: What },
    Repeat { earlier: Index },
    Expire,
}

/// What a key is used for. Transfers that were asked for are named, made or not.
#[derive(Debug, Clone)]
enum What {
    Transfer(Order),
    Post { of: Index, part: Option<i64> },
    Void { of: Index },
    Reverse { of: Index },
    Batch { atomic: bool, orders: Vec<Order> },
}

#[derive(Debug, Clone)]
struct Order {
    debit: u128,
    credit: u128,
    amount: i64,
    hold: Option<Hold>,
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
    let ask = (1..3_u128, prop::bool::weighted(0.7), 0..40_u8, what())
        .prop_map(|(actor, operator, key, what)| Step::Ask { actor, operator, key, what });
    let repeat = any::<Index>().prop_map(|earlier| Step::Repeat { earlier });
    prop_oneof![1 => register, 2 => open, 14 => ask, 3 => repeat, 1 => Just(Step::Expire)]
}

fn order() -> impl Strategy<Value = Order> {
    let hold = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Hold { timeout_s: None })),
        2 => (1..90_u32).prop_map(|timeout_s| Some(Hold { timeout_s: Some(timeout_s) })),
    ];
    // The first account is the one that has no floor.
    let debit = prop_oneof![1 => Just(1), 2 => 0..6_u128];
    (debit, 0..6_u128, 1..40_i64, hold).prop_map(|(debit, credit, amount, hold)| Order {
        debit,
        credit,
        amount,
        hold,
    })
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        8 => order().prop_map(What::Transfer),
        4 => (any::<Index>(), prop::option::of(1..40_i64)).prop_map(|(of, part)| What::Post { of, part }),
        1 => any::<Index>().prop_map(|of| What::Void { of }),
        3 => any::<Index>().prop_map(|of| What::Reverse { of }),
        2 => (any::<bool>(), prop::collection::vec(order(), 1..6))
            .prop_map(|(atomic, orders)| What::Batch { atomic, orders }),
    ]
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
    /// Those with a key.
    requests: Vec<Command>,
    /// Transfers that were asked for.
    transfers: Vec<TransferId>,
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
        let command = match *step {
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
            Step::Ask { actor, operator, key, ref what } => {
                let role = if operator { Role::Operator } else { Role::User };
                let actor = Actor { id: user_id(actor), role };
                self.ask(ledger, actor, key_of(&format!("key-{key}")), what)
            }
            Step::Repeat { .. } if self.requests.is_empty() => return None,
            Step::Repeat { earlier } => ledger.sent_again(earlier.get(&self.requests)),
            Step::Expire => return Some(Command::ExpireHolds(ExpireHolds { limit: ALL })),
        };
        self.requests.push(command.clone());
        Some(command)
    }

    fn ask(&mut self, ledger: &mut Ledger, actor: Actor, key: IdempotencyKey, what: &What) -> Command {
        let terms = |order: &Order| euros(account_id(order.debit), account_id(order.credit), order.amount);
        match what {
            What::Transfer(order) => self.transfer(ledger, actor, key, terms(order), order.hold),
            What::Post { of, part } => {
                Command::Resolve(HoldRequest { actor, key, ..ledger.posting(self.asked_for(*of), *part) })
            }
            What::Void { of } => {
                Command::Resolve(HoldRequest { actor, key, ..ledger.voiding(self.asked_for(*of)) })
            }
            What::Reverse { of } => {
                let reversal = ledger.reversal(self.asked_for(*of));
                self.transfers.push(reversal.id);
                Command::Reverse(ReversalRequest { actor, key, ..reversal })
            }
            What::Batch { atomic, orders } => {
                let orders = orders.iter().map(|order| (terms(order), order.hold));
                let many = ledger.many(*atomic, orders);
                self.transfers.extend(many.items.iter().map(|item| item.id));
                Command::Batch(BatchRequest { actor, key, ..many })
            }
        }
    }

    fn transfer(
        &mut self,
        ledger: &mut Ledger,
        actor: Actor,
        key: IdempotencyKey,
        terms: Terms,
        hold: Option<Hold>,
    ) -> Command {
        let fingerprint = Fingerprint::of_transfer(&terms, hold);
        let request = ledger.request(actor, key.as_str(), terms);
        self.transfers.push(request.id);
        Command::Transfer(TransferRequest { fingerprint, hold, ..request })
    }

    /// A transfer that was asked for; before the first, one that never is.
    fn asked_for(&self, of: Index) -> TransferId {
        let nothing = TransferId::from_uuid(Uuid::nil());
        if self.transfers.is_empty() { nothing } else { *of.get(&self.transfers) }
    }
}

impl Memory {
    /// When the first hold with a time limit ends.
    fn next_expiry(&self) -> Option<Timestamp> {
        let pending = |transfer: &&Arc<Transfer>| transfer.status == TransferStatus::Pending;
        self.transfers.values().filter(pending).filter_map(|transfer| transfer.expires_at).min()
    }

    /// Compares everything that can be read.
    fn assert_same(&self, ledger: &mut Ledger) {
        assert_eq!(ledger.next_expiry(), self.next_expiry());
        assert_eq!(ledger.audit().rows.transfers, self.transfers.len() as u64);
        assert_eq!(ledger.head(), self.head);
        assert_eq!(ledger.accounts(), self.accounts.values().cloned().collect::<Vec<_>>());
        for &id in self.accounts.keys() {
            let newest_first = self.entries.iter().rev().filter(|entry| entry.account_id == id).copied();
            assert_eq!(ledger.entries(id), newest_first.collect::<Vec<_>>());
        }
        for transfer in self.transfers.values() {
            assert_eq!(ledger.transfer(transfer.id), **transfer);
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
        Outcome::KeyDamaged => "key damaged",
    }
}

/// How many kinds [`kind`] tells apart.
const KINDS: usize = 14;

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
            memory.assert_same(&mut ledger);
            seen.borrow_mut().extend(outcomes.iter().map(kind));
        }
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
    let seen = seen.into_inner();
    assert_eq!(seen.len(), KINDS, "the histories are too tame: {seen:?}");
}
