//! The client against a server that answers as scripted: what it counts, when it sends, and what it says of itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod server;

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread::sleep;
use std::time::Duration;

use loadtest::client::{Client, ClientError};
use loadtest::plan::{Arrivals, Pace, Plan, Requests};
use loadtest::requests::{get, post};
use loadtest::seen::{Errors, Seen};
use server::{Answer, reply, serve};

const MS: Duration = Duration::from_millis(1);
const CLOSED: Pace = Pace::Closed { depth: 1 };

const fn open(rate_per_s: f64) -> Pace {
    Pace::Open { rate_per_s, arrivals: Arrivals::Constant }
}

fn plan(address: SocketAddr, connections: usize, pace: Pace) -> Plan {
    Plan {
        address,
        connections,
        pace,
        requests: Requests(vec![get("/", "test", &[])]),
        expected_status: 200,
        failure_mark: None,
        timeout: 2_000 * MS,
        cores: Vec::new(),
        spin: false,
    }
}

fn run(plan: Plan, duration: Duration) -> Seen {
    Client::connect(plan).unwrap().run(duration)
}

#[test]
fn a_closed_loop_counts_successes() {
    let address = serve(|_, _| reply(200));
    let seen = run(plan(address, 4, CLOSED), 200 * MS);
    assert!(seen.ok > 10, "{seen:?}");
    assert_eq!((seen.errors, seen.dropped), (Errors::default(), 0));
    assert_eq!(seen.ok, seen.response_ns.len());
    assert!(seen.pacer_late_ns.is_empty());
}

#[test]
fn pipelined_requests_are_all_answered() {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let address = serve(move |_, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        reply(200)
    });
    let seen = run(plan(address, 2, Pace::Closed { depth: 16 }), 200 * MS);
    assert_eq!(seen.errors, Errors::default());
    assert_eq!(seen.ok, count.load(Ordering::Relaxed));
    assert!(seen.ok >= 32);
}

#[test]
fn an_open_loop_keeps_its_rate() {
    let address = serve(|_, _| reply(200));
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let pace = Pace::Open { rate_per_s: 1_000.0, arrivals };
        let seen = run(plan(address, 8, pace), 1_000 * MS);
        let all = seen.ok + seen.dropped + seen.errors.total();
        let spread = if arrivals == Arrivals::Constant { 1 } else { 150 };
        assert!(all.abs_diff(1_000) <= spread, "{arrivals:?}: {all}");
        assert!((seen.ok..=all).contains(&seen.pacer_late_ns.len()), "each moment is looked at once");
    }
}

/// A server that stands still for 200 ms delays the 200 requests that were due in that time, whether or not a
/// connection was free to send them (Tene, "How NOT to measure latency").
#[test]
fn a_stall_shows_in_all_responses_that_were_due_in_it() {
    let first = Once::new();
    let address = serve(move |_, _| {
        first.call_once(|| sleep(200 * MS));
        reply(200)
    });
    let mut plan = plan(address, 1, open(1_000.0));
    plan.timeout = 5_000 * MS;
    let seen = run(plan, 2_000 * MS);
    let slow = seen.response_ns.count_between(20_000_000, u64::MAX);
    assert!((150..).contains(&slow), "{slow} slow responses");
    let long_service = seen.service_ns.count_between(150_000_000, u64::MAX);
    assert_eq!(long_service, 1, "only the request that met the stall was served slowly");
    assert_eq!(seen.errors, Errors::default());
}

#[test]
fn chunked_and_split_replies_are_read() {
    let text = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let address = serve(|_, _| Answer::Pieces(text.iter().map(|byte| vec![*byte]).collect()));
    for pace in [CLOSED, open(100.0)] {
        let seen = run(plan(address, 1, pace), 200 * MS);
        assert!(seen.ok > 0);
        assert_eq!(seen.errors, Errors::default());
    }
}

