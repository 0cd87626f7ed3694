//! Disks that are full, read-only, failing or slow: writes are answered 503, reads go on, nothing acknowledged is lost,
//! and the server serves again by itself. A damaged file is found at the start.

mod damaged;
mod postgres;
mod space;

use std::process::Command;
use std::time::{Duration, Instant};

use self::space::Space;
use super::tampering::Tampering;
use crate::postgres::{ask, ask_all, assert_unavailable, payment, settle};
use crate::support::books::{Books, FUNDS, Order};
use crate::support::raw::{Connection, Request};
use crate::support::{Server, new_data, run_command, wait_until};

/// Callers at once.
const CALLERS: usize = 16;
/// The longest that a read may take beside a disk in trouble, on a busy machine.
const READ_WITHIN: Duration = Duration::from_secs(2);
/// How long a server may take to serve again when the trouble has ended.
const RECOVERED_WITHIN: Duration = Duration::from_secs(5);
/// A small disk.
const DISK_MIB: u32 = 16;
/// Payments of which the last does not fit in what is left of a full disk.
const PAYMENTS_MAX: usize = 2_000;

/// The system calls that wait for the disk.
const SYNCS: &str = "fsync,fdatasync";

/// A ledger of two accounts on a disk in trouble.
struct Patient {
    server: Server,
    books: Books,
    /// What the first account has paid the second one so far.
    paid: i64,
}

impl Patient {
    fn new(server: Server) -> Self {
        let books = Books::open(&server, 2);
        Self { server, books, paid: 0 }
    }

    /// Asserts that all payments are refused, that reads are answered, and that no money has moved; returns the orders.
    fn assert_takes_no_writes(&self, name: &str) -> Vec<Order> {
        let orders: Vec<_> = (0..CALLERS).map(|caller| payment(&format!("{name}-{caller}"))).collect();
        let requests: Vec<_> = orders.iter().map(|order| self.books.request(order)).collect();
        for (reply, _) in ask_all(self.server.address(), &requests) {
            assert_unavailable(&reply);
        }
        self.assert_reads();
        orders
    }

    fn assert_reads(&self) {
        let account = format!("/api/v1/accounts/{}", self.books.accounts[0]);
        let entries = format!("{account}/entries");
        for target in ["/health", "/api/v1/transfers", &account, &entries] {
            let (reply, after) = ask(self.server.address(), &self.books.get(target));
            assert_eq!(reply.status, 200, "{target}: {reply:?}");
            assert!(after < READ_WITHIN, "{target} took {after:?}");
        }
        self.assert_balances();
    }

    fn assert_balances(&self) {
        let balances = self.books.balances(&mut Connection::open(self.server.address()));
        assert_eq!(balances, [FUNDS - self.paid, FUNDS + self.paid]);
    }

    /// Waits until orders are taken again, without a restart, and settles those that were refused: each is there once.
    fn assert_recovers(&mut self, name: &str, refused: &[Order]) {
        let first = self.books.request(&payment(&format!("{name}-first")));
        wait_until(RECOVERED_WITHIN, || match ask(self.server.address(), &first).0 {
            reply if reply.status == 201 => Ok(()),
            reply => Err(format!("{reply:?}")),
        });
        for order in refused {
            settle(&self.server, &self.books, order);
        }
        self.paid += 1 + i64::try_from(refused.len()).unwrap();
        self.assert_balances();
    }

    /// Pays until a payment is refused.
    fn pay_until_refused(&mut self, name: &str) {
        let mut connection = Connection::open(self.server.address());
        for number in 0..PAYMENTS_MAX {
            let order = payment(&format!("{name}-fill-{number}"));
            let reply = connection.call(self.books.request(&order).bytes());
            if reply.status != 201 {
                return assert_unavailable(&reply);
            }
            self.paid += 1;
        }
        panic!("{PAYMENTS_MAX} payments went into a full disk");
    }
}

#[test]
fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_space() {
    let data = new_data();
    let space = Space::of(data.path(), DISK_MIB);
    let mut patient = Patient::new(Server::start_behind(space.prefix(), data, &[]));
    for round in ["once", "again"] {
        let past = patient.server.verify(None);
        space.fill();
        patient.pay_until_refused(round);
        let refused = patient.assert_takes_no_writes(round);
        space.free();
        patient.assert_recovers(round, &refused);
        patient.server.verify(Some(&past));
    }
}

