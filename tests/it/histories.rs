//! Concurrent histories: many callers at once on few accounts, and afterwards an order in which one caller alone would
//! have been told the same.
//!
//! [`calls`] sends random commands and records what was told when; [`order`] looks for the order.

mod calls;
mod order;

use std::sync::Mutex;
use std::time::Duration;

use ringledger::models::{AccountId, Hold, TransferId};
use ringledger::store::Location;

use self::calls::{Call, Caller, What};
use crate::postgres::replicas::replicas_at;
use crate::store::postgres::location;
use crate::support::books::{Books, expect_created};
use crate::support::postgres::shared_cluster;
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines, wait_until};

/// Callers at once.
const CALLERS: u64 = 12;
/// Commands of each of them in each of two bursts, between which holds expire.
const CALLS_EACH: usize = 14;
/// Accounts that may not fall below zero, beside one that may.
const PURSES: usize = 3;
/// What each has to begin with: little, so that callers get in each other's way.
const FUNDS: i64 = 120;
/// By when a hold of one second is let go, on a busy machine.
const EXPIRES_WITHIN: Duration = Duration::from_secs(15);

on_both_engines!(a_history_on_sqlite_has_an_order);

fn a_history_on_sqlite_has_an_order(engine: &str) {
    let server = Server::start_with(&["--io", engine]);
    let directory = server.data().to_owned();
    check_a_history(&[&server], &Location::Sqlite { directory });
}

#[test]
fn a_history_over_two_replicas_has_an_order() {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    let replicas = replicas_at([url.clone(), url.clone()]);
    check_a_history(&replicas.each_ref(), &location(&url));
}

fn check_a_history(servers: &[&Server], location: &Location) {
    let books = Books::open(servers[0], 0);
    let accounts = open_accounts(servers[0], &books);
    let known = Mutex::new(Vec::new());
    let caller = |number: u64| {
        let server = servers[usize::try_from(number).unwrap() % servers.len()];
        Caller::new(server, &books.token, &accounts, &known, number)
    };
    let mut calls = fund(caller(0), &accounts);
    for burst in 0..2 {
        let callers: Vec<_> = (1..=CALLERS).map(|number| caller(100 * burst + number)).collect();
        let sent = std::thread::scope(|scope| {
            let threads: Vec<_> =
                callers.into_iter().map(|caller| scope.spawn(|| caller.call_often(CALLS_EACH))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        calls.extend(sent);
        wait_for_expiry(servers[0], &books, &calls);
    }
    let history = order::Log::read(location, || balances(servers[0], &books, &accounts));
    order::check(&calls, &history);
    servers[0].verify(None);
}

/// The first account has no floor.
fn open_accounts(server: &Server, books: &Books) -> Vec<AccountId> {
    let mut connection = Connection::open(server.address());
    let mut open = |body: &str| {
        let reply = connection.call(books.account_request().json(body).bytes());
        expect_created(&reply).parse().unwrap()
    };
    let mut accounts = vec![open(r#"{"currency":"EUR","min_balance":null}"#)];
    accounts.extend((0..PURSES).map(|_| open(r#"{"currency":"EUR"}"#)));
    accounts
}

/// Fills the purses, and holds something for a second, so that something is sure to expire.
fn fund(mut caller: Caller<'_>, accounts: &[AccountId]) -> Vec<Call> {
    let mut calls: Vec<_> = accounts[1..]
        .iter()
        .map(|purse| caller.call(What::Transfer(calls::order(accounts[0], *purse, FUNDS, None))))
        .collect();
    let short = Some(Hold { timeout_s: Some(1) });
    calls.push(caller.call(What::Transfer(calls::order(accounts[1], accounts[2], 1, short))));
    calls
}

/// Waits until all holds of a second have ended, by themselves if not otherwise.
fn wait_for_expiry(server: &Server, books: &Books, calls: &[Call]) {
    let mut connection = Connection::open(server.address());
    let holds: Vec<TransferId> = calls.iter().filter_map(Call::made_short_hold).collect();
    wait_until(EXPIRES_WITHIN, || {
        for hold in &holds {
            let reply = connection.call(books.get(&format!("/api/v1/transfers/{hold}")).bytes());
            if reply.json()["status"] == "pending" {
                return Err(format!("{reply:?}"));
            }
        }
        Ok(())
    });
}

/// Balance, held and version of each account, as callers see them.
fn balances(server: &Server, books: &Books, accounts: &[AccountId]) -> Vec<(AccountId, [i64; 3])> {
    let mut connection = Connection::open(server.address());
    let mut read = |id: &AccountId| {
        let reply = connection.call(books.get(&format!("/api/v1/accounts/{id}")).bytes());
        let account = reply.json();
        (*id, ["balance", "held", "version"].map(|member| account[member].as_i64().unwrap()))
    };
    accounts.iter().map(&mut read).collect()
}
