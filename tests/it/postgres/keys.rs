//! The signing key: replicas on one database must share it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::books::{Books, expect_created};
use crate::support::postgres::{new_cluster, serve_on, serve_on_set, shared_cluster};
use crate::support::raw::{Connection, Request};
use crate::support::{ledger_command, new_data, run_command, variable};

/// How long a reload may take. Far more than it needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// Writes a key of 32 times this byte.
fn write_key(directory: &Path, name: &str, byte: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, byte.repeat(32)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// Who has a key that the database knows may bring another; then that one is known too.
#[test]
fn keys_are_rotated_across_replicas() {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    let keys = new_data();
    let write = |name: &str, byte: &str| write_key(keys.path(), name, byte);
    let first = write("1.key", "01");
    let directory = [("auth.key_dir", keys.path().to_str().unwrap())];
    let one = serve_on_set(&url, &directory);
    let of_first = one.operator_token();
    let refused = |key: &Path| {
        let data = new_data();
        let mut command = ledger_command(data.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        command.env(variable("store.url"), &url).env(variable("auth.key_file"), key);
        run_command(command, "").fails(78);
    };
    let second = write("2.key", "02");
    one.reload();
    one.wait_for_line("signing keys changed", PATIENCE);
    let of_second = one.operator_token();
    // The old key alone is still good for a start, and so is the new one.
    for key in [&first, &second] {
        serve_on_set(&url, &[("auth.key_file", key.to_str().unwrap())]);
    }
    refused(&write("3.key.foreign", "03"));
    let other = serve_on_set(&url, &directory);
    for (server, token) in [(&one, &of_first), (&one, &of_second), (&other, &of_first), (&other, &of_second)]
    {
        let request = Request::get("/api/v1/users/me").bearer(token).bytes();
        assert_eq!(Connection::open(server.address()).call(request).status, 200);
    }
}

#[test]
fn a_database_that_does_not_answer_does_not_hold_up_a_reload() {
    let cluster = shared_cluster();
    let database = cluster.database().unwrap();
    let keys = new_data();
    write_key(keys.path(), "1.key", "01");
    let directory = [("auth.key_dir", keys.path().to_str().unwrap())];
    let server = serve_on_set(&cluster.url(&database), &directory);
    // As another replica would hold it that stopped in the midst of a start.
    let mut other = cluster.connect(&database).unwrap();
    let lock = i64::from_be_bytes(*b"\0\0ledger");
    other.simple_query(&format!("select pg_advisory_lock({lock})")).unwrap();
    write_key(keys.path(), "2.key", "02");
    server.reload();
    server.wait_for_line("nothing was changed", PATIENCE);
    drop(other);
    server.reload();
    server.wait_for_line("signing keys changed", PATIENCE);
}

/// It was let in with the others.
#[test]
fn a_key_is_taken_away_without_the_database() {
    let cluster = new_cluster(&[]);
    let keys = new_data();
    let first = write_key(keys.path(), "1.key", "01");
    write_key(keys.path(), "2.key", "02");
    let directory = [("auth.key_dir", keys.path().to_str().unwrap())];
    let server = serve_on_set(&cluster.url("postgres"), &directory);
    cluster.pause();
    std::fs::remove_file(first).unwrap();
    server.reload();
    server.wait_for_line("signing keys changed", PATIENCE);
    cluster.resume();
}

#[test]
fn a_key_outlives_its_server() {
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    let (again, _) = serve_on(&url).kill_and_restart();
    Books::open(&again, 1);
}
