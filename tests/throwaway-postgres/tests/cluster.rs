//! Clusters on this machine's Postgres: what they promise to those who break them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use throwaway_postgres::{Cluster, ClusterOptions, Replication, StopMode};

/// How long the end of what was killed may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn start() -> Cluster {
    Cluster::start(&ClusterOptions::new()).unwrap()
}

fn directory(cluster: &Cluster) -> PathBuf {
    let setting = cluster.query("postgres", "show data_directory").unwrap().remove(0).remove(0);
    Path::new(&setting).parent().unwrap().to_owned()
}

/// Processes that work in a directory or below, with what they say they are.
fn processes(directory: &Path) -> BTreeMap<Pid, String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let inside = ids.filter(|id| {
        fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|place| place.starts_with(directory))
    });
    let named =
        |id| (Pid::from_raw(id), fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap_or_default());
    inside.map(named).collect()
}

fn assert_gone(directory: &Path) {
    assert_eq!(processes(directory), BTreeMap::new());
    assert!(!directory.exists(), "{} is still there", directory.display());
}

#[test]
fn a_cluster_is_gone_with_its_value() {
    let cluster = start();
    let directory = directory(&cluster);
    assert!(!processes(&directory).is_empty());
    drop(cluster);
    assert_gone(&directory);
}

#[test]
fn a_cluster_is_gone_with_a_panic_and_while_it_is_frozen() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let test = thread::spawn(move || {
        let cluster = start();
        sender.send(directory(&cluster)).unwrap();
        cluster.pause();
        std::panic::resume_unwind(Box::new("a test that fails"));
    });
    let directory = receiver.recv().unwrap();
    test.join().unwrap_err();
    assert_gone(&directory);
}

#[test]
fn shared_memory_of_a_killed_server_is_given_back() {
    let mut cluster = start();
    let pid_file = fs::read_to_string(directory(&cluster).join("data/postmaster.pid")).unwrap();
    let id: u64 = pid_file.lines().nth(6).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    let segments = || fs::read_to_string("/proc/sysvipc/shm").unwrap();
    let is_listed = || segments().lines().any(|line| line.split_whitespace().nth(1) == Some(&id.to_string()));
    cluster.kill9().unwrap();
    assert!(is_listed(), "{}", segments());
    drop(cluster);
    assert!(!is_listed(), "{}", segments());
}

/// The program of this crate on a cluster of its own, and the cluster's directory.
fn program() -> (Child, PathBuf) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_throwaway-postgres"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let url = BufReader::new(process.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let mut client = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let data: String = client.query_one("show data_directory", &[]).unwrap().get(0);
    (process, Path::new(&data).parent().unwrap().to_owned())
}

#[test]
fn a_cluster_is_gone_after_its_process_was_killed_and_it_was_frozen() {
    let (mut process, directory) = program();
    for id in processes(&directory).into_keys() {
        kill(id, Signal::SIGSTOP).unwrap();
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let deadline = Instant::now() + PATIENCE;
    while directory.exists() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    assert_gone(&directory);
}

#[test]
fn the_program_ends_with_its_input() {
    let (mut process, directory) = program();
    drop(process.stdin.take());
    assert!(process.wait().unwrap().success());
    assert_gone(&directory);
}

#[test]
fn what_was_committed_outlives_kill_9_and_what_was_not_does_not() {
    let mut cluster = start();
    let database = cluster.database().unwrap();
    cluster.query(&database, "create table t (n int); insert into t values (1)").unwrap();
    let mut open = cluster.connect(&database).unwrap();
    open.batch_execute("begin; insert into t values (2)").unwrap();
    let (port, place) = (cluster.port(), directory(&cluster));
    cluster.kill9().unwrap();
    assert_eq!(processes(&place), BTreeMap::new());
    open.simple_query("commit").unwrap_err();
    cluster.start_again().unwrap();
    assert_eq!(cluster.port(), port);
    assert_eq!(cluster.query(&database, "select n from t").unwrap(), [["1"]]);
    assert!(cluster.log().contains("database system was not properly shut down"), "{}", cluster.log());
}

#[test]
fn a_cluster_is_as_it_was_asked_to_be() {
    let options = ClusterOptions::new().setting("max_connections", "17").password("secret");
    let cluster = Cluster::start(&options).unwrap();
    let ask = |sql: &str| cluster.query("postgres", sql).unwrap();
    assert_eq!(ask("show max_connections"), [["17"]]);
    assert_eq!(ask("show fsync"), [["on"]]);
    assert_eq!(ask("show server_encoding; show lc_collate; select null"), [["UTF8"], ["C"], [""]]);
    for url in [cluster.url("postgres"), cluster.unix_url("postgres")] {
        let connect = |url: &str| postgres::Client::connect(url, postgres::NoTls);
        connect(&url).unwrap();
        connect(&url.replace("secret", "guess")).err().unwrap();
    }
    assert_ne!(cluster.database().unwrap(), cluster.database().unwrap());
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let options = ClusterOptions::new().setting("shared_buffers", "plenty");
    let error = Cluster::start(&options).unwrap_err().to_string();
    assert!(error.contains(r#"invalid value for parameter "shared_buffers""#), "{error}");
}

#[test]
fn a_frozen_server_answers_when_it_goes_on() {
    let cluster = start();
    let mut client = cluster.connect("postgres").unwrap();
    cluster.pause();
    thread::scope(|scope| {
        let answer = scope.spawn(move || client.simple_query("select 1").unwrap().len());
        thread::sleep(Duration::from_millis(100));
        assert!(!answer.is_finished());
        cluster.resume();
        answer.join().unwrap();
    });
}

#[test]
fn a_server_stops_as_it_is_told_and_starts_again() {
    let mut cluster = start();
    for mode in [StopMode::Smart, StopMode::Fast, StopMode::Immediate] {
        cluster.stop(mode).unwrap();
        cluster.query("postgres", "select 1").unwrap_err();
        cluster.start_again().unwrap();
    }
    cluster.restart().unwrap();
    cluster.query("postgres", "select 1").unwrap();
}

#[test]
fn a_synchronous_standby_has_every_commit_of_a_primary_that_was_killed() {
    let mut primary = start();
    primary.query("postgres", "create table t (n int)").unwrap();
    let standby = primary.standby(Replication::Synchronous).unwrap();
    let state = "select sync_state from pg_stat_replication";
    assert_eq!(primary.query("postgres", state).unwrap(), [["sync"]]);
    primary.query("postgres", "insert into t values (1)").unwrap();
    standby.query("postgres", "insert into t values (2)").unwrap_err();
    primary.kill9().unwrap();
    standby.promote().unwrap();
    standby.query("postgres", "insert into t values (3)").unwrap();
    assert_eq!(standby.query("postgres", "select n from t order by n").unwrap(), [["1"], ["3"]]);
}
