//! What a start needs of a database, and a replica that lags behind.

use throwaway_postgres::{Cluster, Replication};

use super::{LATE, RECOVERED_WITHIN, ask, payment};
use crate::support::books::{Books, FUNDS, expect_created};
use crate::support::postgres::{new_cluster, serve_on, serve_on_set, serve_with, shared_cluster};
use crate::support::{
    Ran, Server, ledger_command, new_data, on_both_engines, run_command, variable, wait_until,
};

on_both_engines!(an_empty_database_is_all_that_is_needed);

fn an_empty_database_is_all_that_is_needed(engine: &str) {
    let cluster = shared_cluster();
    for url in [cluster.url(&cluster.database().unwrap()), cluster.unix_url(&cluster.database().unwrap())] {
        let server = serve_with(&["--io", engine], &url, &[]);
        let books = Books::open(&server, 2);
        expect_created(&ask(server.address(), &books.request(&payment("first"))).0);
        let store = server.wait_for_line("store: Postgres", LATE);
        assert!(!store.contains("postgres://"), "{store}");
        assert!(server.verify(None).starts_with("3:"));
        assert_eq!(std::fs::read_dir(server.data()).unwrap().count(), 1, "the key alone is kept here");
    }
}

/// `serve` on a database, which must end by itself.
fn refused(url: &str) -> Ran {
    let data = new_data();
    let mut command = ledger_command(data.path());
    command.args(["serve", "--listen", "127.0.0.1:0"]).env(variable("store.url"), url);
    run_command(command, "")
}

#[test]
fn a_start_without_a_database_ends_and_says_why() {
    let mut cluster = new_cluster(&[]);
    let url = cluster.url("postgres").replace("postgres@", "postgres:secretword@");
    let nowhere = refused(&url.replace("/postgres", "/nowhere"));
    nowhere.fails(1);
    assert!(nowhere.stderr.contains("nowhere"), "{nowhere:?}");
    cluster.kill9().unwrap();
    let down = refused(&url);
    down.fails(1);
    assert!(down.stderr.contains(&format!("127.0.0.1:{}", cluster.port())), "{down:?}");
    for ran in [nowhere, down] {
        assert!(!ran.stderr.contains("secretword"), "{ran:?}");
    }
}

#[test]
fn a_bad_url_is_bad_configuration() {
    for url in ["postgres://h/db?sslmode=sometimes", "postgres://h/db?nonsense=1", "mysql://h/db"] {
        refused(url).fails(78);
    }
}

#[test]
fn a_server_that_forgets_commits_is_bad_configuration() {
    let cluster = new_cluster(&[("fsync", "off")]);
    let ran = refused(&cluster.url("postgres"));
    ran.fails(78);
    assert!(ran.stderr.contains("fsync"), "{ran:?}");
}

/// Commands reach the same ledger: what they print is for scripts.
#[test]
fn commands_work_on_the_ledger_of_the_server() {
    let cluster = shared_cluster();
    let server = serve_on(&cluster.url(&cluster.database().unwrap()));
    let run = |arguments: &[&str], stdin: &str| {
        let mut command = server.command();
        command.args(arguments);
        run_command(command, stdin)
    };
    run(&["user", "add", "anna", "--password-stdin"], "correct horse battery\n").ok();
    run(&["user", "add", "ANNA", "--password-stdin"], "correct horse battery\n").fails(1);
    let status = run(&["migrate", "--status"], "").ok();
    assert!(status.lines().count() >= 1 && !status.contains("pending"), "{status}");
    run(&["migrate"], "").ok();
    let token = run(&["token", "--user", "anna"], "").ok();
    let me = super::Request::get("/api/v1/users/me").bearer(token.trim());
    let (reply, _) = ask(server.address(), &me);
    assert_eq!(reply.json()["username"], "anna", "{reply:?}");
}

/// A standby whose replay is halted until `resume`.
fn lagging_replica(primary: &Cluster) -> Cluster {
    let standby = primary.standby(Replication::Asynchronous).unwrap();
    standby.query("postgres", "select pg_wal_replay_pause()").unwrap();
    let state = "select pg_is_wal_replay_paused()";
    wait_until(LATE, || match standby.query("postgres", state).unwrap()[0][0].as_str() {
        "t" => Ok(()),
        other => Err(other.to_owned()),
    });
    standby
}

/// Which store `verify` says that it has read, and whether it is a replica.
fn read_by_verify(server: &Server) -> (String, bool) {
    let output = server.command().args(["verify", "--json"]).output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (store, is_replica) = (report["store"].as_str().unwrap(), report["replica"].as_bool().unwrap());
    let told = String::from_utf8(output.stderr).unwrap();
    let replica = if is_replica { "the replica, " } else { "" };
    assert!(told.contains(&format!("reading {replica}{store}\n")), "{told}");
    (store.to_owned(), is_replica)
}

#[test]
fn a_replica_that_lags_serves_histories_and_nothing_that_must_be_fresh() {
    let primary = new_cluster(&[]);
    let database = primary.database().unwrap();
    let url = primary.url(&database);
    let server = serve_on(&url);
    let books = Books::open(&server, 2);
    let mut standby = lagging_replica(&primary);
    let key = server.data().join("signing.key");
    let replica = standby.url(&database);
    let settings = [("store.replica_url", &*replica), ("auth.key_file", key.to_str().unwrap())];
    let second = serve_on_set(&url, &settings);
    let past = server.verify(None);
    let id = expect_created(&ask(second.address(), &books.request(&payment("fresh"))).0);
    let account = format!("/api/v1/accounts/{}", books.accounts[0]);
    let get = |target: &str| {
        let (reply, _) = ask(second.address(), &books.get(target));
        assert_eq!(reply.status, 200, "{target}: {reply:?}");
        reply.json()
    };
    assert_eq!(get(&account)["balance"], FUNDS - 1);
    assert_eq!(get(&format!("/api/v1/transfers/{id}"))["id"], id.as_str());
    let entries = || get(&format!("{account}/entries"))["data"].as_array().unwrap().len();
    assert_eq!(entries(), 1, "the replica has not heard of the last one");
    assert_eq!(second.verify(None), past, "verify reads at the replica");
    let place = |cluster: &Cluster| format!("Postgres at 127.0.0.1:{}/{database}", cluster.port());
    assert_eq!(read_by_verify(&second), (place(&standby), true));
    assert_eq!(read_by_verify(&server), (place(&primary), false));

    standby.query("postgres", "select pg_wal_replay_resume()").unwrap();
    wait_until(RECOVERED_WITHIN + LATE, || match entries() {
        2 => Ok(()),
        other => Err(format!("{other} entries")),
    });
    standby.kill9().unwrap();
    assert_eq!(entries(), 2, "the primary stands in for its replica");
    assert_eq!(get(&account)["balance"], FUNDS - 1);
}
