//! A connection lost around COMMIT, so that nobody knows how it ended: the money moves once, and nobody is told
//! a failure that did not happen.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use throwaway_postgres::{CommitLoss, Proxy, Replication};

use super::{DEADLINE, LATE, Line, ask, assert_in_time, assert_unavailable, payment, settle};
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::postgres::{new_cluster, serve_on};
use crate::support::raw::{Connection, Reply};
use crate::support::{Server, wait_until};

/// Callers at once, who so share batches.
const CALLERS: usize = 40;
/// How often a commit is lost.
const ROUNDS: usize = 5;

#[test]
fn a_commit_that_the_server_never_got() {
    lose_commits(CommitLoss::Request);
}

#[test]
fn a_commit_whose_answer_never_came() {
    lose_commits(CommitLoss::Answer);
}

fn lose_commits(loss: CommitLoss) {
    let Line { proxy, server, books } = Line::new();
    for round in 0..ROUNDS {
        let orders: Vec<_> = (0..CALLERS).map(|caller| payment(&format!("{round}-{caller}"))).collect();
        let lost = proxy.lose_next_commit(loss);
        let replies = all_at_once(&server, &books, &orders);
        assert!(lost.wait(LATE), "no commit went by");
        for (order, (reply, after)) in orders.iter().zip(&replies) {
            assert_in_time(*after);
            let id = settle(&server, &books, order);
            if reply.status == 201 {
                assert_eq!(expect_created(reply), id);
            } else {
                assert_unavailable(reply);
            }
        }
        let moved = i64::try_from((round + 1) * CALLERS).unwrap();
        let balances = books.balances(&mut Connection::open(server.address()));
        assert_eq!(balances, [FUNDS - moved, FUNDS + moved], "round {round}");
    }
    server.verify(None);
}

fn all_at_once(server: &Server, books: &Books, orders: &[Order]) -> Vec<(Reply, Duration)> {
    let (start, address) = (Barrier::new(orders.len()), server.address());
    let call = |order: &Order| {
        start.wait();
        ask(address, &books.request(order))
    };
    thread::scope(|scope| {
        let callers: Vec<_> = orders.iter().map(|order| scope.spawn(|| call(order))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    })
}

/// What a refused command is told is decided by its commit as well.
#[test]
fn a_refusal_whose_commit_is_lost_is_the_same_refusal_later() {
    let Line { proxy, server, books } = Line::new();
    let beyond = Order { amount: FUNDS + 1, ..payment("beyond") };
    for loss in [CommitLoss::Request, CommitLoss::Answer] {
        let lost = proxy.lose_next_commit(loss);
        let order = Order { key: format!("{loss:?}"), ..beyond.clone() };
        let (first, _) = ask(server.address(), &books.request(&order));
        assert!(lost.wait(LATE), "no commit went by");
        let (second, _) = ask(server.address(), &books.request(&order));
        assert_eq!((second.status, second.problem_code().as_str()), (422, "insufficient_funds"));
        match first.status {
            422 => assert_eq!(first.body, second.body),
            _ => assert_unavailable(&first),
        }
    }
    assert_eq!(books.balances(&mut Connection::open(server.address())), [FUNDS, FUNDS]);
}

/// The old session still waits for a standby, with its locks, when the commit's fate is looked for.
#[test]
fn a_commit_that_is_still_under_way_is_neither_repeated_nor_given_up() {
    let primary = new_cluster(&[]);
    let standby = primary.standby(Replication::Synchronous).unwrap();
    let proxy = Proxy::before(&primary).unwrap();
    let database = primary.database().unwrap();
    let server = serve_on(&primary.url_by(proxy.port(), &database));
    let books = Books::open(&server, 2);
    let order = payment("under-way");

    standby.pause();
    let lost = proxy.lose_next_commit(CommitLoss::Answer);
    let (reply, after) = ask(server.address(), &books.request(&order));
    assert!(lost.wait(LATE), "no commit went by");
    assert_unavailable(&reply);
    assert_in_time(after);
    let (reply, after) = ask(server.address(), &books.request(&order));
    assert_unavailable(&reply);
    assert_in_time(after);
    standby.resume();
    wait_until(DEADLINE + LATE, || match ask(server.address(), &books.request(&order)).0 {
        reply if reply.status == 201 => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
    settle(&server, &books, &order);
    assert_eq!(books.balances(&mut Connection::open(server.address())), [FUNDS - 1, FUNDS + 1]);
    server.verify(None);
}

/// A cancelled wait for a standby ends in a COMMIT that succeeds with a warning: it must not be taken for one.
#[test]
fn a_commit_that_no_standby_has_is_not_acknowledged() {
    let primary = new_cluster(&[]);
    let standby = primary.standby(Replication::Synchronous).unwrap();
    let server = serve_on(&primary.url(&primary.database().unwrap()));
    let books = Books::open(&server, 2);
    let order = payment("on-one-disk");
    standby.pause();
    let (reply, after) = ask(server.address(), &books.request(&order));
    assert_unavailable(&reply);
    assert_in_time(after);
    standby.resume();
    wait_until(DEADLINE + LATE, || match ask(server.address(), &books.request(&order)).0 {
        reply if reply.status == 201 => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
    settle(&server, &books, &order);
    server.verify(None);
}
