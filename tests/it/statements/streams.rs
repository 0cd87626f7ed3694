//! Long statements: sent while they are made, in little memory, and given up when they must be.

use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use super::path;
use crate::support::books::{Books, FUNDS};
use crate::support::raw::{Connection, Request};
use crate::support::{Scrape, Server, on_both_engines, wait_until};

/// Entries of a long account, and of one whose PDF a build without optimisation makes in a second.
const LONG: u64 = 100_000;
const LONG_PDF: u64 = 10_000;
/// Most resident memory of a statement of any length, above that of the server that has made a short one. From 10,000
/// entries on it no longer grows: 2 to 3 MiB for those, up to 4.7 in eight runs of 100,000.
const STATEMENT_BYTES: u64 = 6 << 20;
/// Statements that may be under way on a core.
const UNDER_WAY: usize = 16;
/// Entries of a page: each is a job of the CPU pool.
const PAGE_ENTRIES: u64 = 56;
/// How much later than promised a busy machine may be.
const LATE: Duration = Duration::from_secs(10);

on_both_engines!(
    a_long_statement_is_whole_and_takes_little_memory,
    a_client_that_leaves_stops_its_statement,
    a_statement_that_cannot_go_on_is_cut,
    a_statement_under_way_outlives_the_signal,
    the_connection_goes_on_behind_a_statement,
);

/// Gives an account that holds [`FUNDS`] so many entries more, of 1 each, behind the server's back: by requests it
/// would take minutes. The log and the other side of the transfers are not made.
fn lengthen(data: &Path, account: &str, count: u64) {
    let database = rusqlite::Connection::open(data.join("ledger.db")).unwrap();
    let sql = format!(
        "begin immediate;
         create temp table n as with recursive n (i) as (select 1 union all select i + 1 from n where i < {count})
             select i, seq + i as seq, at, printf('01900000-0000-7000-8000-%012x', i) as id from n, head;
         insert into transfers (seq, id, status, debit_account, credit_account, amount, posted_amount, currency,
                 description, reference, created_by, idempotency_key, created_at)
             select seq, id, 'posted', '01900000-0000-7000-8000-0000000000ff', '{account}', 1, 1, 'EUR',
                 'Payment ' || i || ' of many, with words that fill a line', 'ref-' || i, id, 'long-' || i, at from n;
         insert into entries (account_id, seq, transfer_id, amount, balance, created_at)
             select '{account}', seq, id, 1, {FUNDS} + i, at from n;
         update head set seq = seq + {count};
         commit;"
    );
    database.execute_batch(&sql).unwrap();
}

/// A server with an account of so many entries and the one that funded it.
fn long_account(engine: &str, count: u64, settings: &[(&str, &str)]) -> (Server, Books) {
    let server = Server::start_set(&["--io", engine, "--workers", "1", "--bench-endpoints"], settings);
    let books = Books::open(&server, 1);
    lengthen(server.data(), &books.accounts[0], count);
    (server, books)
}

fn statement(books: &Books, accept: &str) -> Request {
    books.get(&path(&books.accounts[0], "")).field("Accept", accept)
}

/// Reads a statement to its end, where the connection is closed; returns its last bytes and the most resident memory
/// meanwhile.
fn read_to_the_end(server: &Server, request: &Request) -> (Vec<u8>, u64) {
    let process = server.process();
    let mut connection = Connection::open(server.address());
    connection.send(request.head());
    let (mut tail, mut most) = (Vec::new(), 0);
    while let Some(bytes) = connection.read_some() {
        tail.extend(bytes);
        let surplus = tail.len().saturating_sub(1_000);
        tail.drain(..surplus);
        most = most.max(process.resident_bytes());
    }
    (tail, most)
}

fn a_long_statement_is_whole_and_takes_little_memory(engine: &str) {
    check_memory(engine, "text/csv", LONG, "\r\nclosing,,");
    check_memory(engine, "application/pdf", LONG_PDF, "%%EOF\n\r\n0\r\n\r\n");
}

/// On one engine, since it takes a build without optimisation some ten seconds.
#[test]
fn a_pdf_of_100_000_entries_takes_no_more_memory() {
    check_memory("uring", "application/pdf", LONG, "%%EOF\n\r\n0\r\n\r\n");
}

fn check_memory(engine: &str, accept: &str, entries: u64, end: &str) {
    let (server, books) = long_account(engine, entries, &[("log.access", "off")]);
    let request = statement(&books, accept).field("Connection", "close");
    let short = books.get(&path(&books.accounts[0], "?to=2020-01-01T00:00:00Z&from=2020-01-01T00:00:00Z"));
    let short = short.field("Accept", accept).field("Connection", "close");
    read_to_the_end(&server, &short);
    let before = server.process().resident_bytes();
    let (tail, most) = read_to_the_end(&server, &request);
    let tail = String::from_utf8_lossy(&tail).into_owned();
    assert!(tail.contains(end) && tail.ends_with("\r\n0\r\n\r\n"), "{accept}: {tail}");
    let more = most.saturating_sub(before);
    assert!(more < STATEMENT_BYTES, "{accept} of {entries} entries took {} KiB", more >> 10);
}

/// Jobs that the CPU pool has run.
fn jobs(watcher: &mut Connection) -> u64 {
    Scrape::on(watcher).sum("cpu_pool_run_seconds_count", &[])
}

