//! `kill -9` under load, of the server and of Postgres.

use std::cell::RefCell;
use std::time::Duration;

use super::{LATE, RECOVERED_WITHIN, ask, payment};
use crate::crash::Trial;
use crate::support::books::{Books, expect_created};
use crate::support::postgres::{new_cluster, serve_on, shared_cluster};

const KILLS_OF_THE_SERVER: usize = 10;
const KILLS_OF_POSTGRES: usize = 5;

#[test]
fn ten_kills_of_the_server_lose_nothing_and_repeat_nothing() {
    let cluster = shared_cluster();
    let mut trial = Trial::on(serve_on(&cluster.url(&cluster.database().unwrap())));
    for _ in 0..KILLS_OF_THE_SERVER {
        trial = trial.round(|server| server.kill_and_restart().0);
    }
    assert_recovered(&trial.end());
}

#[test]
fn five_kills_of_postgres_lose_nothing_and_repeat_nothing() {
    let cluster = RefCell::new(new_cluster(&[]));
    let url = cluster.borrow().url(&cluster.borrow().database().unwrap());
    let mut trial = Trial::on(serve_on(&url));
    for _ in 0..KILLS_OF_POSTGRES {
        trial = trial.round(|server| {
            cluster.borrow_mut().kill9().unwrap();
            cluster.borrow_mut().start_again().unwrap();
            server
        });
    }
    assert_recovered(&trial.end());
}

/// With `synchronous_commit = off` and a slow WAL writer, what is committed is in memory alone for seconds.
#[test]
fn what_was_acknowledged_is_on_disk_whatever_the_servers_default_is() {
    let mut cluster = new_cluster(&[("synchronous_commit", "off"), ("wal_writer_delay", "10s")]);
    let database = cluster.database().unwrap();
    let server = serve_on(&cluster.url(&database));
    let books = Books::open(&server, 2);
    cluster.query(&database, "create table control (n int); checkpoint").unwrap();
    for number in 0..5 {
        expect_created(&ask(server.address(), &books.request(&payment(&number.to_string()))).0);
    }
    let head = server.verify(None);
    cluster.query(&database, "insert into control values (1)").unwrap();
    cluster.kill9().unwrap();
    cluster.start_again().unwrap();
    assert_eq!(server.verify(None), head);
    let kept = cluster.query(&database, "select count(*) from control").unwrap();
    assert_eq!(kept, [["0"]], "a commit that waits for no disk would not have been seen to be lost");
}

fn assert_recovered(ready_after: &[Duration]) {
    assert!(ready_after.iter().all(|&after| after < RECOVERED_WITHIN + LATE), "{ready_after:?}");
}
