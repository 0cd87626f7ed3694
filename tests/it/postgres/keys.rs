//! The signing key: replicas on one database must share it.

use crate::support::books::{Books, expect_created};
use crate::support::postgres::{serve_on, serve_on_set, shared_cluster};
use crate::support::raw::Connection;
use crate::support::{ledger_command, new_data, run_command, variable};

#[test]
fn a_replica_with_another_key_is_refused_and_told_how_to_share_it() {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    let first = serve_on(&url);
    let data = new_data();
    let serve = || {
        let mut command = ledger_command(data.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).env(variable("store.url"), &url);
        command
    };
    let refused = run_command(serve(), "");
    refused.fails(78);
    assert!(refused.stderr.contains("auth.key_file"), "{}", refused.stderr);
    assert!(refused.stderr.contains("key"), "{}", refused.stderr);

    // As it says.
    let key = first.data().join("signing.key");
    let second = serve_on_set(&url, &[("auth.key_file", key.to_str().unwrap())]);
    let books = Books::open(&first, 1);
    let reply = Connection::open(second.address()).call(books.get("/api/v1/users/me").bytes());
    assert_eq!(reply.status, 200, "a token of one is good at the other: {reply:?}");
    expect_created(
        &Connection::open(second.address())
            .call(books.account_request().json(r#"{"currency":"EUR"}"#).bytes()),
    );
}

#[test]
fn a_key_outlives_its_server() {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    let (again, _) = serve_on(&url).kill_and_restart();
    Books::open(&again, 1);
}
