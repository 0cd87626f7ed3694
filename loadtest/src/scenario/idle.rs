//! What connections that do nothing cost a server, and what the first request after the rest does.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::ScenarioError;
use crate::probe;
use crate::stats::quantile;
use crate::subject::{Running, Wire, request};

/// Connections that rest, if the limit of open files allows.
const CONNECTIONS: usize = 9_000;

/// How long they rest: more than a server waits before it parks a connection and its allocator gives memory back.
const REST: Duration = Duration::from_secs(5);

/// Requests before memory is taken as that of a server without connections.
const WARM_UP: usize = 2_000;

/// Open files of this process besides the connections.
const OTHER_FILES: usize = 100;

/// How many connections rest here: fewer than 9,000 where the limit of open files (`RLIMIT_NOFILE`) is low.
fn connections() -> usize {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    CONNECTIONS.min(usize::try_from(files).unwrap_or(usize::MAX).saturating_sub(OTHER_FILES))
}

/// A note when fewer connections than planned can be opened.
pub fn note() -> Option<String> {
    let count = connections();
    (count < CONNECTIONS).then(|| {
        format!("{count} idle connections instead of {CONNECTIONS}: the hard limit of open files is too low (ulimit -Hn)")
    })
}

/// A value for each metric.
pub fn measure(running: &Running) -> Result<BTreeMap<String, f64>, ScenarioError> {
    try_measure(running).map_err(|source| ScenarioError::Io { name: running.subject.name, source })
}

fn try_measure(running: &Running) -> io::Result<BTreeMap<String, f64>> {
    let get = request("GET", "/plaintext", None, "");
    let mut busy = Wire::connect(running.address)?;
    (0..WARM_UP).try_for_each(|_| ask(&mut busy, &get).map(drop))?;
    let before_mib = probe::rss_mib(running.pid)?;
    let mut resting = rest(running.address, &get)?;
    let after_mib = probe::rss_mib(running.pid)?;
    fastrand::Rng::new().shuffle(&mut resting);
    let woken_us = each_asked(&mut resting, |wire| ask(wire, &get))?;
    let awake_us = each_asked(&mut resting, |wire| {
        // A server may have put it to rest again.
        ask(wire, &get)?;
        ask(wire, &get)
    })?;
    let each = (after_mib - before_mib) * 1024.0 * 1024.0 / count(resting.len());
    Ok(BTreeMap::from([
        ("server.idle_bytes_per_connection".to_owned(), each),
        ("server.rss_mib".to_owned(), after_mib),
        ("wake_us.p50".to_owned(), quantile(&woken_us, 0.5)),
        ("wake_us.p90".to_owned(), quantile(&woken_us, 0.9)),
        ("awake_us.p50".to_owned(), quantile(&awake_us, 0.5)),
        ("awake_us.p90".to_owned(), quantile(&awake_us, 0.9)),
    ]))
}

/// Opens the connections with a request on each, and lets them rest.
fn rest(address: SocketAddr, get: &[u8]) -> io::Result<Vec<Wire>> {
    let mut resting = Vec::with_capacity(connections());
    for _ in 0..connections() {
        let mut wire = Wire::connect(address)?;
        ask(&mut wire, get)?;
        resting.push(wire);
    }
    thread::sleep(REST);
    Ok(resting)
}

/// What `asked` took with each, one after the other, in microseconds, sorted.
fn each_asked(wires: &mut [Wire], asked: impl Fn(&mut Wire) -> io::Result<Duration>) -> io::Result<Vec<f64>> {
    let times: io::Result<Vec<_>> = wires.iter_mut().map(asked).collect();
    let mut micros: Vec<_> = times?.iter().map(|time| time.as_secs_f64() * 1e6).collect();
    micros.sort_unstable_by(f64::total_cmp);
    Ok(micros)
}

fn ask(wire: &mut Wire, get: &[u8]) -> io::Result<Duration> {
    let begun = Instant::now();
    let reply = wire.ask(get)?;
    let took = begun.elapsed();
    match reply.status {
        200 => Ok(took),
        status => Err(io::Error::other(format!("GET /plaintext was answered with {status}"))),
    }
}

#[expect(clippy::cast_precision_loss, reason = "thousands")]
const fn count(connections: usize) -> f64 {
    connections as f64
}
