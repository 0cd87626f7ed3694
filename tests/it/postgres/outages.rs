//! The database is away for a while, in every way: callers are told so in time, and it serves again by itself.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use throwaway_postgres::{Client, Cluster, Proxy, StopMode};

use super::{
    DEADLINE, LATE, Line, RECOVERED_WITHIN, UNREADY_WITHIN, ask, ask_all, assert_in_time, assert_unavailable,
    payment, settle, wait_for_ready, while_healthy,
};
use crate::support::books::{Books, FUNDS, expect_created};
use crate::support::postgres::{new_cluster, serve_on, shared_cluster};
use crate::support::raw::{Connection, Request};
use crate::support::{Server, on_both_engines};

/// A server and its books on a cluster that may be broken.
fn on(cluster: &Cluster) -> (Server, Books) {
    let server = serve_on(&cluster.url(&cluster.database().unwrap()));
    let books = Books::open(&server, 2);
    (server, books)
}

/// Callers during an outage, of each kind.
const CALLERS: usize = 16;

/// Takes the database away and asserts all that is promised until it is back, and then.
fn assert_outage(server: &Server, books: &Books, away: impl FnOnce(), back: impl FnOnce()) {
    let before = server.verify(None);
    let lost: Vec<_> = (0..CALLERS).map(|caller| payment(&format!("lost-{caller}"))).collect();
    let reads = (0..CALLERS).map(|_| books.get(&account(books)));
    let requests: Vec<_> = lost.iter().map(|order| books.request(order)).chain(reads).collect();
    while_healthy(server, || {
        away();
        wait_for_ready(server, 503, UNREADY_WITHIN + LATE);
        for (reply, after) in ask_all(server.address(), &requests) {
            assert_unavailable(&reply);
            assert_in_time(after);
        }
        back();
        wait_for_ready(server, 200, RECOVERED_WITHIN + LATE);
    });
    for order in &lost {
        settle(server, books, order);
    }
    let moved = i64::try_from(CALLERS).unwrap();
    assert_eq!(books.balances(&mut Connection::open(server.address())), [FUNDS - moved, FUNDS + moved]);
    server.verify(Some(&before));
}

fn account(books: &Books) -> String {
    format!("/api/v1/accounts/{}", books.accounts[0])
}

#[test]
fn a_database_that_is_stopped_and_started() {
    let mut cluster = new_cluster(&[]);
    let (server, books) = on(&cluster);
    let cluster = RefCell::new(&mut cluster);
    assert_outage(
        &server,
        &books,
        || cluster.borrow_mut().stop(StopMode::Fast).unwrap(),
        || cluster.borrow_mut().start_again().unwrap(),
    );
}

#[test]
fn a_database_that_is_frozen() {
    let cluster = new_cluster(&[]);
    let (server, books) = on(&cluster);
    assert_outage(&server, &books, || cluster.pause(), || cluster.resume());
}

#[test]
fn a_network_that_stalls() {
    let Line { proxy, server, books } = Line::new();
    assert_outage(&server, &books, || proxy.stall(), || proxy.pass());
}

#[test]
fn a_database_without_a_connection_left() {
    let cluster = new_cluster(&[("max_connections", "20")]);
    let (server, books) = on(&cluster);
    let held = RefCell::new(Vec::new());
    assert_outage(
        &server,
        &books,
        || *held.borrow_mut() = take_all_connections(&cluster, 20),
        || held.borrow_mut().clear(),
    );
}

/// As one that was a primary and is a standby now: reads are answered, but a load balancer must look elsewhere.
#[test]
fn a_database_that_takes_no_writes() {
    let cluster = new_cluster(&[]);
    let (server, books) = on(&cluster);
    let order = payment("read-only");
    cluster.set("default_transaction_read_only", "on").unwrap();
    wait_for_ready(&server, 503, UNREADY_WITHIN + LATE);
    let (reply, after) = ask(server.address(), &books.request(&order));
    assert_unavailable(&reply);
    assert_in_time(after);
    cluster.set("default_transaction_read_only", "off").unwrap();
    wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
    settle(&server, &books, &order);
    server.verify(None);
}

/// Whoever asks `/ready` gives up soon; what they asked for must not be waited for when they have.
#[test]
fn probes_during_an_outage_hold_nobody_up() {
    let Line { proxy, server, books } = Line::new();
    let order = payment("behind-probes");
    proxy.stall();
    let probes: Vec<_> = (0..2 * CALLERS).map(|_| Request::get("/ready")).collect();
    for (reply, _) in ask_all(server.address(), &probes) {
        assert_eq!(reply.status, 503, "{reply:?}");
    }
    let (reply, after) = ask(server.address(), &books.request(&order));
    assert_unavailable(&reply);
    assert_in_time(after);
    proxy.pass();
    wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
    settle(&server, &books, &order);
}

/// Takes every connection there is, those of the server among them.
fn take_all_connections(cluster: &Cluster, all: usize) -> Vec<Client> {
    let ours = "select pg_terminate_backend(pid) from pg_stat_activity where datname like 'test%'";
    let deadline = Instant::now() + DEADLINE;
    let mut held = vec![cluster.connect("postgres").unwrap()];
    while held.len() < all {
        assert!(Instant::now() < deadline, "only {} were to be had", held.len());
        match cluster.connect("postgres") {
            Ok(connection) => held.push(connection),
            // The server has the others, and asks for them again as soon as they are taken away.
            Err(_) => held[0].batch_execute(ours).unwrap(),
        }
    }
    held
}

