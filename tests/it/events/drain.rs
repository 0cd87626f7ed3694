//! The end of a server that has readers.

use std::time::Duration;

use super::client::Follower;
use crate::support::books::{Books, Order};
use crate::support::raw::Connection;
use crate::support::{Scrape, Server, on_both_engines, wait_until};

const SENDERS: u64 = 4;
/// How late a busy machine may be.
const LATE: Duration = Duration::from_secs(10);
/// Within this a server without requests ends its feeds.
const DRAINED: Duration = Duration::from_secs(1);
/// Transfers before the signal.
const PAYMENTS: u64 = 40;

on_both_engines!(
    readers_are_told_all_that_was_committed_and_then_1001,
    what_is_committed_for_one_who_has_gone_is_told_too,
    nothing_is_committed_behind_the_last_word_of_a_feed,
    a_reader_that_does_not_answer_is_not_waited_for
);

/// Waits until a request is.
fn wait_until_under_way(server: &Server) {
    let mut watcher = Connection::open(server.address());
    wait_until(LATE, || match Scrape::on(&mut watcher).sum("http_requests_in_flight", &[]) {
        0 => Err("it has not come".to_owned()),
        _ => Ok(()),
    });
}

fn readers_are_told_all_that_was_committed_and_then_1001(engine: &str) {
    let mut server = Server::start_with(&["--io", engine]);
    let books = Books::open(&server, 2);
    let (token, address) = (server.operator_token(), server.address());
    let mut live: Vec<_> = (0..4).map(|_| Follower::new(address, &token, "?after=0")).collect();
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let books = &books;
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                for n in 0.. {
                    let order = Order { key: format!("{sender}-{n}"), debit: 0, credit: 1, amount: 1 };
                    // Until the server ends; what was under way then is answered.
                    if connection.try_send(books.request(&order).bytes()).is_err() {
                        break;
                    }
                    let Ok(reply) = connection.try_reply() else { break };
                    assert_eq!(reply.status, 201);
                    if reply.closes() {
                        break;
                    }
                }
            });
        }
        live[0].numbers(usize::try_from(PAYMENTS).unwrap());
        // One begins right before the end, with all of the log to read.
        live.push(Follower::new(address, &token, "?after=0"));
        server.terminate();
        let told: Vec<_> = live.iter_mut().map(Follower::until_closed).collect();
        assert_eq!(server.wait(Duration::from_secs(10)).code(), Some(0));
        let head: u64 = server.verify(None).split_once(':').unwrap().0.parse().unwrap();
        for (place, (numbers, code)) in told.into_iter().enumerate() {
            let first = if place == 0 { PAYMENTS + 1 } else { 1 };
            assert_eq!(code, 1001);
            assert!(numbers.iter().copied().eq(first..=head), "reader {place}: {numbers:?}, head {head}");
        }
    });
}

fn what_is_committed_for_one_who_has_gone_is_told_too(engine: &str) {
    let mut server = Server::start_with(&["--io", engine, "--workers", "1"]);
    let books = Books::open(&server, 2);
    let head: u64 = server.verify(None).split_once(':').unwrap().0.parse().unwrap();
    let mut reader = Follower::new(server.address(), &server.operator_token(), "");
    let ledger = rusqlite::Connection::open(server.data().join("ledger.db")).unwrap();
    ledger.execute_batch("begin immediate").unwrap();
    let mut client = Connection::open(server.address());
    let order = Order { key: "k".into(), debit: 0, credit: 1, amount: 1 };
    client.send(books.request(&order).bytes());
    wait_until_under_way(&server);
    client.reset();
    server.terminate();
    server.wait_for_line("draining", LATE);
    // Nobody is left but the reader; the commit has not ended.
    assert!(reader.is_silent_for(DRAINED));
    ledger.execute_batch("rollback").unwrap();
    assert_eq!(reader.until_closed(), (vec![head + 1], 1001));
    assert_eq!(server.wait(LATE).code(), Some(0));
}

/// A request may take longer than the time that feeds leave it; its command then comes too late.
fn nothing_is_committed_behind_the_last_word_of_a_feed(engine: &str) {
    let arguments = ["--io", engine, "--workers", "1"];
    let mut server = Server::start_set(&arguments, &[("shutdown.deadline_ms", "2000")]);
    let books = Books::open(&server, 2);
    let past = server.verify(None);
    let mut reader = Follower::new(server.address(), &server.operator_token(), "");
    let order = Order { key: "k".into(), debit: 0, credit: 1, amount: 1 };
    let request = books.request(&order).bytes();
    let (begin, end) = request.split_at(request.len() - 1);
    let mut client = Connection::open(server.address());
    client.send(begin);
    wait_until_under_way(&server);
    server.terminate();
    assert_eq!(reader.until_closed(), (vec![], 1001));
    // On a busy machine it may be cut off by now, which is as well.
    let reply = client.try_send(end).and_then(|()| client.try_reply());
    if let Ok(reply) = reply {
        assert_eq!((reply.status, &*reply.problem_code()), (503, "store_unavailable"));
    }
    assert_eq!(server.wait(LATE).code(), Some(0));
    assert_eq!(server.verify(None), past);
}

fn a_reader_that_does_not_answer_is_not_waited_for(engine: &str) {
    let mut server = Server::start_with(&["--io", engine]);
    let _silent = Follower::new(server.address(), &server.operator_token(), "");
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(8)).code(), Some(0));
}
