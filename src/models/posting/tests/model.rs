//! The rule against a naive ledger: random commands, every outcome predicted, the invariants after each.

mod naive;

use proptest::prelude::*;

use self::naive::{Ask, Item, Naive, Told, View, What};
use super::*;
use crate::models::Event;
use crate::models::idempotency::KEY_LIFE_S;

/// What is asked for in a history. Transfers are named by the order in which they were made; one beyond the last is
/// named, too.
#[derive(Debug, Clone)]
enum Step {
    Ask(Ask),
    /// An earlier request, sent again.
    Repeat(prop::sample::Index),
    Expire(u32),
    /// The batch of commands ends; the next one is so many seconds later.
    Commit(i64),
}

fn item_of_any_kind() -> impl Strategy<Value = Item> {
    let most = crate::models::money::MAX_MINOR_UNITS;
    let minor_units = prop_oneof![14 => 1..60_i64, 1 => (most - 60)..=most];
    let hold = prop_oneof![
        3 => Just(None),
        1 => Just(Some(Hold { timeout_s: None })),
        2 => (1..8_u32).prop_map(|timeout_s| Some(Hold { timeout_s: Some(timeout_s) })),
    ];
    // The unbounded account more often, so that there is money.
    let debit = prop_oneof![2 => Just(0), 3 => 0..=ACCOUNTS];
    (debit, 0..=ACCOUNTS, minor_units, hold).prop_map(|(debit, credit, minor_units, hold)| Item {
        debit,
        credit,
        minor_units,
        hold,
    })
}

