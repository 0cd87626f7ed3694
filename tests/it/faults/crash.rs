//! SIGKILL under load, of the server and of Postgres: the short form of `loadtest/campaign`, which anyone may let run
//! for longer.

use std::path::{Path, PathBuf};
use std::time::Duration;

use campaign::{Options, Plan, Report, Store, run};

/// From a kill of the server on SQLite to the first answer of the one after it: the median, since a busy machine may
/// hold up some.
const SERVER_BACK_WITHIN: Duration = Duration::from_secs(1);
/// The same on Postgres, after any kill, at the longest: the database recovers, which takes it 5 s and on a busy machine
/// more, and so does the lane's connection.
const BACK_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn kills_of_the_server_lose_nothing_and_repeat_nothing() {
    let report = campaign(Store::Sqlite, Plan { server_kills: 10, postgres_kills: 0, answered: 4_000 });
    let median = report.after_server.median().unwrap();
    assert!(median < SERVER_BACK_WITHIN, "{report}");
}

#[test]
fn kills_of_server_and_postgres_lose_nothing_and_repeat_nothing() {
    let report = campaign(Store::Postgres, Plan { server_kills: 5, postgres_kills: 3, answered: 4_000 });
    let longest = report.after_server.longest().max(report.after_postgres.longest()).unwrap();
    assert!(longest < BACK_WITHIN, "{report}");
}

fn campaign(store: Store, plan: Plan) -> Report {
    let options = options(store);
    eprintln!("seed {}", options.seed);
    let report = run(&options, plan, |_| ()).unwrap();
    eprintln!("{report}");
    assert_eq!(report.server_kills, plan.server_kills as u64);
    assert_eq!(report.postgres_kills, plan.postgres_kills as u64);
    assert!(report.acknowledged > 0 && report.refused > 0 && report.tally.replayed > 0, "{report}");
    assert!(report.tally.lost_answers > 0, "no kill has come between a request and its answer: {report}");
    assert!(report.holds(), "{report}");
    report
}

/// The usual campaign with the server under test, orders as chance picks them.
pub(super) fn options(store: Store) -> Options {
    Options {
        seed: u64::from(std::process::id()),
        parent: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
        ..Options::new(Path::new(env!("CARGO_BIN_EXE_ringledger")).to_owned(), store)
    }
}
