//! The disk of Postgres: full, as Postgres tells of it and in fact, and slow.

use std::thread;
use std::time::Duration;

use throwaway_postgres::{Cluster, ClusterOptions};

use super::super::tampering::Tampering;
use super::space::Space;
use super::{CALLERS, Patient, READ_WITHIN, SYNC_US, SYNCS};
use crate::postgres::{ask, ask_all, payment};
use crate::support::postgres::{new_cluster, serve_on, shared_cluster};

/// Has the database answer every event as it does when a file cannot be made longer (53100, `disk_full`).
const FULL: &str = "create function full_disk() returns trigger language plpgsql as
        $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$;
    create trigger full_disk before insert on events execute function full_disk()";
const SPACE: &str = "drop trigger full_disk on events; drop function full_disk";

#[test]
fn a_full_disk_of_postgres_refuses_writes_and_serves_reads_until_there_is_space() {
    let cluster = shared_cluster();
    let database = cluster.database().unwrap();
    let mut patient = Patient::new(serve_on(&cluster.url(&database)));
    for round in ["once", "again"] {
        let past = patient.server.verify(None);
        cluster.query(&database, FULL).unwrap();
        let refused = patient.assert_takes_no_writes(round);
        cluster.query(&database, SPACE).unwrap();
        patient.assert_recovers(round, &refused);
        patient.server.verify(Some(&past));
    }
}

/// Room for a new cluster with a database and a few segments of its log, of 16 MiB each.
const DISK_MIB: u32 = 192;

/// A disk without a byte left. The tables cannot grow; the log of Postgres can, in the segment that it has begun.
#[test]
fn a_disk_without_space_under_postgres_refuses_writes_and_serves_reads_until_there_is_space() {
    // Where the user that runs Postgres can get to.
    let directory = tempfile::tempdir().unwrap();
    // A thread of its own, since it does not come back from the namespace of the disk.
    let on_small_disk = || {
        let space = Space::around_this_thread(directory.path(), DISK_MIB);
        fill_twice(&space, &ClusterOptions::new().parent(directory.path()));
    };
    thread::scope(|scope| scope.spawn(on_small_disk).join().unwrap());
}

fn fill_twice(space: &Space, options: &ClusterOptions) {
    // With a password it is made in its place, not copied from one that would fill half of the disk.
    let cluster =
        Cluster::start(&options.clone().password("secret")).unwrap_or_else(|error| panic!("{error}"));
    let database = cluster.database().unwrap();
    let mut patient = Patient::new(serve_on(&cluster.url(&database)));
    for round in ["once", "again"] {
        let past = patient.server.verify(None);
        // A segment of the log that is nearly empty, and there: without one, Postgres ends itself.
        cluster
            .query(&database, "select pg_switch_wal(); create table segment (); drop table segment")
            .unwrap();
        space.fill();
        patient.pay_until_refused(round);
        assert!(cluster.log().contains("No space left on device"), "{}", cluster.log());
        // Longer keys, so that none fits where the last one did not.
        let refused = patient.assert_takes_no_writes(&format!("{round}-when-it-was-full"));
        space.free();
        patient.assert_recovers(round, &refused);
        patient.server.verify(Some(&past));
    }
}

#[test]
fn a_slow_disk_of_postgres_delays_writes_and_no_read() {
    let cluster = new_cluster(&[]);
    let mut patient = Patient::new(serve_on(&cluster.url(&cluster.database().unwrap())));
    let orders: Vec<_> = (0..CALLERS).map(|caller| payment(&format!("slow-{caller}"))).collect();
    let requests: Vec<_> = orders.iter().map(|order| patient.books.request(order)).collect();
    let delay = format!("delay_enter={SYNC_US}");
    let trouble = Tampering::with(&cluster.processes(), SYNCS, &delay);
    let mut slowest = Duration::ZERO;
    for (reply, after) in ask_all(patient.server.address(), &requests) {
        assert!(reply.status == 201 || reply.status == 503, "{reply:?}");
        slowest = slowest.max(after);
    }
    assert!(
        slowest > Duration::from_micros(u64::from(SYNC_US)),
        "no commit waited for the disk: {slowest:?}"
    );
    let account = format!("/api/v1/accounts/{}", patient.books.accounts[0]);
    let (reply, after) = ask(patient.server.address(), &patient.books.get(&account));
    assert!(reply.status == 200 && after < READ_WITHIN, "{reply:?} after {after:?}");
    drop(trouble);
    patient.assert_recovers("fast", &orders);
    patient.server.verify(None);
}
