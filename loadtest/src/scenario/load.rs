//! The scenarios that are a load: which requests at which pace, and what client and kernel saw of one run.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use super::{Cores, Scenario, ScenarioError, Span, Work, ledger};
use crate::client::{Client, ClientError};
use crate::plan::{Arrivals, Pace, Plan, Requests, Template};
use crate::requests;
use crate::seen::Seen;
use crate::subject::{Running, Serves, Site, Wire};

/// Light requests a second of `mixed`: what the cores can do many times over beside CPU work.
const LIGHT_RATE_PER_S: f64 = 4_000.0;
/// Connections that carry them.
const LIGHT_CONNECTIONS: usize = 64;
/// Connections that keep the heavy request busy.
const HEAVY_CONNECTIONS: usize = 4;
/// Longest wait for a reply: a request that takes longer is an error.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What a subject is to do.
#[derive(Debug, Clone)]
pub struct Load {
    /// What is measured.
    pub main: Plan,
    /// What goes on beside it.
    pub beside: Option<Plan>,
}

/// What was seen of a load.
#[derive(Debug, Clone)]
pub struct Observed<T> {
    /// What the client saw.
    pub main: Seen,
    /// What it saw of the work beside it.
    pub beside: Option<Seen>,
    /// What was watched meanwhile.
    pub watched: T,
}

/// Sets a subject up for a scenario (which is not measured), checks that it answers as it must, and says what the
/// load is. `rate_per_s` is for scenarios that have one, and for no other; without it, their ceiling is sought.
pub fn prepare(
    scenario: &Scenario,
    running: &Running,
    site: &Site<'_>,
    cores: &Cores,
    rate_per_s: Option<f64>,
) -> Result<Load, ScenarioError> {
    let closed = |requests, connections, depth| Plan {
        address: running.address,
        connections,
        pace: Pace::Closed { depth },
        requests: Requests(requests),
        expected_status: 200,
        failure_mark: None,
        timeout: TIMEOUT,
        cores: cores.client.clone(),
        // As wrk and real callers, which sleep until their reply comes; a schedule alone is worth a core.
        spin: false,
    };
    let mut beside = None;
    let main = match scenario.work {
        Work::Closed { path, connections, depth } => {
            closed(vec![checked(running, path)?], connections, depth)
        }
        Work::HalfOfCeiling { path, connections } => {
            let plan = closed(vec![checked(running, path)?], connections, 1);
            Plan { spin: rate_per_s.is_some(), ..at_rate(plan, rate_per_s) }
        }
        Work::Mixed => {
            beside = Some(closed(vec![checked(running, "/cpu?ms=20")?], HEAVY_CONNECTIONS, 1));
            open(closed(vec![checked(running, "/plaintext")?], LIGHT_CONNECTIONS, 1), LIGHT_RATE_PER_S)
        }
        Work::Read => closed(ledger::reads(running, site)?, ledger::READ_CONNECTIONS, 1),
        Work::Transfer { hot, connections, tempo: _ } => {
            let plan = closed(ledger::transfers(running, site, hot)?, connections, 1);
            Plan { expected_status: 201, ..at_rate(plan, rate_per_s) }
        }
        Work::Batch { connections, transfers } => {
            let requests = ledger::batches(running, site, transfers)?;
            Plan { failure_mark: Some(ledger::PROBLEM), ..closed(requests, connections, 1) }
        }
        Work::Idle | Work::Start => unreachable!("{} is no load", scenario.name),
    };
    Ok(Load { main, beside })
}

/// At that rate if there is one.
fn at_rate(plan: Plan, rate_per_s: Option<f64>) -> Plan {
    match rate_per_s {
        Some(rate_per_s) => open(plan, rate_per_s),
        None => plan,
    }
}

fn open(plan: Plan, rate_per_s: f64) -> Plan {
    Plan { pace: Pace::Open { rate_per_s, arrivals: Arrivals::Poisson }, ..plan }
}

/// The request for a path, once the subject answered it with 200 (and with what the path stands for, unless it has
/// one reply for all).
fn checked(running: &Running, path: &str) -> Result<Template, ScenarioError> {
    let name = running.subject.name;
    let template = requests::get(path, "localhost", &[]);
    let reply = Wire::connect(running.address)
        .and_then(|mut wire| wire.ask(&template.bytes))
        .map_err(|source| ScenarioError::Io { name, source })?;
    let wanted: &[u8] = match path {
        "/plaintext" => b"Hello, World!",
        "/json" if running.subject.serves >= Serves::Bench => br#"{"message":"Hello, World!"}"#,
        _ => &reply.body,
    };
    if reply.status != 200 || reply.body != wanted {
        return Err(ledger::wrong_reply(running, format!("GET {path}"), &reply));
    }
    Ok(template)
}

/// Puts the load on a subject: a warm-up, then the part that counts. `watch` begins with that part, and what it
/// returns ends the watch.
pub fn observe<T: Send, E: FnOnce() -> T>(
    load: &Load,
    running: &Running,
    span: Span,
    watch: impl FnOnce() -> E + Send,
) -> Result<Observed<T>, ScenarioError> {
    // Both loads begin to count together.
    let together = Barrier::new(1 + usize::from(load.beside.is_some()));
    let (main, beside) = thread::scope(|scope| {
        let beside = load.beside.as_ref().map(|plan| scope.spawn(|| run(plan, span, &together, || || ())));
        (run(&load.main, span, &together, watch), beside.map(joined))
    });
    let failed = |source| ScenarioError::Client { name: running.subject.name, source };
    let (main, watched) = main.map_err(failed)?;
    let beside = beside.transpose().map_err(failed)?.map(|(seen, ())| seen);
    if main.ok == 0 || beside.as_ref().is_some_and(|seen| seen.ok == 0) {
        return Err(ScenarioError::NothingOk { name: running.subject.name, log: running.log_head() });
    }
    Ok(Observed { main, beside, watched })
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn run<T, E: FnOnce() -> T>(
    plan: &Plan,
    span: Span,
    together: &Barrier,
    watch: impl FnOnce() -> E,
) -> Result<(Seen, T), ClientError> {
    let mut connected = Client::connect(plan.clone());
    if let Ok(client) = &mut connected {
        client.run(span.warm_up);
    }
    // Before the error is told, or the other load would wait for ever.
    together.wait();
    let mut client = connected?;
    let end = watch();
    let seen = client.run(span.measured);
    Ok((seen, end()))
}