#[test]
fn each_failure_is_counted_by_its_cause() {
    type Script = (fn() -> Answer, fn(Errors) -> u64);
    let scripts: [Script; 4] = [
        (|| reply(500), |errors| errors.status),
        (|| Answer::End, |errors| errors.reset),
        (|| Answer::Pieces(vec![b"nonsense\r\n\r\n".to_vec()]), |errors| errors.malformed),
        (|| Answer::Silence, |errors| errors.timeout),
    ];
    for (index, (answer, of)) in scripts.into_iter().enumerate() {
        let address = serve(move |_, _| answer());
        for pace in [CLOSED, open(50.0)] {
            let seen = run(Plan { timeout: 100 * MS, ..plan(address, 2, pace) }, 250 * MS);
            let errors = seen.errors;
            assert!(of(errors) > 0, "script {index}: {errors:?}");
            assert_eq!(of(errors), errors.total(), "script {index}: {errors:?}");
            assert_eq!((seen.ok, seen.response_ns.len()), (0, 0), "script {index}");
        }
    }
}

#[test]
fn a_reply_with_the_mark_of_a_failure_is_no_success() {
    let bodies: [&[&[u8]]; 4] =
        [&[b"all is well"], &[b"one failed"], &[b"one fai", b"led"], &[b"", b"failed!"]];
    let address = {
        let turn = AtomicU64::new(0);
        serve(move |_, _| {
            let turn = usize::try_from(turn.fetch_add(1, Ordering::Relaxed)).unwrap();
            let body = bodies[turn % bodies.len()];
            let length: usize = body.iter().map(|piece| piece.len()).sum();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes();
            Answer::Pieces([head].into_iter().chain(body.iter().map(|piece| piece.to_vec())).collect())
        })
    };
    let plan = Plan { failure_mark: Some(b"failed"), ..plan(address, 1, CLOSED) };
    let mut client = Client::connect(plan).unwrap();
    let ok: Vec<_> = (0..8).map(|_| client.once()).map(|seen| (seen.ok, seen.errors.status)).collect();
    assert_eq!(ok, [(1, 0), (0, 1), (0, 1), (0, 1)].repeat(2));
}

#[test]
fn a_connection_that_the_server_ends_is_opened_anew() {
    let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let address = serve(|_, _| Answer::Pieces(vec![close.to_vec()]));
    for pace in [CLOSED, open(200.0)] {
        let seen = run(plan(address, 1, pace), 200 * MS);
        assert!(seen.ok > 1, "{seen:?}");
        assert_eq!(seen.errors, Errors::default());
    }
}

#[test]
fn no_key_is_sent_twice() {
    let keys = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&keys);
    let address = serve(move |head, body| {
        let key = head.lines().find_map(|line| line.strip_prefix("Key: ")).unwrap().to_owned();
        assert_eq!(body, b"{}");
        kept.lock().unwrap().push(key);
        reply(200)
    });
    let mut plan = plan(address, 3, CLOSED);
    plan.requests = Requests(vec![post("/", "test", &[], b"{}", Some("Key"))]);
    plan.cores = vec![0, 0];
    let mut client = Client::connect(plan.clone()).unwrap();
    let sent = client.run(50 * MS).ok + client.run(50 * MS).ok + client.once().ok + run(plan, 50 * MS).ok;
    let keys = keys.lock().unwrap();
    assert_eq!(keys.len() as u64, sent);
    assert_eq!(keys.iter().collect::<HashSet<_>>().len() as u64, sent);
}

#[test]
fn once_sends_one_request_on_each_connection() {
    let address = serve(|_, _| reply(200));
    let mut client = Client::connect(plan(address, 7, open(1.0))).unwrap();
    assert_eq!(client.once().ok, 7);
    assert_eq!(client.once().response_ns.len(), 7);
}

#[test]
fn a_server_that_is_not_there_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(Client::connect(plan(address, 1, CLOSED)), Err(ClientError::Connect { .. })));
}

#[test]
fn a_rate_that_no_client_can_send_is_said_to_be_the_clients_limit() {
    let address = serve(|_, _| reply(200));
    let seen = run(plan(address, 4, open(9_000_000.0)), 300 * MS);
    assert!(seen.client_limited.is_some(), "{seen:?}");
    assert!(seen.dropped > 0);
}

#[test]
fn an_easy_load_is_not_the_clients_limit() {
    // The server's time hides what a busy host adds to the client's.
    let address = serve(|_, _| {
        sleep(20 * MS);
        reply(200)
    });
    let seen = run(plan(address, 2, open(20.0)), 500 * MS);
    let late = seen.pacer_late_ns.max();
    // A host that stalls the test itself is no easy load; the verdict must then be the other one.
    assert_eq!(seen.client_limited.is_some(), late > 1_000_000, "{:?} {late}", seen.client_limited);
}
