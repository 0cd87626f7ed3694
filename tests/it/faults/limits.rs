//! Limits: memory, CPU, queues and clocks. The server answers, refuses or ends loudly, and in each case the clients'
//! books agree with the ledger afterwards. Descriptors are in `serving::files`.

mod clock;
mod memory;

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use campaign::{Campaign, Options, Report, Store};

use super::crash::options;

/// Orders that clients must be told about beside each trouble.
const ORDERS: u64 = 500;

/// Lets clients work on a server with these settings while `trouble` has its way, and audits the ledger.
fn beside(store: Store, settings: &[(&str, &str)], trouble: impl FnOnce(&mut Campaign)) -> Report {
    let variable = |&(key, value): &(&str, &str)| (crate::support::variable(key), value.to_owned());
    let variables = settings.iter().map(variable).collect();
    let mut campaign = Campaign::begin(&Options { variables, ..options(store) }).unwrap();
    campaign.wait_for_more(ORDERS).unwrap();
    trouble(&mut campaign);
    campaign.wait_for_more(ORDERS).unwrap();
    let report = campaign.finish().unwrap();
    assert!(report.holds(), "{report}");
    report
}

/// Everything that has a bound has the least one.
const TINY: [(&str, &str); 8] = [
    ("limits.lane_queue", "1"),
    ("limits.lane_batch", "1"),
    ("limits.cpu_queue", "1"),
    ("limits.in_flight_per_core", "4"),
    ("limits.batches_per_core", "1"),
    ("server.backlog", "1"),
    ("store.connections_per_core", "1"),
    ("runtime.workers", "1"),
];

#[test]
fn the_least_queues_refuse_some_and_lose_none_on_sqlite() {
    let report = beside(Store::Sqlite, &TINY, |_| ());
    assert!(report.tally.unavailable > 0, "nothing was ever full: {report}");
}

#[test]
fn the_least_queues_refuse_some_and_lose_none_on_postgres() {
    let report = beside(Store::Postgres, &TINY, |_| ());
    assert!(report.tally.unavailable > 0, "nothing was ever full: {report}");
}

/// How long a server runs and is kept from it, in turn: a fifth of a core, as a quota gives it (`cpu.max`).
const RUNS: Duration = Duration::from_millis(10);
const STOPS: Duration = Duration::from_millis(40);
/// How long that goes on.
const THROTTLED_FOR: Duration = Duration::from_secs(3);
/// A stop that is longer than the server's own looks at its connections.
const LONG_STOP: Duration = Duration::from_secs(3);

#[test]
fn a_server_with_a_fifth_of_a_core_answers_all_on_sqlite() {
    beside(Store::Sqlite, &[], throttle);
}

#[test]
fn a_server_with_a_fifth_of_a_core_answers_all_on_postgres() {
    beside(Store::Postgres, &[], throttle);
}

fn throttle(campaign: &mut Campaign) {
    let begin = Instant::now();
    let before = campaign.acknowledged();
    while begin.elapsed() < THROTTLED_FOR {
        signal(campaign, "-STOP");
        sleep(STOPS);
        signal(campaign, "-CONT");
        sleep(RUNS);
    }
    assert!(campaign.acknowledged() > before, "nothing was answered in {THROTTLED_FOR:?}");
    signal(campaign, "-STOP");
    sleep(LONG_STOP);
    signal(campaign, "-CONT");
    campaign.wait_for_recovery(Instant::now()).unwrap();
}

fn signal(campaign: &Campaign, signal: &str) {
    let id = campaign.server_id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
}
