//! Holds, reversals and batches where SQLite has no like: commits whose end nobody saw, and a second replica.

use std::time::Duration;

use serde_json::{Value, json};
use throwaway_postgres::CommitLoss;

use super::replicas::replicas;
use super::{LATE, Line, ask, assert_in_time, assert_unavailable};
use crate::support::books::{Books, FUNDS};
use crate::support::raw::{Connection, Request};
use crate::support::wait_until;

const TRANSFERS: &str = "/api/v1/transfers";

/// Holds that end together; more than one commit lets go.
const HOLDS: i64 = 700;
/// By when they are let go.
const EXPIRED_WITHIN: Duration = Duration::from_secs(2);

/// A request of the operator to do something once.
fn act(books: &Books, path: &str, key: &str, body: &Value) -> Request {
    Request::post(path).bearer(&books.token).field("Idempotency-Key", key).json(body.to_string())
}

/// A hold of `amount` on the first account for the second.
fn hold(books: &Books, amount: i64) -> Value {
    json!({
        "debit_account": books.accounts[0], "credit_account": books.accounts[1], "amount": amount,
        "currency": "EUR", "pending": true,
    })
}

/// `held` of the first account.
fn held(books: &Books, connection: &mut Connection) -> Value {
    let path = format!("/api/v1/accounts/{}", books.accounts[0]);
    connection.call(books.get(&path).bytes()).json()["held"].clone()
}

#[test]
fn a_commit_that_the_server_never_got() {
    lose_commits(CommitLoss::Request);
}

#[test]
fn a_commit_whose_answer_never_came() {
    lose_commits(CommitLoss::Answer);
}

/// Each step loses its commit, and is there once.
fn lose_commits(loss: CommitLoss) {
    let Line { proxy, server, books } = Line::new();
    let step = |path: &str, key: &str, body: Value, status: u16| {
        let request = act(&books, path, key, &body);
        let lost = proxy.lose_next_commit(loss);
        let (first, after) = ask(server.address(), &request);
        assert!(lost.wait(LATE), "no commit went by");
        assert_in_time(after);
        let again = ask(server.address(), &request).0;
        assert_eq!(again.status, status, "{again:?}");
        if first.status == status {
            assert_eq!(first.body, again.body);
            assert_eq!(first.field("idempotency-replayed"), None, "{path}: it is the first to be told");
            assert_eq!(again.field("idempotency-replayed"), Some("true"));
        } else {
            assert_unavailable(&first);
        }
        again.json()
    };
    let path =
        |transfer: &Value, verb: &str| format!("{TRANSFERS}/{}/{verb}", transfer["id"].as_str().unwrap());
    let first = step(TRANSFERS, "hold", hold(&books, 100), 201);
    let posted = step(&path(&first, "post"), "post", json!({"amount": 60}), 200);
    assert_eq!(posted["posted_amount"], 60);
    step(&path(&first, "post"), "post-again", json!({}), 409);
    let batch = json!({"atomic": true, "transfers": [hold(&books, 5), hold(&books, 7)]});
    let batch = step(&format!("{TRANSFERS}/batch"), "batch", batch, 200);
    step(&path(&batch["results"][0]["transfer"], "void"), "void", json!({}), 200);
    step(&path(&first, "reverse"), "reverse", json!({}), 201);
    let refused = json!({"atomic": true, "transfers": [hold(&books, 5), hold(&books, FUNDS)]});
    step(&format!("{TRANSFERS}/batch"), "refused", refused, 422);
    let mut connection = Connection::open(server.address());
    assert_eq!(books.balances(&mut connection), [FUNDS, FUNDS]);
    assert_eq!(held(&books, &mut connection), 7);
    let next = act(&books, TRANSFERS, "next", &hold(&books, 1));
    assert_eq!(ask(server.address(), &next).0.json()["seq"], 2 + 6 + 1, "each event has one number");
    server.verify(None);
}

#[test]
fn two_replicas_let_each_hold_go_once() {
    let [first, second] = replicas();
    let books = Books::open(&first, 2);
    let mut limited = hold(&books, 1);
    limited["timeout_seconds"] = json!(1);
    let items: Vec<_> = (0..HOLDS).map(|_| limited.clone()).collect();
    let batch = act(&books, &format!("{TRANSFERS}/batch"), "b", &json!({"transfers": items}));
    let made = ask(first.address(), &batch).0;
    assert_eq!(made.status, 200, "{made:?}");
    let mut connections = [&first, &second].map(|server| Connection::open(server.address()));
    assert_eq!(held(&books, &mut connections[1]), HOLDS);
    wait_until(Duration::from_secs(1) + EXPIRED_WITHIN + LATE, || match held(&books, &mut connections[0]) {
        held if held == 0 => Ok(()),
        held => Err(format!("{held} is held")),
    });
    assert_eq!(held(&books, &mut connections[1]), 0);
    let next = act(&books, TRANSFERS, "next", &hold(&books, 1));
    let seq = ask(second.address(), &next).0.json()["seq"].as_i64().unwrap();
    assert_eq!(seq, 2 + 2 * HOLDS + 1, "each expiry has one number");
    first.verify(None);
}
