//! `kill -9` under load: what was acknowledged stays, what was not can be sent again, and nothing is applied
//! twice.

use std::hash::{BuildHasher, Hash, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::support::Server;
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::raw::{Connection, Reply, Request};

const ROUNDS: usize = 10;
const CLIENTS: usize = 32;
const ACCOUNTS: usize = 50;

/// From the start of the process to `/ready` saying 200, after a crash.
const READY_WITHIN: Duration = Duration::from_secs(1);
/// How long a server that is not ready is asked again before the test fails.
const READY_PATIENCE: Duration = Duration::from_secs(10);

/// Least and most milliseconds of load before the kill.
const KILL_AFTER_MS: (u64, u64) = (100, 500);

/// Requests in one pipelined read of many transfers.
const READS_AT_ONCE: usize = 100;

/// What one client knows when the server dies.
#[derive(Default)]
struct Log {
    /// Orders with the id of the transfer that acknowledges each.
    acknowledged: Vec<(Order, String)>,
    /// The order whose reply did not come.
    unanswered: Option<Order>,
}

/// The ledger as the clients know it.
struct Witness {
    balances: Vec<i64>,
    acknowledged: Vec<(Order, String)>,
}

#[test]
fn ten_kills_lose_nothing_and_repeat_nothing() {
    let mut server = Server::start();
    let books = Books::open(&server, ACCOUNTS);
    let mut witness = Witness { balances: vec![FUNDS; ACCOUNTS], acknowledged: Vec::new() };
    let mut head = server.verify(None);
    let mut ready_after = Vec::new();
    for round in 0..ROUNDS {
        let logs = write_until_killed(&mut server, &books, round);
        let begin = Instant::now();
        (server, _) = server.kill_and_restart();
        wait_until_ready(server.address());
        ready_after.push(begin.elapsed());

        let mut connection = Connection::open(server.address());
        let (fresh, unanswered) = merge(logs);
        assert!(!fresh.is_empty(), "round {round} was killed before anything was acknowledged");
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
    }
    assert_stored(&mut Connection::open(server.address()), &books, &witness.acknowledged);
    println!("{} transfers; ready after {ready_after:?}", witness.acknowledged.len());
    assert!(ready_after.iter().all(|&after| after < READY_WITHIN), "{ready_after:?}");
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

/// Lets all clients write, kills the server at a random time, and returns what the clients know.
fn write_until_killed(server: &mut Server, books: &Books, round: usize) -> Vec<Log> {
    let address = server.address();
    let running = AtomicUsize::new(0);
    thread::scope(|scope| {
        let client = |client: usize| {
            let running = &running;
            scope.spawn(move || write_until_it_dies(address, books, &format!("{round}-{client}"), running))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        // A client that has ended has failed, and joining it says how.
        while running.load(Ordering::Relaxed) < CLIENTS && !clients.iter().any(ScopedJoinHandle::is_finished)
        {
            thread::yield_now();
        }
        thread::sleep(random_wait(KILL_AFTER_MS));
        server.kill();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    })
}

/// Places one order after another, each with a key of its own, until a reply does not come. `running` counts
/// the clients that have had their first reply.
fn write_until_it_dies(address: SocketAddr, books: &Books, name: &str, running: &AtomicUsize) -> Log {
    let mut connection = Connection::open(address);
    let mut log = Log::default();
    let dice = RandomState::new();
    for number in 0.. {
        let order = random_order(&dice, format!("{name}-{number}"));
        let sent = connection.try_send(books.request(&order).bytes());
        let Ok(reply) = sent.and_then(|()| connection.try_reply()) else {
            log.unanswered = Some(order);
            break;
        };
        log.acknowledged.push((order, expect_created(&reply)));
        if number == 0 {
            running.fetch_add(1, Ordering::Relaxed);
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
        thread::sleep(Duration::from_millis(2));
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
