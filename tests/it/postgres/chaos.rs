//! Everything at once, in an order that chance decides, on two replicas.

use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use throwaway_postgres::{CommitLoss, Proxy};

use super::load::under_load;
use super::replicas::replicas_at;
use super::{LATE, RECOVERED_WITHIN, wait_for_ready};
use crate::support::books::Books;
use crate::support::postgres::shared_cluster;

const CALLERS: usize = 24;
/// How long the faults go on.
const FAULTS_FOR: Duration = Duration::from_secs(10);
/// Longer than a batch may take, so that some are given up.
const STALL: Duration = Duration::from_millis(3_500);

#[test]
fn faults_in_any_order_lose_nothing_and_repeat_nothing() {
    let cluster = shared_cluster();
    let database = cluster.database().unwrap();
    let proxies = [0, 1].map(|_| Proxy::before(cluster).unwrap());
    let replicas = replicas_at(proxies.each_ref().map(|proxy| cluster.url_by(proxy.port(), &database)));
    let books = Books::open(&replicas[0], CALLERS);
    let end_sessions =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}'");
    under_load(&replicas.each_ref(), &books, |load| {
        load.wait_for_more(100);
        let (dice, begin) = (RandomState::new(), Instant::now());
        let mut faults = Vec::new();
        for number in 0_u64.. {
            if begin.elapsed() > FAULTS_FOR {
                break;
            }
            let fault = dice.hash_one(number) % 16;
            let proxy = &proxies[usize::from(number % 2 == 0)];
            match fault {
                0..4 => drop(proxy.lose_next_commit(CommitLoss::Request)),
                4..8 => drop(proxy.lose_next_commit(CommitLoss::Answer)),
                8..11 => proxy.cut(),
                11..13 => {
                    proxy.delay(Duration::from_millis(30));
                    thread::sleep(Duration::from_millis(200));
                    proxy.pass();
                }
                13 => {
                    proxy.stall();
                    thread::sleep(STALL);
                    proxy.pass();
                }
                _ => drop(cluster.query("postgres", &end_sessions).unwrap()),
            }
            faults.push(fault);
            thread::sleep(Duration::from_millis(50));
        }
        eprintln!("faults: {faults:?}");
        for server in &replicas {
            wait_for_ready(server, 200, RECOVERED_WITHIN + LATE);
        }
        load.wait_for_more(100);
    });
}
