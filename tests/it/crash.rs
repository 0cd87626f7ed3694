//! `kill -9` under load: what was acknowledged stays, what was not can be sent again, and nothing is applied
//! twice. What is killed is the caller's choice.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::support::Server;
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::raw::{Connection, Reply, Request};

const ROUNDS: usize = 10;
const CLIENTS: usize = 32;
const ACCOUNTS: usize = 50;

/// From the start of the process to `/ready` saying 200, after a crash: the median of the rounds, since a busy machine
/// may hold up some.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// How long a server that is not ready is asked again before the test fails.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two looks at what others do, so that looking takes no core from them.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Least and most milliseconds of load before the blow.
const STRIKE_AFTER_MS: (u64, u64) = (100, 500);

/// Requests in one pipelined read of many transfers.
const READS_AT_ONCE: usize = 100;

/// What one client knows when it stops.
#[derive(Default)]
struct Log {
    /// Orders with the id of the transfer that acknowledges each.
    acknowledged: Vec<(Order, String)>,
    /// The order whose fate the client was not told.
    unanswered: Option<Order>,
}

/// The ledger as the clients know it.
struct Witness {
    balances: Vec<i64>,
    acknowledged: Vec<(Order, String)>,
}

/// What all clients of a round look at.
#[derive(Default)]
struct Round {
    /// Clients that have had their first reply.
    running: AtomicUsize,
    over: AtomicBool,
}

/// A ledger that is struck again and again under load, and holds all invariants after each blow.
pub(crate) struct Trial {
    server: Server,
    books: Books,
    witness: Witness,
    head: String,
    /// For each round, the time from the blow to `/ready` saying 200.
    ready_after: Vec<Duration>,
}

#[test]
fn ten_kills_lose_nothing_and_repeat_nothing() {
    let mut trial = Trial::on(Server::start());
    for _ in 0..ROUNDS {
        trial = trial.round(|server| server.kill_and_restart().0);
    }
    let mut ready_after = trial.end();
    ready_after.sort_unstable();
    assert!(ready_after[ROUNDS / 2] < READY_WITHIN, "{ready_after:?}");
}

impl Trial {
    /// On a server with an empty ledger.
    pub(crate) fn on(server: Server) -> Self {
        let books = Books::open(&server, ACCOUNTS);
        let witness = Witness { balances: vec![FUNDS; ACCOUNTS], acknowledged: Vec::new() };
        let head = server.verify(None);
        Self { server, books, witness, head, ready_after: Vec::new() }
    }

    /// Lets all clients write, strikes at a random time, and checks what is left when the server is ready again.
    pub(crate) fn round(self, strike: impl FnOnce(Server) -> Server) -> Self {
        let Self { server, books, mut witness, mut head, mut ready_after } = self;
        let round = ready_after.len();
        let (server, after, logs) = write_until_struck(server, &books, round, strike);
        ready_after.push(after);

        let mut connection = Connection::open(server.address());
        let (fresh, unanswered) = merge(logs);
        assert!(!fresh.is_empty(), "round {round} was struck before anything was acknowledged");
        assert_stored(&mut connection, &books, &fresh);
        let resent = unanswered.into_iter().map(|order| {
            let id = send_twice(&mut connection, &books, &order);
            (order, id)
        });
        let resent: Vec<_> = resent.collect();
        witness.add(fresh);
        witness.add(resent);
        assert_eq!(books.balances(&mut connection), witness.balances, "after round {round}");
        head = server.verify(Some(&head));
        Self { server, books, witness, head, ready_after }
    }

    /// Looks at everything that was acknowledged once more; returns how long each round's server was not ready.
    pub(crate) fn end(self) -> Vec<Duration> {
        let Self { server, books, witness, ready_after, .. } = self;
        assert_stored(&mut Connection::open(server.address()), &books, &witness.acknowledged);
        eprintln!("{} transfers; ready after {ready_after:?}", witness.acknowledged.len());
        ready_after
    }
}

impl Witness {
    fn add(&mut self, orders: Vec<(Order, String)>) {
        for (order, _) in &orders {
            self.balances[order.debit] -= order.amount;
            self.balances[order.credit] += order.amount;
        }
        self.acknowledged.extend(orders);
    }
}

