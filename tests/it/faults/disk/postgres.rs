//! The disk of Postgres: full, as Postgres tells of it and in fact, and slow.

use std::thread;
use std::time::Duration;

use throwaway_postgres::{Cluster, ClusterOptions};

use super::super::tampering::Tampering;
use super::space::Space;
use super::{CALLERS, Patient, READ_WITHIN, SYNC_US, SYNCS};
use crate::postgres::{ask, ask_all, assert_unavailable, payment};
use crate::support::postgres::{new_cluster, serve_on, shared_cluster};
use crate::support::raw::Request;
use crate::support::wait_until;

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
/// How long Postgres may take to give up.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(20);

/// Has a cluster on a small disk. On a thread of its own, since that does not come back from the disk's namespace.
fn on_small_disk(act: impl FnOnce(&Space, Cluster) + Send) {
    // Where the user that runs Postgres can get to.
    let directory = tempfile::tempdir().unwrap();
    let with_space = || {
        let space = Space::around_this_thread(directory.path(), DISK_MIB);
        // With a password it is made in its place, not copied from one that would fill half of the disk.
        let options = ClusterOptions::new().parent(directory.path()).password("secret");
        act(&space, Cluster::start(&options).unwrap_or_else(|error| panic!("{error}")));
    };
    thread::scope(|scope| scope.spawn(with_space).join().unwrap());
}

/// A disk without a byte left. The tables cannot grow; the log of Postgres can, in the segment that it has begun.
#[test]
fn a_disk_without_space_under_postgres_refuses_writes_and_serves_reads_until_there_is_space() {
    on_small_disk(|space, cluster| {
        let database = cluster.database().unwrap();
        let mut patient = Patient::new(serve_on(&cluster.url(&database)));
        for round in ["once", "again"] {
            let past = patient.server.verify(None);
            let begin_segment = "select pg_switch_wal(); create table segment (); drop table segment";
            cluster.query(&database, begin_segment).unwrap();
            space.fill();
            patient.pay_until_refused(round);
            assert!(cluster.log().contains("No space left on device"), "{}", cluster.log());
            // Longer keys, so that none fits where the last one did not.
            let refused = patient.assert_takes_no_writes(&format!("{round}-when-it-was-full"));
            space.free();
            patient.assert_recovers(round, &refused);
            patient.server.verify(Some(&past));
        }
    });
}

/// Where the log cannot begin a segment, Postgres ends itself (its manual, "Disk Full Failure"), and so do reads.
#[test]
fn a_log_of_postgres_without_space_is_as_a_crash_of_it() {
    on_small_disk(|space, mut cluster| {
        let database = cluster.database().unwrap();
        let mut patient = Patient::new(serve_on(&cluster.url(&database)));
        let past = patient.server.verify(None);
        space.fill();
        cluster.query(&database, "select pg_switch_wal()").unwrap();
        let order = payment("no-segment");
        assert_unavailable(&ask(patient.server.address(), &patient.books.request(&order)).0);
        wait_until(GIVES_UP_WITHIN, || match cluster.processes().len() {
            0 => Ok(()),
            processes => Err(format!("{processes} processes of Postgres")),
        });
        let account = patient.books.get(&format!("/api/v1/accounts/{}", patient.books.accounts[0]));
        assert_unavailable(&ask(patient.server.address(), &account).0);
        assert_eq!(ask(patient.server.address(), &Request::get("/health")).0.status, 200);
        space.free();
        cluster.restart().unwrap_or_else(|error| panic!("{error}"));
        patient.assert_recovers("started", &[order]);
        patient.server.verify(Some(&past));
    });
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
