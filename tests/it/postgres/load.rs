//! Callers who send each order until it is acknowledged, whatever happens meanwhile, and what must be there then.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use super::{DEADLINE, LATE, RECOVERED_WITHIN, assert_unavailable};
use crate::support::books::{Books, FUNDS, Order, expect_created};
use crate::support::raw::Connection;
use crate::support::{Server, SetsAtEnd, wait_until};

/// What is known of the callers while they are at it.
pub(super) struct Load {
    acknowledged: AtomicUsize,
    over: AtomicBool,
}

impl Load {
    /// Waits until so many more orders are acknowledged.
    #[track_caller]
    pub(super) fn wait_for_more(&self, count: usize) {
        let before = self.acknowledged.load(Ordering::Relaxed);
        wait_until(RECOVERED_WITHIN + LATE, || match self.acknowledged.load(Ordering::Relaxed) - before {
            more if more >= count => Ok(()),
            more => Err(format!("{more} acknowledged")),
        });
    }
}

/// Runs `act` while one caller for each account pays the next account, over the servers in turn. Then each order is
/// there once, no other is, and every invariant holds.
pub(super) fn under_load(servers: &[&Server], books: &Books, act: impl FnOnce(&Load)) {
    let addresses: Vec<_> = servers.iter().map(|server| server.address()).collect();
    let load = Load { acknowledged: AtomicUsize::new(0), over: AtomicBool::new(false) };
    let paid: Vec<Vec<String>> = thread::scope(|scope| {
        let caller = |caller: usize| {
            let (address, load) = (addresses[caller % addresses.len()], &load);
            scope.spawn(move || pay(address, books, caller, load))
        };
        let callers: Vec<_> = (0..books.accounts.len()).map(caller).collect();
        let ends = SetsAtEnd(&load.over);
        act(&load);
        drop(ends);
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    assert_there(servers[0], books, &paid);
}

/// Places orders one after another, each until it is acknowledged; returns the ids of the transfers.
fn pay(address: SocketAddr, books: &Books, caller: usize, load: &Load) -> Vec<String> {
    let mut connection = Connection::open(address);
    let mut paid = Vec::new();
    while !load.over.load(Ordering::Relaxed) {
        let credit = (caller + 1) % books.accounts.len();
        let order = Order { key: format!("{caller}-{}", paid.len()), debit: caller, credit, amount: 1 };
        paid.push(pay_one(&mut connection, &books.request(&order).bytes()));
        load.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    paid
}

fn pay_one(connection: &mut Connection, request: &[u8]) -> String {
    let deadline = Instant::now() + 3 * DEADLINE;
    loop {
        let reply = connection.call(request);
        if reply.status == 201 {
            return expect_created(&reply);
        }
        assert_unavailable(&reply);
        assert!(Instant::now() < deadline, "never acknowledged");
    }
}

fn assert_there(server: &Server, books: &Books, paid: &[Vec<String>]) {
    let mut connection = Connection::open(server.address());
    for id in paid.iter().flatten() {
        let reply = connection.call(books.get(&format!("/api/v1/transfers/{id}")).bytes());
        assert_eq!(reply.status, 200, "{id} was acknowledged: {reply:?}");
    }
    let count = |caller: usize| i64::try_from(paid[caller].len()).unwrap();
    let before = |caller: usize| (caller + paid.len() - 1) % paid.len();
    let expected: Vec<_> =
        (0..paid.len()).map(|caller| FUNDS - count(caller) + count(before(caller))).collect();
    assert_eq!(books.balances(&mut connection), expected);
    // Each account was funded by one transfer.
    let events = paid.len() + paid.iter().map(Vec::len).sum::<usize>();
    let head = server.verify(None);
    assert!(head.starts_with(&format!("{events}:")), "{head} after {events} transfers");
}
