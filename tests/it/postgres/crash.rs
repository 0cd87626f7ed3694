//! `kill -9` under load, of the server and of Postgres.

use std::cell::RefCell;
use std::time::Duration;

use super::{LATE, RECOVERED_WITHIN};
use crate::crash::Trial;
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

fn assert_recovered(ready_after: &[Duration]) {
    assert!(ready_after.iter().all(|&after| after < RECOVERED_WITHIN + LATE), "{ready_after:?}");
}