on_both_engines!(connections_that_are_cut_are_made_again, an_answer_that_is_cut_in_its_middle_is_no_answer);

fn connections_that_are_cut_are_made_again(engine: &str) {
    let Line { proxy, server, books } = Line::with(&["--io", engine]);
    for round in 0..3 {
        proxy.cut();
        let order = payment(&format!("after-cut-{round}"));
        let (reply, after) = ask(server.address(), &books.request(&order));
        assert_in_time(after);
        if reply.status != 201 {
            assert_unavailable(&reply);
        }
        wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
        settle(&server, &books, &order);
    }
    assert_eq!(books.balances(&mut Connection::open(server.address())), [FUNDS - 3, FUNDS + 3]);
    server.verify(None);
}

fn an_answer_that_is_cut_in_its_middle_is_no_answer(engine: &str) {
    let Line { proxy, server, books } = Line::with(&["--io", engine]);
    for bytes in [0, 1, 5, 20, 60] {
        let cut = proxy.cut_next_answer_after(bytes);
        let (reply, after) = ask(server.address(), &books.get(&account(&books)));
        assert!(cut.wait(LATE), "no answer of {bytes} bytes went by");
        assert_in_time(after);
        match reply.status {
            200 => assert_eq!(reply.json()["balance"], FUNDS),
            _ => assert_unavailable(&reply),
        }
        wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
    }
    let (reply, _) = ask(server.address(), &books.get(&account(&books)));
    assert_eq!(reply.json()["balance"], FUNDS, "{reply:?}");
}

#[test]
fn a_network_that_is_slow_is_waited_for() {
    let Line { proxy, server, books } = Line::new();
    let delay = Duration::from_millis(100);
    proxy.delay(delay);
    while_healthy(&server, || {
        let (reply, after) = ask(server.address(), &books.request(&payment("slow")));
        expect_created(&reply);
        assert!(after >= delay, "{after:?}");
        assert_in_time(after);
        let (reply, _) = ask(server.address(), &books.get(&account(&books)));
        assert_eq!(reply.json()["balance"], FUNDS - 1, "{reply:?}");
        wait_for_ready(&server, 200, LATE);
    });
}

/// A slow database is not a missing one: what its deadline cuts off is told as such, and nothing stays locked.
#[test]
fn a_database_whose_head_is_locked_by_somebody_else() {
    let cluster = shared_cluster();
    let database = cluster.database().unwrap();
    let server = serve_on(&cluster.url(&database));
    let books = Books::open(&server, 2);
    let mut somebody = cluster.connect(&database).unwrap();
    let order = payment("behind-a-lock");
    while_healthy(&server, || {
        somebody.batch_execute("begin; lock table head in access exclusive mode").unwrap();
        let (reply, after) = ask(server.address(), &books.request(&order));
        assert_unavailable(&reply);
        assert_in_time(after);
        // Reads of the ledger do not need the head.
        let (reply, _) = ask(server.address(), &books.get(&account(&books)));
        assert_eq!(reply.json()["balance"], FUNDS, "{reply:?}");
        somebody.batch_execute("commit").unwrap();
        wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
    });
    settle(&server, &books, &order);
    server.verify(None);
}

#[test]
fn a_server_ends_in_time_beside_a_frozen_database() {
    let cluster = new_cluster(&[]);
    let (mut server, books) = on(&cluster);
    cluster.pause();
    let mut waiting = Connection::open(server.address());
    waiting.send(books.request(&payment("at-the-end")).bytes());
    while_healthy(&server, || ask(server.address(), &Request::get("/ready")));
    server.terminate();
    assert_unavailable(&waiting.reply());
    assert!(server.wait(DEADLINE + LATE).success());
}

#[test]
fn an_idle_server_survives_a_restart_of_the_database() {
    let mut cluster = new_cluster(&[]);
    let (server, books) = on(&cluster);
    cluster.restart().unwrap();
    // The first request finds the connections dead, and is not the one to pay for it.
    let (reply, after) = ask(server.address(), &books.request(&payment("first")));
    expect_created(&reply);
    assert!(after < DEADLINE, "{after:?}");
    let (reply, _) = ask(server.address(), &books.get(&account(&books)));
    assert_eq!((reply.status, reply.json()["balance"].as_i64()), (200, Some(FUNDS - 1)), "{reply:?}");
    assert_eq!(ask(server.address(), &Request::get("/ready")).0.status, 200);
}

#[test]
fn a_host_that_is_gone_is_passed_over() {
    let cluster = shared_cluster();
    let gone = Proxy::before(cluster).unwrap().port();
    let database = cluster.database().unwrap();
    let url = cluster.url(&database).replace("127.0.0.1:", &format!("127.0.0.1:{gone},127.0.0.1:"));
    let server = serve_on(&url);
    let books = Books::open(&server, 2);
    settle(&server, &books, &payment("by-the-second-host"));
}
