//! Rate limits: a bucket for each user, told in every reply, refused before a body is read.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::raw::{Connection, Reply, Request};
use crate::support::{Server, add_user, new_data, on_both_engines, run, wait_until};

const ME: &str = "/api/v1/users/me";
const BURST: u64 = 5;
const SETTINGS: &[(&str, &str)] = &[("rate_limit.per_second", "1"), ("rate_limit.burst", "5")];
/// More requests than the bucket can hold and refill while they are sent.
const REQUESTS_MAX: usize = 200;
/// How long a reload may take. Far more than it needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);

on_both_engines!(each_user_has_a_bucket, a_refusal_does_not_wait_for_the_body, a_reload_changes_the_limit);

fn ask(address: SocketAddr, token: &str) -> Reply {
    Connection::open(address).call(Request::get(ME).bearer(token).bytes())
}

/// The number behind `name=` in a field such as `"default";r=4;t=1`.
#[track_caller]
fn number(reply: &Reply, field: &str, name: &str) -> u64 {
    let value = reply.field(field).unwrap_or_else(|| panic!("no {field}: {reply:?}"));
    let mut parts = value.split(';');
    assert_eq!(parts.next(), Some("\"default\""), "{value}");
    let number = parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    number.unwrap_or_else(|| panic!("no {name}: {value}")).parse().unwrap()
}

/// Sends requests, each on a connection of its own and so on any core, until one is refused; that one.
#[track_caller]
fn exhaust(address: SocketAddr, token: &str) -> Reply {
    let begin = Instant::now();
    for let_through in 0..REQUESTS_MAX as u64 {
        let reply = ask(address, token);
        let refilled = begin.elapsed().as_secs() + 1;
        if reply.status == 429 {
            assert!((BURST..=BURST + refilled).contains(&let_through), "{let_through} of {refilled} s");
            return reply;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(number(&reply, "ratelimit", "r") < BURST, "{reply:?}");
    }
    panic!("nothing was refused");
}

fn each_user_has_a_bucket(engine: &str) {
    let data = new_data();
    add_user(data.path(), "alice", &[]).ok();
    let alice = run(data.path(), &["token", "--user", "alice"]).ok();
    let server = Server::start_set_in(data, &["--io", engine, "--workers", "2"], SETTINGS);
    let operator = server.operator_token();

    let refused = exhaust(server.address(), &operator);
    assert_eq!(refused.problem_code(), "too_many_requests");
    assert_eq!(refused.field("retry-after"), Some("1"), "{refused:?}");
    assert_eq!((number(&refused, "ratelimit", "r"), number(&refused, "ratelimit", "t")), (0, BURST));
    for (name, value) in [("q", BURST), ("w", BURST)] {
        assert_eq!(number(&refused, "ratelimit-policy", name), value);
    }
    // Somebody else's bucket is full.
    let reply = ask(server.address(), alice.trim());
    assert_eq!((reply.status, number(&reply, "ratelimit", "r")), (200, BURST - 1), "{reply:?}");
    // What is refused for its content tells the state too.
    let unknown = Request::get("/api/v1/transfers/x").bearer(alice.trim());
    let reply = Connection::open(server.address()).call(unknown.bytes());
    assert_eq!((reply.status, number(&reply, "ratelimit-policy", "q")), (404, BURST), "{reply:?}");
    // Who is nobody has no bucket.
    for (request, status) in [(Request::get("/health"), 200), (Request::get(ME), 401)] {
        let reply = Connection::open(server.address()).call(request.bytes());
        assert_eq!((reply.status, reply.field("ratelimit")), (status, None), "{reply:?}");
    }
    // The bucket fills by one a second.
    wait_until(PATIENCE, || match ask(server.address(), &operator) {
        reply if reply.status == 200 => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
}

fn a_refusal_does_not_wait_for_the_body(engine: &str) {
    let server = Server::start_set(&["--io", engine], SETTINGS);
    let token = server.operator_token();
    exhaust(server.address(), &token);
    let request = Request::post("/api/v1/accounts").bearer(&token).json("x".repeat(1_000));
    // The body never comes; were it waited for, the answer would be 408.
    let reply = Connection::open(server.address()).call(request.head());
    assert_eq!((reply.status, reply.problem_code().as_str()), (429, "too_many_requests"), "{reply:?}");
    assert!(reply.closes(), "what comes next could be the body");
}

fn a_reload_changes_the_limit(engine: &str) {
    let data = new_data();
    let file = data.path().join("settings.yaml");
    let path = file.to_str().unwrap().to_owned();
    std::fs::write(&file, "log: {level: info}\n").unwrap();
    let server = Server::start_in(data, &["--io", engine, "--config", &path]);
    let token = server.operator_token();
    let set = |yaml: &str| {
        std::fs::write(&file, yaml).unwrap();
        server.reload();
    };
    assert_eq!(ask(server.address(), &token).field("ratelimit"), None, "off unless set");
    set("rate_limit: {per_second: 1, burst: 5}\n");
    let line = server.wait_for_line("rate_limit.per_second", PATIENCE);
    assert!(!line.contains("restart"), "{line}");
    exhaust(server.address(), &token);
    set("rate_limit: {per_second: 1000}\n");
    server.wait_for_line("rate_limit.per_second", PATIENCE);
    // The bucket was empty; by the new rate it holds a request after a millisecond.
    wait_until(PATIENCE, || match ask(server.address(), &token) {
        reply if reply.status == 200 && number(&reply, "ratelimit-policy", "q") == 1_000 => Ok(()),
        reply => Err(format!("{reply:?}")),
    });
    set("rate_limit: {per_second: 0}\n");
    server.wait_for_line("nothing was changed", PATIENCE);
    assert_eq!(number(&ask(server.address(), &token), "ratelimit-policy", "q"), 1_000);
    set("log: {level: info}\n");
    server.wait_for_line("rate_limit.per_second", PATIENCE);
    assert_eq!(ask(server.address(), &token).field("ratelimit"), None);
}