#[test]
fn a_full_disk_is_no_hindrance_to_a_start_after_a_crash() {
    let data = new_data();
    let space = Space::of(data.path(), DISK_MIB);
    let mut patient = Patient::new(Server::start_behind(space.prefix(), data, &[]));
    let head = patient.server.verify(None);
    patient.server.kill();
    space.fill();
    let data = patient.server.into_data();
    patient.server = Server::start_behind(space.prefix(), data, &[]);
    patient.pay_until_refused("still-full");
    let refused = patient.assert_takes_no_writes("full");
    space.free();
    patient.assert_recovers("freed", &refused);
    patient.server.verify(Some(&head));
}

#[test]
fn a_first_start_on_a_full_disk_is_refused_with_the_reason() {
    let data = new_data();
    let space = Space::of(data.path(), DISK_MIB);
    let serve = || {
        let mut command = Command::new(&space.prefix()[0]);
        command
            .args(&space.prefix()[1..])
            .arg(env!("CARGO_BIN_EXE_ringledger"))
            .arg("--data")
            .arg(data.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command
    };
    space.fill();
    let ran = run_command(serve(), "");
    ran.fails(1);
    assert!(ran.stderr.contains("ledger.db"), "the file is not named: {ran:?}");
    space.free();
    let prefix = space.prefix().to_vec();
    Patient::new(Server::start_behind(&prefix, data, &[])).assert_recovers("freed", &[]);
}

#[test]
fn a_start_on_a_read_only_disk_is_refused_with_the_reason() {
    let data = new_data();
    let space = Space::of(data.path(), DISK_MIB);
    let mut patient = Patient::new(Server::start_behind(space.prefix(), data, &[]));
    patient.server.kill();
    space.remount("ro");
    let mut serve = patient.server.command();
    serve.args(["serve", "--listen", "127.0.0.1:0"]);
    let ran = run_command(serve, "");
    ran.fails(1);
    assert!(ran.stderr.contains("ledger."), "the file is not named: {ran:?}");
    space.remount("rw");
    let data = patient.server.into_data();
    patient.server = Server::start_behind(space.prefix(), data, &[]);
    patient.assert_recovers("writable", &[]);
}

/// What a file system answers once it has gone over to read-only, and disks that fail a write or a sync.
#[test]
fn a_disk_that_takes_no_writes_or_syncs_refuses_writes_and_serves_reads_meanwhile() {
    let mut patient = Patient::new(Server::start());
    for (call, what) in [("pwrite64", "EROFS"), ("pwrite64", "EIO"), (SYNCS, "EIO")] {
        let name = format!("{what}-of-{}", call.len());
        let past = patient.server.verify(None);
        let trouble = Tampering::with(&[patient.server.id()], call, &format!("error={what}"));
        let refused = patient.assert_takes_no_writes(&name);
        drop(trouble);
        patient.assert_recovers(&name, &refused);
        patient.server.verify(Some(&past));
    }
    let (server, _) = patient.server.kill_and_restart();
    patient.server = server;
    patient.assert_balances();
    patient.server.verify(None);
}

/// How long each sync takes on the slow disk, in microseconds, and how long a request may.
const SYNC_US: u32 = 1_500_000;
const REQUEST_TIMEOUT_MS: &str = "1000";
/// The longest that a request may take beyond its timeout, on a busy machine.
const LATE: Duration = Duration::from_secs(3);

#[test]
fn a_slow_disk_delays_writes_up_to_their_deadline_and_no_read() {
    let settings = [("limits.request_timeout_ms", REQUEST_TIMEOUT_MS), ("limits.lane_queue", "4")];
    let mut patient = Patient::new(Server::start_set(&[], &settings));
    let orders: Vec<_> = (0..CALLERS).map(|caller| payment(&format!("slow-{caller}"))).collect();
    let requests: Vec<_> = orders.iter().map(|order| patient.books.request(order)).collect();
    let trouble = Tampering::with(&[patient.server.id()], SYNCS, &format!("delay_enter={SYNC_US}"));
    for (reply, after) in ask_all(patient.server.address(), &requests) {
        assert_eq!((reply.status, &*reply.problem_code()), (503, "overloaded"), "{reply:?}");
        assert!(reply.field("retry-after").is_some(), "{reply:?}");
        assert!(after < Duration::from_secs(1) + LATE, "{after:?}");
    }
    let begin = Instant::now();
    let (reply, after) = ask(patient.server.address(), &Request::get("/health"));
    assert!(reply.status == 200 && after < READ_WITHIN, "{reply:?} after {after:?}");
    let account = format!("/api/v1/accounts/{}", patient.books.accounts[0]);
    let (reply, after) = ask(patient.server.address(), &patient.books.get(&account));
    assert!(reply.status == 200 && after < READ_WITHIN, "{reply:?} after {after:?}");
    assert!(begin.elapsed() < READ_WITHIN);
    drop(trouble);
    patient.assert_recovers("fast", &orders);
    patient.server.verify(None);
}
