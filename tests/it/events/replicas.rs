//! The feed on Postgres, where other servers commit too.

use std::time::{Duration, Instant};

use super::client::Follower;
use crate::support::Server;
use crate::support::books::{Books, Order};
use crate::support::postgres::{serve_on, serve_on_set, shared_cluster};
use crate::support::raw::Connection;

/// How soon a reader is told without a wake-up, on a busy machine.
const LOOKED_WITHIN: Duration = Duration::from_secs(5);
const PAYMENTS: u64 = 200;

/// Two servers on a new database, with one key.
fn replicas() -> [Server; 2] {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    let first = serve_on(&url);
    let key = first.data().join("signing.key");
    let second = serve_on_set(&url, &[("auth.key_file", key.to_str().unwrap())]);
    [first, second]
}

fn pay(server: &Server, books: &Books, name: &str, payments: u64) {
    let mut connection = Connection::open(server.address());
    for n in 0..payments {
        let order = Order { key: format!("{name}-{n}"), debit: 0, credit: 1, amount: 1 };
        assert_eq!(connection.call(books.request(&order).bytes()).status, 201);
    }
}

#[test]
fn readers_of_every_replica_see_what_any_of_them_commits() {
    let [first, second] = replicas();
    let books = Books::open(&first, 2);
    let token = first.operator_token();
    let before: u64 = first.verify(None).split_once(':').unwrap().0.parse().unwrap();
    let wanted: Vec<_> = (before + 1..=before + 2 * PAYMENTS).collect();
    let addresses = [first.address(), second.address()];
    let mut followers: Vec<_> = addresses
        .into_iter()
        .flat_map(|address| {
            let from = format!("?after={before}");
            let account = format!("?after={before}&account={}", books.accounts[1]);
            [String::new(), from, account].map(|query| Follower::new(address, &token, &query))
        })
        .collect();
    pay(&first, &books, "first", PAYMENTS);
    pay(&second, &books, "second", PAYMENTS);
    for follower in &mut followers {
        assert_eq!(follower.numbers(wanted.len()), wanted);
    }
    let begin = Instant::now();
    pay(&second, &books, "later", 1);
    for follower in &mut followers {
        follower.numbers(1);
    }
    assert!(begin.elapsed() < LOOKED_WITHIN, "{:?}", begin.elapsed());
}

#[test]
fn a_ticket_of_one_replica_works_on_another() {
    let [first, second] = replicas();
    let token = first.operator_token();
    let request = crate::support::raw::Request::post("/api/v1/events/tickets").bearer(&token);
    let made = Connection::open(first.address()).call(request.field("Content-Length", "0").bytes());
    assert_eq!(made.status, 201);
    let target = format!("/api/v1/events?ticket={}", made.json()["ticket"].as_str().unwrap());
    assert!(Follower::open(second.address(), &target, None).is_ok());
    assert_eq!(Follower::open(second.address(), &target, None).err(), Some(401));
}
