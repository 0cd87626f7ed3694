//! The proxy between a real client and a real server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use postgres::{Client, NoTls};
use throwaway_postgres::{Cluster, ClusterOptions, CommitLoss, Proxy};

/// Far more than anything here needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy before a database of its own with a table `t`.
struct Line {
    proxy: Proxy,
    database: String,
}

impl Line {
    fn new() -> Self {
        let database = cluster().database().unwrap();
        cluster().query(&database, "create table t (n int)").unwrap();
        Self { proxy: Proxy::before(cluster()).unwrap(), database }
    }

    fn connect(&self) -> Client {
        Client::connect(&cluster().url_by(self.proxy.port(), &self.database), NoTls).unwrap()
    }

    /// How many rows there are, asked past the proxy.
    fn rows(&self) -> String {
        cluster().query(&self.database, "select count(*) from t").unwrap().remove(0).remove(0)
    }
}

fn cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(&ClusterOptions::new()).unwrap())
}

/// Inserts a row in a transaction and says how its commit ended.
fn insert(client: &mut Client) -> Result<(), postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.execute("insert into t values ($1)", &[&1])?;
    transaction.commit()
}

#[test]
fn a_commit_whose_answer_is_lost_is_committed() {
    let line = Line::new();
    let mut client = line.connect();
    insert(&mut client).unwrap();
    let lost = line.proxy.lose_next_commit(CommitLoss::Answer);
    insert(&mut client).unwrap_err();
    assert!(lost.wait(PATIENCE));
    let deadline = Instant::now() + PATIENCE;
    while line.rows() != "2" {
        assert!(Instant::now() < deadline, "the commit never came");
    }
    // One only.
    insert(&mut line.connect()).unwrap();
}

#[test]
fn a_commit_that_is_lost_is_rolled_back() {
    let line = Line::new();
    let mut client = line.connect();
    let lost = line.proxy.lose_next_commit(CommitLoss::Request);
    insert(&mut client).unwrap_err();
    assert!(lost.wait(PATIENCE));
    // Whoever comes next gets the lock when the old server process has given it up.
    let mut next = line.connect();
    next.batch_execute("begin; lock table t; commit").unwrap();
    assert_eq!(line.rows(), "0");
}

#[test]
fn a_prepared_commit_is_lost_as_well() {
    let line = Line::new();
    let mut client = line.connect();
    let commit = client.prepare("commit").unwrap();
    client.batch_execute("begin; insert into t values (1)").unwrap();
    let lost = line.proxy.lose_next_commit(CommitLoss::Answer);
    client.execute(&commit, &[]).unwrap_err();
    assert!(lost.wait(PATIENCE));
}

#[test]
fn an_answer_ends_in_its_middle() {
    let line = Line::new();
    let mut client = line.connect();
    let cut = line.proxy.cut_next_answer_after(5);
    let error = client.simple_query("select 1").unwrap_err();
    assert!(error.is_closed() || error.as_db_error().is_none(), "{error}");
    assert!(cut.wait(PATIENCE));
}

#[test]
fn a_stalled_line_answers_when_it_flows_again() {
    let line = Line::new();
    let mut client = line.connect();
    line.proxy.stall();
    thread::scope(|scope| {
        let old = scope.spawn(move || client.simple_query("select 1").unwrap().len());
        let new = scope.spawn(|| line.connect().simple_query("select 1").unwrap().len());
        thread::sleep(Duration::from_millis(100));
        assert!(!old.is_finished() && !new.is_finished());
        line.proxy.pass();
        old.join().unwrap();
        new.join().unwrap();
    });
}

#[test]
fn a_delayed_line_is_late() {
    let line = Line::new();
    let mut client = line.connect();
    let delay = Duration::from_millis(50);
    line.proxy.delay(delay);
    let begin = Instant::now();
    client.simple_query("select 1").unwrap();
    assert!(begin.elapsed() >= delay);
}

#[test]
fn a_cut_resets_the_connections_of_the_moment() {
    let line = Line::new();
    let mut clients = [line.connect(), line.connect()];
    line.proxy.cut();
    for client in &mut clients {
        client.simple_query("select 1").unwrap_err();
    }
    line.connect().simple_query("select 1").unwrap();
}