fn a_client_that_leaves_stops_its_statement(engine: &str) {
    let (server, books) = long_account(engine, LONG, &[("limits.head_timeout_ms", "500")]);
    let request = statement(&books, "text/csv").bytes();
    let begin = |_| {
        let mut connection = Connection::open_narrow(server.address());
        connection.send(&request);
        // Its first bytes have come, so it has its place.
        assert!(connection.read_some().is_some_and(|bytes| bytes.starts_with(b"HTTP/1.1 200")));
        connection
    };
    let under_way: Vec<_> = (0..UNDER_WAY).map(begin).collect();
    let mut watcher = Connection::open(server.address());
    let refused = watcher.call(&request);
    assert_eq!((refused.status, &*refused.problem_code()), (503, "overloaded"));
    assert!(refused.field("retry-after").is_some());
    drop(under_way);
    let short = statement_of_nothing(&books);
    wait_until(LATE, || match watcher.call(&short).status {
        200 => Ok(()),
        status => Err(format!("{status}: no place has come free")),
    });
    // Sixteen whole statements would be some 28,000 jobs; what nobody reads is made no further than buffers have room.
    let most = UNDER_WAY as u64 * LONG / PAGE_ENTRIES / 4;
    let after = jobs(&mut watcher);
    assert!(after < most, "{after} jobs for clients that have read nothing");
    wait_until(LATE, || {
        let before = jobs(&mut watcher);
        assert_eq!(watcher.call(&short).status, 200);
        // The short one's own two: its heading and its end.
        match jobs(&mut watcher) - before {
            2 => Ok(()),
            more => Err(format!("{more} jobs, so somebody's statement goes on")),
        }
    });
}

/// A statement without entries: two jobs.
fn statement_of_nothing(books: &Books) -> Vec<u8> {
    let target = path(&books.accounts[0], "?from=2020-01-01T00:00:00Z&to=2020-01-01T00:00:00Z");
    books.get(&target).field("Accept", "text/csv").bytes()
}

fn a_statement_that_cannot_go_on_is_cut(engine: &str) {
    let (server, books) = long_account(engine, LONG_PDF, &[]);
    let database = rusqlite::Connection::open(server.data().join("ledger.db")).unwrap();
    let tamper = |place: u64| {
        // The account's first entry funds it.
        let sql = "update entries set balance = balance + 1 where account_id = ?1 and seq = ?2";
        assert_eq!(database.execute(sql, (&books.accounts[0], place)).unwrap(), 1);
    };
    tamper(LONG_PDF / 2);
    for accept in ["text/csv", "application/pdf"] {
        let mut connection = Connection::open(server.address());
        connection.send(statement(&books, accept).bytes());
        let cut = connection.try_reply().unwrap_err();
        assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof, "{cut}");
    }
    server.wait_for_line("a body broke off", LATE);
    tamper(2);
    let reply = Connection::open(server.address()).call(statement(&books, "text/csv").bytes());
    assert_eq!((reply.status, &*reply.problem_code()), (500, "internal"));
}

fn a_statement_under_way_outlives_the_signal(engine: &str) {
    let (mut server, books) = long_account(engine, LONG_PDF, &[]);
    let mut connection = Connection::open_narrow(server.address());
    connection.send(statement(&books, "text/csv").bytes());
    wait_until(LATE, || {
        let mut watcher = Connection::open(server.address());
        if jobs(&mut watcher) > 0 { Ok(()) } else { Err("it has not begun".to_owned()) }
    });
    server.terminate();
    server.wait_for_line("draining", LATE);
    let reply = connection.reply();
    let text = String::from_utf8(reply.body).unwrap();
    assert_eq!(text.lines().count() as u64, LONG_PDF + 4);
    assert!(text.lines().last().unwrap().starts_with("closing,"));
    assert!(server.wait(LATE).success());
}

fn the_connection_goes_on_behind_a_statement(engine: &str) {
    let (server, books) = long_account(engine, 1_000, &[]);
    let mut connection = Connection::open(server.address());
    let request = statement(&books, "text/csv").bytes();
    connection.send([request.clone(), request].concat());
    for _ in 0..2 {
        let reply = connection.reply();
        assert_eq!((reply.status, reply.field("transfer-encoding")), (200, Some("chunked")));
        assert_eq!(reply.body.split(|byte| *byte == b'\n').count(), 1_000 + 5);
    }
    let target = path(&books.accounts[0], "");
    connection.send(Request::new("HEAD", &target).bearer(&books.token).bytes());
    let head = connection.reply_to_head();
    assert_eq!((head.status, head.field("content-type")), (200, Some("application/pdf")));
    assert_eq!(connection.call(Request::get("/health").bytes()).status, 200);
}

/// Its thread waits for its turn, and gets a small part of a core that others want.
#[test]
fn the_reader_of_statements_gives_way_to_requests() {
    let server = Server::start();
    let process = server.process();
    wait_until(LATE, || match (process.schedule("worker-0"), process.schedule("statements")) {
        // 19 is the most.
        (Some((libc::SCHED_OTHER, nice)), Some((libc::SCHED_BATCH, nicer)))
            if nicer == (nice + 10).min(19) =>
        {
            Ok(())
        }
        other => Err(format!("{other:?}")),
    });
}

#[test]
fn a_full_queue_refuses_a_statement() {
    let (server, books) = long_account("uring", 1, &[("limits.cpu_queue", "1")]);
    let mut jobs: Vec<_> = (0..=available_parallelism().unwrap().get())
        .map(|_| {
            let mut job = Connection::open(server.address());
            job.send(Request::get("/cpu?ms=1000").bytes());
            job
        })
        .collect();
    let mut connection = Connection::open(server.address());
    let request = statement(&books, "application/pdf").bytes();
    wait_until(LATE, || match connection.call(&request) {
        reply if reply.status == 503 => {
            assert_eq!(reply.problem_code(), "overloaded");
            Ok(())
        }
        reply => Err(format!("{}", reply.status)),
    });
    for job in &mut jobs {
        assert_eq!(job.reply().status, 200);
    }
    assert_eq!(connection.call(&request).status, 200);
}
