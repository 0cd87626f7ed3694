//! The disk of Postgres: full, as Postgres tells of it, and slow.

use std::time::Duration;

use super::super::tampering::Tampering;
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