fn what() -> impl Strategy<Value = What> {
    let of = 0..10_u128;
    let part = prop::option::of(1..60_i64);
    prop_oneof![
        6 => item_of_any_kind().prop_map(What::Transfer),
        3 => (of.clone(), part).prop_map(|(of, part)| What::Post(of, part)),
        1 => of.clone().prop_map(What::Void),
        2 => of.prop_map(What::Reverse),
        2 => (any::<bool>(), prop::collection::vec(item_of_any_kind(), 1..5))
            .prop_map(|(atomic, items)| What::Batch { atomic, items }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let ask = (0..2_u128, any::<bool>(), 0..40_u8, what())
        .prop_map(|(user, operator, key, what)| Step::Ask(Ask { user, operator, key, what }));
    let seconds = prop_oneof![12 => 0..6_i64, 1 => Just(KEY_LIFE_S)];
    prop_oneof![
        16 => ask,
        3 => any::<prop::sample::Index>().prop_map(Step::Repeat),
        2 => (0..4_u32).prop_map(Step::Expire),
        3 => seconds.prop_map(Step::Commit),
    ]
}

/// The rule and the naive ledger side by side.
struct Both {
    books: Books,
    naive: Naive,
    /// The naive ledger as the current batch of commands found it.
    before: Naive,
    asked: Vec<Ask>,
    /// Of the batches before.
    log: Vec<LoggedEvent>,
    entries: Vec<Entry>,
    ids: u128,
}

impl Both {
    fn new() -> Self {
        let books = books_with_accounts(genesis(), at(1));
        let naive = Naive::new(opened_accounts(), 1);
        let (log, entries) = (Vec::new(), Vec::new());
        Self { books, before: naive.clone(), naive, asked: Vec::new(), log, entries, ids: 0 }
    }

    fn take(&mut self, step: Step) {
        let ask = match step {
            Step::Ask(ask) => Ask { what: self.named(ask.what), ..ask },
            Step::Repeat(_) if self.asked.is_empty() => return,
            Step::Repeat(earlier) => earlier.get(&self.asked).clone(),
            Step::Expire(limit) => {
                let outcome = self.books.decide(&expire(limit));
                assert_eq!(outcome, Outcome::Expired(self.naive.expire(limit)));
                return;
            }
            Step::Commit(seconds) => return self.commit(seconds),
        };
        self.asked.push(ask.clone());
        let first_id = self.ids + 1;
        self.ids += 5;
        let request = format!("request-{}", self.asked.len());
        let told = seen(&self.books.decide(&command(&ask, first_id, &request)));
        assert_eq!(told, self.naive.answer(&ask, first_id, &request), "{ask:?}");
    }

    /// Transfers by their ids instead of their places.
    fn named(&self, what: What) -> What {
        let id_at = |place: u128| self.naive.id_at(usize::try_from(place).unwrap());
        match what {
            What::Post(place, part) => What::Post(id_at(place), part),
            What::Void(place) => What::Void(id_at(place)),
            What::Reverse(place) => What::Reverse(id_at(place)),
            What::Transfer(_) | What::Batch { .. } => what,
        }
    }

    fn commit(&mut self, seconds: i64) {
        self.naive.now += seconds;
        let now = at(self.naive.now);
        let books = std::mem::replace(&mut self.books, books_with_accounts(genesis(), now));
        self.log.extend(books.journal.events.iter().cloned());
        self.entries.extend(books.journal.entries.iter().copied());
        let accounts = books.accounts.clone();
        let transfers = books.transfers.clone();
        let keys = books.keys.clone();
        let journal = books.into_journal();
        self.check_journal(&journal);
        let mut next = Books::new(journal.head, None, now);
        for account in accounts.into_values() {
            next.load_account(account);
        }
        for transfer in transfers.into_values() {
            next.load_transfer(Transfer::clone(&transfer));
        }
        for ((user, key), record) in keys {
            next.load_key(user, key, record);
        }
        (self.books, self.before) = (next, self.naive.clone());
    }

    /// What is to be written is what differs from before, and nothing else.
    fn check_journal(&self, journal: &Journal) {
        let sorted = |mut numbers: Vec<u128>| {
            numbers.sort_unstable();
            numbers
        };
        let changed = journal.changed.iter().map(|account| account.id.as_uuid().as_u128()).collect();
        let versions = self.naive.accounts.iter().zip(&self.before.accounts).zip(0..);
        let expected = versions.filter(|((now, before), _)| now.version != before.version).map(|(_, n)| n);
        assert_eq!(sorted(changed), expected.collect::<Vec<u128>>());
        assert_eq!(journal.opened, []);

        let made: Vec<_> = journal.transfers.iter().map(|transfer| view(transfer)).collect();
        let known = self.before.transfers.len();
        assert_eq!(made, self.naive.transfers[known..]);
        let mut updated: Vec<_> = journal.updated_transfers.iter().map(|transfer| view(transfer)).collect();
        updated.sort_by_key(|transfer| transfer.seq);
        let pairs = self.naive.transfers.iter().zip(&self.before.transfers);
        let expected = pairs.filter(|(now, before)| now != before).map(|(now, _)| now.clone());
        assert_eq!(updated, expected.collect::<Vec<_>>());
    }

    /// The invariants of the contract that can be seen on the books alone: I2 to I6.
    fn check_invariants(&self) {
        let accounts = (0..).zip(&self.naive.accounts);
        let total: i64 = self.books.accounts.values().map(|account| account.balance.minor_units()).sum();
        assert_eq!(total, 0, "I3");
        let mut views: Vec<_> = self.books.transfers.values().map(|transfer| view(transfer)).collect();
        views.sort_by_key(|transfer| transfer.seq);
        assert_eq!(views, self.naive.transfers, "I2");
        for (n, expected) in accounts {
            let account = self.books.account(n);
            let entries = self.entries.iter().chain(&self.books.journal.entries);
            let entries: Vec<_> = entries.filter(|entry| entry.account_id == account.id).collect();
            let sum: i64 = entries.iter().map(|entry| entry.amount.minor_units()).sum();
            assert_eq!(account.balance.minor_units(), sum, "I4");
            assert_eq!(entries.last().map_or(Money::ZERO, |entry| entry.balance), account.balance, "I4");
            assert_eq!(i128::from(account.held.minor_units()), self.naive.held(n), "I4");
            assert!(account.min_balance.is_none_or(|least| account.available() >= least), "I5");
            let found = (i128::from(account.balance.minor_units()), account.version);
            assert_eq!(found, (expected.balance, expected.version), "account {n}");
        }
        self.check_log();
    }

    fn check_log(&self) {
        let mut hash = ChainHash::default();
        let events = self.log.iter().chain(&self.books.journal.events);
        let mut count = 0;
        for event in events {
            count += 1;
            hash = hash.next(&event.body);
            let decoded = Event::decode(&event.body).unwrap();
            assert_eq!((event.seq, decoded.seq, event.hash), (count, count, hash), "I6");
        }
        let head = self.books.journal.head;
        assert_eq!((head.seq, head.hash, count), (count, hash, self.naive.seq), "I6");
    }
}

fn command(ask: &Ask, first_id: u128, request: &str) -> Command {
    let actor = if ask.operator { as_operator(ask.user) } else { as_user(ask.user) };
    let key = format!("key-{}", ask.key);
    let real = |(id, item): (u128, &Item)| match item.hold {
        None => super::item(id, item.debit, item.credit, item.minor_units),
        Some(Hold { timeout_s }) => held_item(id, item.debit, item.credit, item.minor_units, timeout_s),
    };
    let mut command = match &ask.what {
        What::Transfer(item) => transfer(actor, &key, real((first_id, item))),
        What::Post(of, part) => post(actor, &key, *of, *part),
        What::Void(of) => void(actor, &key, *of),
        What::Reverse(of) => reverse(actor, &key, *of, first_id),
        What::Batch { atomic, items } => {
            batch(actor, &key, *atomic, (first_id..).zip(items).map(real).collect())
        }
    };
    match &mut command {
        Command::Transfer(of) => of.request_id = request.into(),
        Command::Resolve(of) => of.request_id = request.into(),
        Command::Reverse(of) => of.request_id = request.into(),
        Command::Batch(of) => of.request_id = request.into(),
        Command::RegisterUser(_) | Command::OpenAccount(_) | Command::ExpireHolds(_) => {}
    }
    command
}

fn view(transfer: &Transfer) -> View {
    let number = |id: &Uuid| id.as_u128();
    let made = |id: TransferId| number(id.as_uuid()) - number(transfer_id(0).as_uuid());
    let terms = &transfer.terms;
    View {
        id: made(transfer.id),
        seq: transfer.seq,
        status: transfer.status,
        debit: number(terms.debit_account.as_uuid()),
        credit: number(terms.credit_account.as_uuid()),
        minor_units: terms.amount.money().minor_units(),
        posted: transfer.posted_amount.map(|amount| amount.money().minor_units()),
        expires_at: transfer.expires_at.map(|time| time.as_micros() / 1_000_000),
        reverses: transfer.reverses.map(made),
        reversed_by: transfer.reversed_by.map(made),
    }
}

fn seen(outcome: &Outcome) -> Told {
    let (told, replayed) = match outcome {
        Outcome::Transferred { transfer, replayed } => (Told::Transfer(view(transfer)), *replayed),
        Outcome::Rejected { rejection, request_id, replayed } => {
            (Told::Rejected(*rejection, request_id.to_string()), *replayed)
        }
        Outcome::Batch { batch, replayed } => {
            let items = batch.items.iter().map(|item| match item {
                Ok(transfer) => Ok(view(transfer)),
                Err(refusal) => Err(*refusal),
            });
            let (items, request) = (items.collect(), batch.request_id.to_string());
            (Told::Batch { items, aborted: batch.aborted, request }, *replayed)
        }
        Outcome::NotFound => (Told::NotFound, false),
        Outcome::Forbidden => (Told::Forbidden, false),
        Outcome::KeyReused => (Told::KeyReused, false),
        other => panic!("{other:?}"),
    };
    if replayed { Told::Before(told.into()) } else { told }
}

proptest! {
    #[test]
    fn agrees_with_a_naive_ledger(steps in prop::collection::vec(step(), 1..80)) {
        let mut both = Both::new();
        for step in steps {
            both.take(step);
            both.check_invariants();
        }
        both.commit(1);
        both.check_invariants();
    }
}