/// Lets all clients write and strikes at a random time; returns the server that is there then, when it was ready,
/// and what the clients know.
fn write_until_struck(
    server: Server,
    books: &Books,
    number: usize,
    strike: impl FnOnce(Server) -> Server,
) -> (Server, Duration, Vec<Log>) {
    let address = server.address();
    let round = Round::default();
    thread::scope(|scope| {
        let client = |client: usize| {
            let round = &round;
            scope
                .spawn(move || write_until_told_nothing(address, books, &format!("{number}-{client}"), round))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        // A client that has ended has failed, and joining it says how.
        while round.running.load(Ordering::Relaxed) < CLIENTS
            && !clients.iter().any(ScopedJoinHandle::is_finished)
        {
            thread::sleep(LOOK_EVERY);
        }
        thread::sleep(random_wait(STRIKE_AFTER_MS));
        let begin = Instant::now();
        let server = strike(server);
        wait_until_ready(server.address());
        let ready_after = begin.elapsed();
        round.over.store(true, Ordering::Relaxed);
        (server, ready_after, clients.into_iter().map(|client| client.join().unwrap()).collect())
    })
}

/// Places one order after another, each with a key of its own, until a reply does not come, is that the store is
/// unavailable, or the round is over.
fn write_until_told_nothing(address: SocketAddr, books: &Books, name: &str, round: &Round) -> Log {
    let mut connection = Connection::open(address);
    let mut log = Log::default();
    let dice = RandomState::new();
    for number in 0.. {
        let order = random_order(&dice, format!("{name}-{number}"));
        let sent = connection.try_send(books.request(&order).bytes());
        match sent.and_then(|()| connection.try_reply()) {
            Ok(reply) if reply.status != 503 => log.acknowledged.push((order, expect_created(&reply))),
            reply => {
                assert!(reply.is_err() || reply.unwrap().problem_code() == "store_unavailable");
                log.unanswered = Some(order);
                break;
            }
        }
        if number == 0 {
            round.running.fetch_add(1, Ordering::Relaxed);
        }
        if round.over.load(Ordering::Relaxed) {
            break;
        }
    }
    log
}

fn random_order(dice: &RandomState, key: String) -> Order {
    let roll = |side: &str, sides: usize| random(dice, (&key, side), sides);
    let debit = roll("debit", ACCOUNTS);
    let credit = (debit + 1 + roll("credit", ACCOUNTS - 1)) % ACCOUNTS;
    let amount = 1 + i64::try_from(roll("amount", 100)).unwrap();
    Order { key, debit, credit, amount }
}

/// A wait between `least` and `most` milliseconds.
fn random_wait((least, most): (u64, u64)) -> Duration {
    Duration::from_millis(least + RandomState::new().hash_one(0) % (most - least))
}

/// A number below `sides` that is the same for the same `dice` and `what`.
fn random(dice: &RandomState, what: impl Hash, sides: usize) -> usize {
    usize::try_from(dice.hash_one(what) % u64::try_from(sides).unwrap()).unwrap()
}

fn merge(logs: Vec<Log>) -> (Vec<(Order, String)>, Vec<Order>) {
    let mut acknowledged = Vec::new();
    let mut unanswered = Vec::new();
    for log in logs {
        acknowledged.extend(log.acknowledged);
        unanswered.extend(log.unanswered);
    }
    (acknowledged, unanswered)
}

fn wait_until_ready(address: SocketAddr) {
    let deadline = Instant::now() + READY_PATIENCE;
    let mut connection = Connection::open(address);
    loop {
        let reply = connection.call(Request::get("/ready").bytes());
        if reply.status == 200 {
            return;
        }
        assert!(Instant::now() < deadline, "never ready: {reply:?}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Asserts that each acknowledged transfer is there, as it was ordered.
fn assert_stored(connection: &mut Connection, books: &Books, acknowledged: &[(Order, String)]) {
    for part in acknowledged.chunks(READS_AT_ONCE) {
        let read = |(_, id): &(Order, String)| books.get(&format!("/api/v1/transfers/{id}")).bytes();
        connection.send(part.iter().flat_map(read).collect::<Vec<_>>());
        for (order, id) in part {
            assert_is_order(&connection.reply(), books, order, id);
        }
    }
}

fn assert_is_order(reply: &Reply, books: &Books, order: &Order, id: &str) {
    assert_eq!(reply.status, 200, "acknowledged {order:?} as {id}, now {reply:?}");
    let transfer = reply.json();
    assert_eq!(transfer["id"], id);
    assert_eq!(transfer["amount"], order.amount, "{order:?} is {transfer}");
    assert_eq!(transfer["debit_account"], books.accounts[order.debit], "{order:?} is {transfer}");
    assert_eq!(transfer["credit_account"], books.accounts[order.credit], "{order:?} is {transfer}");
}

/// Sends an order whose fate is unknown again, and once more: the second time it must be a replay.
fn send_twice(connection: &mut Connection, books: &Books, order: &Order) -> String {
    let request = books.request(order).bytes();
    let id = expect_created(&connection.call(&request));
    let replay = connection.call(&request);
    assert_eq!(expect_created(&replay), id, "{order:?}");
    assert_eq!(replay.field("idempotency-replayed"), Some("true"), "{replay:?}");
    id
}
