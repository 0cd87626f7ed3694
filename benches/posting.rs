//! The posting rule alone, without a store: `cargo bench --bench posting`.
//!
//! One iteration decides a batch of transfers against loaded books and takes the journal out; the figure to look
//! at is the throughput, in transfers a second.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ringledger::models::event::ChainHash;
use ringledger::models::posting::{Books, Command, Journal, Outcome, TransferRequest};
use ringledger::models::{
    Account, AccountId, Actor, Amount, Fingerprint, Head, Role, Terms, Timestamp, TransferId, UserId,
};
use uuid::Uuid;

/// Transfers in a batch: no company, a usual one, and the lane's bound.
const BATCHES: [u128; 3] = [1, 64, 4_096];
/// Accounts that money moves between.
const ACCOUNTS: u128 = 1_000;

const OWNER: UserId = UserId::from_uuid(Uuid::from_u128(1));

// The allocator of the binary: the rule makes events, transfers and keys.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("posting");
    for size in BATCHES {
        let commands: Vec<_> = (0..size).map(transfer).collect();
        group.throughput(Throughput::Elements(commands.len() as u64));
        group.bench_function(BenchmarkId::new("decide", size), |bench| {
            bench.iter_batched(|| books(size), |books| settle(books, &commands), BatchSize::SmallInput);
        });
    }
    group.finish();
}

fn settle(mut books: Books, commands: &[Command]) -> (Journal, Vec<Outcome>) {
    let outcomes = commands.iter().map(|command| books.decide(command)).collect();
    (books.into_journal(), outcomes)
}

fn account_id(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n % ACCOUNTS))
}

/// The accounts of the `n`th transfer: each is debited and credited in turn.
fn sides(n: u128) -> [AccountId; 2] {
    [account_id(2 * n), account_id(2 * n + 1)]
}

/// What a store loads for the first `size` transfers.
fn books(size: u128) -> Books {
    let head = Head { seq: 0, hash: ChainHash::default(), at: Timestamp::EPOCH };
    let mut books = Books::new(head, None, Timestamp::EPOCH);
    for id in (0..size).flat_map(sides) {
        let currency = "EUR".parse().expect("a currency");
        books.load_account(Account::opened(id, OWNER, None, currency, None, Timestamp::EPOCH));
    }
    books
}

fn transfer(n: u128) -> Command {
    let [debit_account, credit_account] = sides(n);
    let terms = Terms {
        debit_account,
        credit_account,
        amount: Amount::new(1).expect("one is an amount"),
        currency: "EUR".parse().expect("a currency"),
        description: None,
        metadata: None,
        reference: None,
    };
    let id = Uuid::from_u128(n);
    Command::Transfer(TransferRequest {
        actor: Actor { id: OWNER, role: Role::User },
        key: id.to_string().parse().expect("a key"),
        fingerprint: Fingerprint::of_transfer(&terms, None),
        id: TransferId::from_uuid(id),
        terms,
        hold: None,
        request_id: id.to_string().into(),
    })
}

criterion_group!(benches, decide);
criterion_main!(benches);
