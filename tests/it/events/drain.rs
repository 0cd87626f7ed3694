//! The end of a server that has readers.

use std::time::Duration;

use super::client::Follower;
use crate::support::books::{Books, Order};
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines};

const SENDERS: u64 = 4;
/// Transfers before the signal.
const PAYMENTS: u64 = 40;

on_both_engines!(
    readers_are_told_all_that_was_committed_and_then_1001,
    a_reader_that_does_not_answer_is_not_waited_for
);

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

fn a_reader_that_does_not_answer_is_not_waited_for(engine: &str) {
    let mut server = Server::start_with(&["--io", engine]);
    let _silent = Follower::new(server.address(), &server.operator_token(), "");
    server.terminate();
    assert_eq!(server.wait(Duration::from_secs(8)).code(), Some(0));
}
