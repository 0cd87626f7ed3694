//! One idempotency key from everywhere at once.

use std::sync::Barrier;
use std::thread;

use super::server_on;
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::on_both_engines;
use crate::support::raw::{Connection, Reply};

const CALLERS: usize = 50;
const AMOUNT: i64 = 7;

on_both_engines!(fifty_at_once_make_one_transfer, fifty_at_once_are_refused_alike);

/// Sends one order over as many connections, all open before the first byte.
fn all_at_once(engine: &str, amount: i64) -> (Vec<Reply>, Vec<i64>) {
    let server = server_on(engine);
    let books = Books::open(&server, 2);
    let order = Order { key: "everyone".to_owned(), debit: 0, credit: 1, amount };
    let request = books.request(&order).bytes();
    let start = Barrier::new(CALLERS);
    let address = server.address();
    let call = || {
        let mut connection = Connection::open(address);
        start.wait();
        connection.call(&request)
    };
    let replies = thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(call)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    (replies, books.balances(&mut Connection::open(address)))
}

/// The replies that are not "another one is at it".
fn decided(replies: Vec<Reply>) -> Vec<Reply> {
    let (waiting, decided): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 409);
    for reply in waiting {
        assert_eq!(reply.problem_code(), "idempotency_in_flight");
    }
    assert!(!decided.is_empty(), "nobody was first");
    decided
}

fn fifty_at_once_make_one_transfer(engine: &str) {
    let (replies, balances) = all_at_once(engine, AMOUNT);
    assert_eq!(balances, [FUNDS - AMOUNT, FUNDS + AMOUNT]);
    let replies = decided(replies);
    let ids: Vec<_> = replies.iter().map(expect_created).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert!(replies.iter().all(|reply| reply.body == replies[0].body));
    let first = replies.iter().filter(|reply| reply.field("idempotency-replayed").is_none()).count();
    assert_eq!(first, 1, "one reply is the original, the others are replays");
}

fn fifty_at_once_are_refused_alike(engine: &str) {
    let (replies, balances) = all_at_once(engine, FUNDS + 1);
    assert_eq!(balances, [FUNDS, FUNDS]);
    for reply in decided(replies) {
        assert_eq!((reply.status, reply.problem_code().as_str()), (422, "insufficient_funds"));
    }
}
