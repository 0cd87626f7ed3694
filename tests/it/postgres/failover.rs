//! The primary dies and a synchronous standby takes its place: service goes on by the multi-host URL, and every
//! transfer that was acknowledged is there.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use throwaway_postgres::Replication;

use super::{LATE, RECOVERED_WITHIN, ask, assert_unavailable, settle, wait_for_ready, while_healthy};
use crate::support::books::{Books, Order, expect_created};
use crate::support::postgres::{new_cluster, serve_on};
use crate::support::raw::{Connection, Request};
use crate::support::wait_until;

const CLIENTS: usize = 16;
/// Acknowledged transfers before the primary dies, and after the standby has taken its place.
const ENOUGH: usize = 200;

#[test]
fn a_synchronous_standby_takes_over_without_a_loss() {
    let mut primary = new_cluster(&[]);
    let database = primary.database().unwrap();
    let standby = primary.standby(Replication::Synchronous).unwrap();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let server = serve_on(&format!("postgres://postgres@{hosts}/{database}?target_session_attrs=read-write"));
    let books = Books::open(&server, CLIENTS);
    let past = server.verify(None);

    let (acknowledged, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let count = || acknowledged.load(Ordering::Relaxed);
    let wait_for_more = |from: usize| {
        wait_until(RECOVERED_WITHIN + LATE, || match count() - from {
            more if more >= ENOUGH => Ok(()),
            more => Err(format!("{more} acknowledged")),
        });
    };
    let orders: Vec<(Order, String)> = thread::scope(|scope| {
        let client = |client| {
            let (address, books, acknowledged, over) = (server.address(), &books, &acknowledged, &over);
            scope.spawn(move || pay_until(over, address, books, client, acknowledged))
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        let ends = super::Over(&over);
        while_healthy(&server, || {
            wait_for_more(0);
            primary.kill9().unwrap();
            standby.promote().unwrap();
            wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
            wait_for_more(count());
        });
        drop(ends);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let mut connection = Connection::open(server.address());
    for (order, id) in &orders {
        let reply = connection.call(books.get(&format!("/api/v1/transfers/{id}")).bytes());
        assert_eq!(reply.status, 200, "{order:?} was acknowledged as {id}: {reply:?}");
    }
    server.verify(Some(&past));
}

/// Places orders one after another, each until it is acknowledged.
fn pay_until(
    over: &AtomicBool,
    address: SocketAddr,
    books: &Books,
    client: usize,
    acknowledged: &AtomicUsize,
) -> Vec<(Order, String)> {
    let mut connection = Connection::open(address);
    let mut done = Vec::new();
    for number in 0.. {
        let credit = (client + 1) % CLIENTS;
        let order = Order { key: format!("{client}-{number}"), debit: client, credit, amount: 1 };
        let request = books.request(&order).bytes();
        while !over.load(Ordering::Relaxed) {
            let reply = connection.call(&request);
            if reply.status == 201 {
                acknowledged.fetch_add(1, Ordering::Relaxed);
                done.push((order, expect_created(&reply)));
                break;
            }
            assert_unavailable(&reply);
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
    }
    done
}

/// A standby alone takes no writes, and a server on it says so instead of serving half.
#[test]
fn a_server_waits_for_the_promotion_of_its_only_host() {
    let mut primary = new_cluster(&[]);
    let database = primary.database().unwrap();
    let standby = primary.standby(Replication::Synchronous).unwrap();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", primary.port(), standby.port());
    let server = serve_on(&format!("postgres://postgres@{hosts}/{database}?target_session_attrs=read-write"));
    let books = Books::open(&server, 2);
    let order = super::payment("between-two-primaries");
    while_healthy(&server, || {
        primary.kill9().unwrap();
        let (reply, after) = ask(server.address(), &books.request(&order));
        assert_unavailable(&reply);
        super::assert_in_time(after);
        assert_eq!(ask(server.address(), &Request::get("/ready")).0.status, 503);
        standby.promote().unwrap();
        wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
    });
    settle(&server, &books, &order);
    server.verify(None);
}
