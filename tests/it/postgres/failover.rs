//! The primary dies and a synchronous standby takes its place: service goes on by the multi-host URL, and every
//! transfer that was acknowledged is there.

use throwaway_postgres::{Cluster, Replication};

use super::load::under_load;
use super::{
    LATE, RECOVERED_WITHIN, ask, assert_in_time, assert_unavailable, payment, settle, wait_for_ready,
    while_healthy,
};
use crate::support::Server;
use crate::support::books::Books;
use crate::support::postgres::{new_cluster, serve_on};
use crate::support::raw::Request;

const CALLERS: usize = 16;
/// Acknowledged transfers before the primary dies, and after the standby has taken its place.
const ENOUGH: usize = 200;

/// A primary with a synchronous standby, and a server that knows both.
fn pair() -> (Cluster, Cluster, Server) {
    let primary = new_cluster(&[]);
    let database = primary.database().unwrap();
    let standby = primary.standby(Replication::Synchronous).unwrap();
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let url = format!("postgres://postgres@{hosts}/{database}?target_session_attrs=read-write");
    let server = serve_on(&url);
    (primary, standby, server)
}

#[test]
fn a_synchronous_standby_takes_over_without_a_loss() {
    let (mut primary, standby, server) = pair();
    let books = Books::open(&server, CALLERS);
    let past = server.verify(None);
    under_load(&[&server], &books, |load| {
        while_healthy(&server, || {
            load.wait_for_more(ENOUGH);
            primary.kill9().unwrap();
            standby.promote().unwrap();
            wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
            load.wait_for_more(ENOUGH);
        });
    });
    server.verify(Some(&past));
}

/// A standby alone takes no writes, and the server says so.
#[test]
fn between_two_primaries_the_store_is_unavailable() {
    let (mut primary, standby, server) = pair();
    let books = Books::open(&server, 2);
    let order = payment("between-two-primaries");
    while_healthy(&server, || {
        primary.kill9().unwrap();
        let (reply, after) = ask(server.address(), &books.request(&order));
        assert_unavailable(&reply);
        assert_in_time(after);
        assert_eq!(ask(server.address(), &Request::get("/ready")).0.status, 503);
        standby.promote().unwrap();
        wait_for_ready(&server, 200, RECOVERED_WITHIN + LATE);
    });
    settle(&server, &books, &order);
    server.verify(None);
}
