//! Runs one operation many times and does little else, so that `benches/instructions` can count its instructions.
//!
//! Without arguments it prints the names of the operations; with a name and a number it runs that one so often.

#![allow(clippy::print_stdout, reason = "the names are the result")]

#[path = "subjects/auth.rs"]
mod auth;
#[path = "subjects/json.rs"]
mod json;
#[path = "subjects/request.rs"]
mod request;
#[path = "subjects/router.rs"]
mod router;

use std::hint::black_box;

use bytes::Bytes;
use http::Method;
use ringledger::api::{AuthUser, routes};
use ringledger::web::call::Body;

use request::{Exchange, Ledger, Rig};

// The allocator of the binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A name, and what runs the operation a number of times.
type Operation = (&'static str, fn(u64));

const OPERATIONS: [Operation; 10] = [
    ("router_plaintext", |times| find("plaintext", times)),
    ("router_account", |times| find("account", times)),
    ("router_unknown", |times| find("unknown", times)),
    ("router_deepest", |times| find("deepest", times)),
    ("auth_cached", authenticate),
    ("json_transfer", decode),
    // The rig's own share of those below.
    ("request_rig", |times| Rig::canned().repeat(&mut request::plaintext(), times)),
    ("request_plaintext", |times| answer(|_| request::plaintext(), times)),
    // Of sixteen that are sent at once.
    ("request_pipelined", |times| answer(|_| request::pipelined(16), times)),
    ("request_account", |times| answer(Ledger::account, times)),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.as_slice() {
        [] => OPERATIONS.iter().for_each(|(name, _)| println!("{name}")),
        [name, times] => run(name, times.parse().expect("a number of times")),
        _ => panic!("usage: instructions [OPERATION TIMES]"),
    }
}

fn run(name: &str, times: u64) {
    let operation = OPERATIONS.iter().find(|(known, _)| *known == name);
    let (_, run) = operation.expect("a name that `instructions` prints");
    run(times);
}

fn find(name: &str, times: u64) {
    let table = routes::router(true);
    let (_, path) = router::PATHS.into_iter().find(|(known, _)| *known == name).expect("a path's name");
    for _ in 0..times {
        black_box(table.find(&Method::GET, black_box(path)));
    }
}

fn authenticate(times: u64) {
    let tokens = auth::tokens();
    let head = auth::head(&tokens, 1);
    for _ in 0..times {
        black_box(AuthUser::from_headers(black_box(&head), &tokens).is_ok());
    }
}

fn decode(times: u64) {
    let sent = Bytes::from_static(json::TRANSFER.as_bytes());
    for _ in 0..times {
        black_box(Body::new(sent.clone()).json::<json::Order<'_>>().is_ok());
    }
}

fn answer(exchange: impl FnOnce(&Ledger) -> Exchange, times: u64) {
    let (rig, ledger) = Rig::new();
    rig.repeat(&mut exchange(&ledger), times);
}
