//! A connection lost around COMMIT, so that nobody knows how it ended: the money moves once, and nobody is told
//! a failure that did not happen.

use std::thread;

use throwaway_postgres::{Cluster, CommitLoss, Proxy, Replication};

use super::{DEADLINE, LATE, Line, ask, ask_all, assert_in_time, assert_unavailable, payment, settle};
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::postgres::{new_cluster, serve_on};
use crate::support::raw::{Connection, Request};
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
        let requests: Vec<_> = orders.iter().map(|order| books.request(order)).collect();
        let replies = ask_all(server.address(), &requests);
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

/// What has no key is known by its id: a name that was just taken is not taken by somebody else.
#[test]
fn users_and_accounts_whose_commit_is_lost_are_made_once() {
    let Line { proxy, server, books } = Line::new();
    for loss in [CommitLoss::Request, CommitLoss::Answer] {
        let name = format!("user-of-{loss:?}");
        let body = format!(r#"{{"username":"{name}","password":"correct horse battery"}}"#);
        let lost = proxy.lose_next_commit(loss);
        let (reply, after) = ask(server.address(), &Request::post("/api/v1/users").json(body));
        assert!(lost.wait(LATE), "no commit went by");
        assert_in_time(after);
        assert_eq!(reply.json()["username"], name.as_str(), "{reply:?}");
        expect_created(&reply);

        let lost = proxy.lose_next_commit(loss);
        let opening = books.account_request().json(format!(r#"{{"currency":"EUR","name":"{name}"}}"#));
        let (reply, after) = ask(server.address(), &opening);
        assert!(lost.wait(LATE), "no commit went by");
        assert_in_time(after);
        let id = expect_created(&reply);
        let (kept, _) = ask(server.address(), &books.get(&format!("/api/v1/accounts/{id}")));
        assert_eq!(kept.json(), reply.json());
    }
    let (all, _) = ask(server.address(), &books.get("/api/v1/accounts?limit=200"));
    assert_eq!(all.json()["data"].as_array().unwrap().len(), 3 + 2, "{all:?}");
    server.verify(None);
}

/// A primary whose commits wait for a standby, and a server behind a proxy before it.
struct Pair {
    primary: Cluster,
    standby: Cluster,
    proxy: Proxy,
    server: Server,
    books: Books,
}

impl Pair {
    /// With two funded accounts. The time limit is one that must not end the wait of a commit: that would end in a
    /// COMMIT which succeeds with a warning.
    fn new() -> Self {
        let primary = new_cluster(&[("statement_timeout", "1500ms")]);
        let standby = primary.standby(Replication::Synchronous).unwrap();
        let proxy = Proxy::before(&primary).unwrap();
        let server = serve_on(&primary.url_by(proxy.port(), &primary.database().unwrap()));
        let books = Books::open(&server, 2);
        Self { primary, standby, proxy, server, books }
    }

    /// Sends an order that no standby hears of, which must be told as such.
    fn assert_not_acknowledged(&self, order: &Order) {
        let (reply, after) = ask(self.server.address(), &self.books.request(order));
        assert_unavailable(&reply);
        assert_in_time(after);
    }

    /// Lets the standby go on. The order is there then, and once.
    fn assert_settles(self, order: &Order) {
        let Self { standby, server, books, .. } = &self;
        standby.resume();
        wait_until(DEADLINE + LATE, || match ask(server.address(), &books.request(order)).0 {
            reply if reply.status == 201 => Ok(()),
            reply => Err(format!("{reply:?}")),
        });
        settle(server, books, order);
        assert_eq!(books.balances(&mut Connection::open(server.address())), [FUNDS - 1, FUNDS + 1]);
        server.verify(None);
    }
}

#[test]
fn a_commit_that_no_standby_has_is_not_acknowledged() {
    let pair = Pair::new();
    let order = payment("on-one-disk");
    pair.standby.pause();
    pair.assert_not_acknowledged(&order);
    pair.assert_not_acknowledged(&order);
    pair.assert_settles(&order);
}

/// The old session still waits for the standby, with its locks, when the commit's fate is looked for.
#[test]
fn a_commit_that_is_still_under_way_is_neither_repeated_nor_given_up() {
    let pair = Pair::new();
    let order = payment("under-way");
    pair.standby.pause();
    let lost = pair.proxy.lose_next_commit(CommitLoss::Answer);
    pair.assert_not_acknowledged(&order);
    assert!(lost.wait(LATE), "no commit went by");
    pair.assert_not_acknowledged(&order);
    pair.assert_settles(&order);
}

/// A session that is ended while it waits for the standby, as a restart does, leaves a commit that everybody on the
/// primary sees and no standby has. What is found so is not acknowledged either.
#[test]
fn a_commit_that_is_seen_before_a_standby_has_it_is_not_acknowledged() {
    interrupted_while_it_waits("seen-early", "pg_terminate_backend");
}

/// Postgres answers COMMIT with success, and a warning, when its wait for the standby is cancelled.
#[test]
fn a_commit_whose_wait_for_a_standby_is_cancelled_is_not_acknowledged() {
    interrupted_while_it_waits("cancelled", "pg_cancel_backend");
}

fn interrupted_while_it_waits(key: &str, interrupt: &str) {
    let pair = Pair::new();
    let order = payment(key);
    pair.standby.pause();
    thread::scope(|scope| {
        let (address, request) = (pair.server.address(), pair.books.request(&order));
        let caller = scope.spawn(move || ask(address, &request));
        let waits = "from pg_stat_activity where wait_event = 'SyncRep'";
        wait_until(LATE, || match pair.primary.query("postgres", &format!("select pid {waits}")).unwrap() {
            sessions if sessions.is_empty() => Err("no commit waits".to_owned()),
            _ => Ok(()),
        });
        pair.primary.query("postgres", &format!("select {interrupt}(pid) {waits}")).unwrap();
        let (reply, after) = caller.join().unwrap();
        assert_unavailable(&reply);
        assert_in_time(after);
    });
    pair.assert_not_acknowledged(&order);
    pair.assert_settles(&order);
}
