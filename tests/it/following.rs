//! One request followed through the log, and the log of slow ones.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::books::{Books, Order};
use crate::support::raw::{Connection, Request};
use crate::support::{Scrape, Server, Store, on_both_engines, on_both_stores};

/// How long a line may take to come. Far more than it needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);
/// Clients that transfer at once, and how often each does.
const CLIENTS: usize = 8;
const TRANSFERS: usize = 25;
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

on_both_stores!(a_request_is_followed_by_its_id_under_load);
on_both_engines!(slow_requests_tell_where_their_time_went);

/// The lines that name a request, in the order of the log.
fn lines_of<'a>(log: &'a [Value], id: &str) -> Vec<&'a Value> {
    let names = |line: &&Value| {
        let in_spans = line["spans"].as_array().into_iter().flatten().any(|span| span["request_id"] == id);
        line["request_id"] == id || in_spans
    };
    log.iter().filter(names).collect()
}

fn told<'a>(lines: &[&'a Value], message: &str) -> &'a Value {
    let found = lines.iter().find(|line| line["message"] == message);
    found.unwrap_or_else(|| panic!("{message:?} is not in {lines:#?}"))
}

/// Transfers by several clients at once, each under an id of its own; what the replies say by those ids.
fn transfer_at_once(address: SocketAddr, books: &Books) -> BTreeMap<String, Value> {
    let client = |client: usize| {
        let mut connection = Connection::open(address);
        let transfer = |number: usize| {
            let id = format!("follow-{client}-{number}");
            let order = Order { key: id.clone(), debit: client % 2, credit: 1 - client % 2, amount: 1 };
            let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
            let request = books.request_with(&order, &[("X-Request-Id", &id), ("traceparent", &parent)]);
            let reply = connection.call(request.bytes());
            assert_eq!((reply.status, reply.field("x-request-id")), (201, Some(&*id)), "{reply:?}");
            (id, reply.json())
        };
        (0..TRANSFERS).map(transfer).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|n| scope.spawn(move || client(n))).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

async fn a_request_is_followed_by_its_id_under_load(store: Store) {
    let server = store.serve(&[("log.level", "debug"), ("log.format", "json")]);
    let books = Books::open(&server, 2);
    let replies = transfer_at_once(server.address(), &books);
    assert_eq!(replies.len(), CLIENTS * TRANSFERS);

    // Access lines wait for up to 100 ms; the last that comes is that of this request.
    let last = Request::get("/health").field("X-Request-Id", "the-last").bytes();
    assert_eq!(Connection::open(server.address()).call(last).status, 200);
    let log = read_until_access_lines(&server, &replies);
    let mut batches = BTreeMap::new();
    for (id, reply) in &replies {
        let lines = lines_of(&log, id);
        told(&lines, "request begins");
        let taken = told(&lines, "the lane has taken the command");
        let stored = told(&lines, "the store has answered the batch");
        let made = told(&lines, "the reply is made");
        let access = lines.iter().find(|line| line["target"] == "ringledger::access").unwrap();
        assert_eq!(taken["batch"], stored["batch"], "{lines:#?}");
        assert_eq!(stored["stored"], true, "{lines:#?}");
        assert!(stored["seq"].as_u64() >= reply["seq"].as_u64(), "{stored}: {reply}");
        assert_eq!((&made["status"], &access["status"]), (&201.into(), &201.into()));
        assert_eq!(access["route"], "/api/v1/transfers");
        assert_eq!(access["trace_id"], TRACE);
        let request = taken["spans"].as_array().unwrap().iter().find(|span| span["name"] == "request");
        assert_eq!(request.unwrap()["trace_id"], TRACE, "{taken}");
        *batches.entry(taken["batch"].as_u64().unwrap()).or_insert(0) += 1;
    }
    assert!(batches.values().any(|&commands| commands > 1), "no two shared a commit: {batches:?}");
    let scrape = Scrape::on(&mut Connection::open(server.address()));
    assert_eq!(scrape.samples("log_lines_dropped_total", &[]), [0]);
}

/// The log until the access line of each request has come.
fn read_until_access_lines(server: &Server, replies: &BTreeMap<String, Value>) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    let (mut log, mut missing) = (Vec::new(), replies.len());
    while missing > 0 {
        assert!(Instant::now() < deadline, "{missing} access lines are missing");
        for line in server.log_lines() {
            let line: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let is_access = line["target"] == "ringledger::access";
            missing -= usize::from(is_access && replies.contains_key(line["request_id"].as_str().unwrap()));
            log.push(line);
        }
    }
    log
}

fn slow_requests_tell_where_their_time_went(engine: &str) {
    let settings = [("log.slow_ms", "20"), ("log.format", "json")];
    let server = Server::start_set(&["--io", engine, "--workers", "1", "--bench-endpoints"], &settings);
    let mut connection = Connection::open(server.address());
    for (path, id) in [("/health", "quick"), ("/cpu?ms=40", "slow")] {
        assert_eq!(connection.call(Request::get(path).field("X-Request-Id", id).bytes()).status, 200);
    }
    let us = |line: &Value, field: &str| line[field].as_u64().or_else(|| line[field].as_str()?.parse().ok());
    let line = server.wait_for_line("slow request", PATIENCE);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        (&line["request_id"], &line["route"], &line["status"]),
        (&"slow".into(), &"/cpu".into(), &200.into())
    );
    assert!(us(&line, "cpu_us") >= Some(40_000) && us(&line, "duration_us") >= us(&line, "cpu_us"), "{line}");
    assert!(us(&line, "write_us").is_some(), "{line}");
    assert_eq!((us(&line, "lane_us"), us(&line, "store_us")), (Some(0), Some(0)), "{line}");

    // A thousand transfers take a debug build longer than that.
    let books = Books::open(&server, 2);
    let item = format!(
        r#"{{"debit_account":"{}","credit_account":"{}","amount":1,"currency":"EUR"}}"#,
        books.accounts[0], books.accounts[1]
    );
    let body = format!(r#"{{"transfers":[{}]}}"#, vec![item; 2_000].join(","));
    let request = Request::post("/api/v1/transfers/batch").bearer(&books.token);
    let request = request.field("Idempotency-Key", "many").field("X-Request-Id", "batch").json(body);
    assert_eq!(connection.call(request.bytes()).status, 200);
    let line = server.wait_for_line("\"batch\"", PATIENCE);
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["message"], "slow request", "{line}");
    assert!(us(&line, "store_us") > Some(0) && us(&line, "lane_us") >= us(&line, "store_us"), "{line}");
    for part in ["auth_us", "body_us", "queue_us", "cpu_us", "write_us"] {
        assert!(us(&line, part).is_some_and(|us_| Some(us_) < us(&line, "duration_us")), "{part}: {line}");
    }
}
