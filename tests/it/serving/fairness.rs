//! A client that pipelines without a pause takes its share of a worker and no more.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::{health, rested};
use crate::support::raw::Connection;
use crate::support::{Server, on_both_engines};

/// Clients that pipeline for as long as they can.
const HOGS: usize = 4;
/// Requests that a hog sends in one write: far more than a turn of the worker answers.
const BATCH: usize = 1_000;
/// Requests of the neighbour, one at a time.
const REQUESTS: usize = 200;
/// The longest median and 99th percentile of the neighbour's latency beside the hogs. Both are for an unoptimised
/// server that shares its core with its clients.
const MEDIAN: Duration = Duration::from_millis(20);
const P99: Duration = Duration::from_millis(250);

on_both_engines!(a_neighbour_of_pipelining_clients_is_served);

fn a_neighbour_of_pipelining_clients_is_served(engine: &str) {
    let server = Server::start_set(&["--io", engine, "--workers", "1"], &[("log.access", "off")]);
    let mut neighbour = rested(&server);
    let alone = latencies(&mut neighbour);
    let address = server.address();
    let hogs: Vec<_> = (0..HOGS).map(|_| Hog::start(address)).collect();
    let beside = latencies(&mut neighbour);
    drop(server);
    let answered: Vec<_> = hogs.into_iter().map(Hog::bytes_answered).collect();
    let (median, p99) = (beside[REQUESTS / 2], beside[REQUESTS * 99 / 100]);
    let seen = format!(
        "median {median:?}, p99 {p99:?}; alone {:?}, {:?}; bytes to the hogs {answered:?}",
        alone[REQUESTS / 2],
        alone[REQUESTS * 99 / 100]
    );
    assert!(answered.iter().all(|&bytes| bytes > 0), "{seen}");
    assert!(median < MEDIAN && p99 < P99, "{seen}");
}

/// How long each of the neighbour's requests took, the shortest first.
fn latencies(neighbour: &mut Connection) -> Vec<Duration> {
    let latency = |_| {
        let begin = Instant::now();
        assert_eq!(neighbour.call(health()).status, 200);
        begin.elapsed()
    };
    let mut latencies: Vec<_> = (0..REQUESTS).map(latency).collect();
    latencies.sort_unstable();
    latencies
}

/// A client that sends requests without a pause and reads every reply, until the server is gone.
struct Hog(thread::JoinHandle<usize>);

impl Hog {
    /// Returns once it is being answered.
    fn start(address: SocketAddr) -> Self {
        let mut connection = Connection::open(address);
        let mut sender = connection.sender();
        thread::spawn(move || {
            let requests = health().repeat(BATCH);
            while sender.try_send(&requests).is_ok() {}
        });
        assert!(connection.skip().unwrap() > 0, "a hog was not answered");
        Self(thread::spawn(move || {
            let mut total = 0;
            while let Ok(count @ 1..) = connection.skip() {
                total += count;
            }
            total
        }))
    }

    fn bytes_answered(self) -> usize {
        self.0.join().unwrap()
    }
}
