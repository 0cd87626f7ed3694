//! The server on Postgres, and all that can happen to a Postgres: what callers are told meanwhile, and that no
//! money is lost or made.
//!
//! What every store promises is in `store::contract`, which runs on Postgres too.

mod chaos;
mod commits;
mod failover;
mod holds;
mod keys;
mod load;
mod outages;
pub(crate) mod replicas;
mod start;
mod tls;

use std::net::SocketAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::books::{Books, Order, expect_created};
use crate::support::postgres::{DEADLINE_MS, serve_with, shared_cluster};
use crate::support::raw::{Connection, Reply, Request};
use crate::support::{Server, SetsAtEnd, wait_until};

use throwaway_postgres::Proxy;

/// By when a request is answered, whatever the database does.
const DEADLINE: Duration = Duration::from_millis(DEADLINE_MS);
/// By when a server tells that its database does not answer, and by when it serves again when it does.
const UNREADY_WITHIN: Duration = Duration::from_secs(2);
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
/// How much later than promised a busy machine may be.
const LATE: Duration = Duration::from_secs(2);
/// The longest that `/health` may take beside an outage, on a busy machine.
const HEALTH_WITHIN: Duration = Duration::from_secs(1);
/// Between two looks at `/health`.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server behind a proxy before a database of its own.
struct Line {
    proxy: Proxy,
    server: Server,
    books: Books,
}

impl Line {
    /// With two funded accounts.
    fn new() -> Self {
        Self::with(&[])
    }

    /// With further arguments of `serve`.
    fn with(arguments: &[&str]) -> Self {
        let proxy = Proxy::before(shared_cluster()).unwrap();
        let database = shared_cluster().database().unwrap();
        let server = serve_with(arguments, &shared_cluster().url_by(proxy.port(), &database), &[]);
        let books = Books::open(&server, 2);
        Self { proxy, server, books }
    }
}

/// A payment of 1 cent from the first account to the second.
pub(crate) fn payment(key: &str) -> Order {
    Order { key: key.to_owned(), debit: 0, credit: 1, amount: 1 }
}

/// Sends a request on a connection of its own; what came, and after how long.
pub(crate) fn ask(address: SocketAddr, request: &Request) -> (Reply, Duration) {
    let begin = Instant::now();
    let reply = Connection::open(address).call(request.bytes());
    (reply, begin.elapsed())
}

/// Sends requests at once, each on a connection of its own.
pub(crate) fn ask_all(address: SocketAddr, requests: &[Request]) -> Vec<(Reply, Duration)> {
    let start = Barrier::new(requests.len());
    let call = |request| {
        start.wait();
        ask(address, request)
    };
    thread::scope(|scope| {
        let callers: Vec<_> = requests.iter().map(|request| scope.spawn(|| call(request))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// Asserts that a reply says that the store cannot be asked, and when to come again.
#[track_caller]
pub(crate) fn assert_unavailable(reply: &Reply) {
    assert_eq!((reply.status, reply.problem_code().as_str()), (503, "store_unavailable"), "{reply:?}");
    let seconds: u64 = reply.field("retry-after").expect("when to come again").parse().unwrap();
    assert!(seconds >= 1, "{reply:?}");
}

/// Asserts that a reply came in time.
#[track_caller]
fn assert_in_time(after: Duration) {
    assert!(after < DEADLINE + LATE, "answered after {after:?}");
}

/// Waits until `/ready` has this status.
#[track_caller]
fn wait_for_ready(server: &Server, status: u16, within: Duration) {
    wait_until(within, || match ask(server.address(), &Request::get("/ready")).0 {
        reply if reply.status == status => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
}

/// Does something while `/health` is looked at all the time, which must be 200 and soon.
fn while_healthy<T>(server: &Server, act: impl FnOnce() -> T) -> T {
    let (address, over) = (server.address(), AtomicBool::new(false));
    let look = || {
        let mut slowest = Duration::ZERO;
        while !over.load(Ordering::Relaxed) {
            let (reply, after) = ask(address, &Request::get("/health"));
            assert_eq!(reply.status, 200, "{reply:?}");
            slowest = slowest.max(after);
            thread::sleep(LOOK_EVERY);
        }
        slowest
    };
    thread::scope(|scope| {
        let looking = scope.spawn(look);
        let ends = SetsAtEnd(&over);
        let result = act();
        drop(ends);
        let slowest = looking.join().unwrap();
        assert!(slowest < HEALTH_WITHIN, "/health took {slowest:?}");
        result
    })
}

/// Sends an order again whose fate may be unknown, and once more: it must be there once.
#[track_caller]
pub(crate) fn settle(server: &Server, books: &Books, order: &Order) -> String {
    let request = books.request(order);
    let id = expect_created(&ask(server.address(), &request).0);
    let replay = ask(server.address(), &request).0;
    assert_eq!(expect_created(&replay), id, "{order:?}");
    assert_eq!(replay.field("idempotency-replayed"), Some("true"), "{replay:?}");
    id
}
