//! Puts a [`Plan`] on the wire: a thread for each core, each with its own epoll and its share of the connections.
//! Nothing is shared between the threads while they run. Knows nothing of subjects, scenarios or reports.
//!
//! In a closed loop a connection's next request is written in the same turn that read its reply, before the next
//! connection's reply is read, and its time begins there. So every connection always has its requests under way,
//! and the mean time is connections / rate (Little's law). wrk reads the replies of a turn first and writes in the
//! next turn; the wait in between is in none of its times, and its median is lower at an equal rate.

mod connection;
mod feed;
mod keys;
mod mark;
mod outbox;
mod reply;
mod schedule;
mod tally;
mod thread;
mod verdict;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::thread::scope;
use std::time::{Duration, Instant};

use crate::plan::{Pace, Plan};
use crate::requests::UNIQUE_BYTES;
use crate::seen::Seen;
use tally::Tally;
use worker::Worker;

/// Requests a second that an open loop may be asked for; some ten times what one core can send. Bounds the work
/// of a thread that falls behind its schedule.
pub const RATE_BOUND_PER_S: f64 = 10_000_000.0;

/// Requests under way on one connection. Bounds what a server that reads late makes the client hold.
pub const DEPTH_BOUND: usize = 1_024;

/// Why a client cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server did not accept a connection.
    #[error("no connection to {address}: {source}")]
    Connect {
        /// Who was called.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// No epoll instance, or a socket was refused by it.
    #[error("no polling of sockets: {0}")]
    Poll(#[source] io::Error),
    /// The plan cannot be carried out.
    #[error("the plan is not possible: {0}")]
    Plan(&'static str),
}

/// A load with its connections open.
#[derive(Debug)]
pub struct Client {
    plan: Plan,
    workers: Vec<Worker>,
}

impl Client {
    /// Opens all connections.
    ///
    /// # Errors
    /// A plan that makes no sense, or a connection that does not open.
    pub fn connect(plan: Plan) -> Result<Self, ClientError> {
        check(&plan)?;
        let threads = plan.cores.len().max(1).min(plan.connections);
        let prefix = keys::prefix_of_now();
        let workers = (0..threads)
            .map(|index| Worker::connect(&plan, index, threads, prefix))
            .collect::<Result<_, _>>()?;
        Ok(Self { plan, workers })
    }

    /// Loads the server for `duration`, then waits for what is under way. May be called again, on the same
    /// connections.
    pub fn run(&mut self, duration: Duration) -> Seen {
        let Self { plan, workers } = self;
        let (cores, spins) = (&plan.cores, plan.spin);
        let has_schedule = matches!(plan.pace, Pace::Open { .. });
        let start = Instant::now();
        let parts: Vec<Tally> = scope(|scope| {
            let threads: Vec<_> = workers
                .iter_mut()
                .enumerate()
                .map(|(index, worker)| {
                    let core = cores.get(index).copied();
                    scope.spawn(move || {
                        let granted = thread::prepare(core, has_schedule, spins);
                        worker.run(start, duration, granted)
                    })
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Tally>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            threads.into_iter().map(join).collect()
        });
        tally::seen(&parts, plan, duration)
    }

    /// Sends one request on every connection, one after another, on the calling thread.
    pub fn once(&mut self) -> Seen {
        let start = Instant::now();
        let parts: Vec<Tally> = self.workers.iter_mut().map(|worker| worker.once(start)).collect();
        tally::seen(&parts, &self.plan, start.elapsed())
    }
}

fn check(plan: &Plan) -> Result<(), ClientError> {
    let refuse = |why| Err(ClientError::Plan(why));
    if plan.connections == 0 {
        return refuse("it has no connections");
    }
    if plan.requests.0.is_empty() {
        return refuse("it has no requests");
    }
    if plan.timeout.is_zero() {
        return refuse("its timeout is zero");
    }
    let fits = |template: &crate::plan::Template| {
        template
            .unique
            .as_ref()
            .is_none_or(|slot| slot.len() == UNIQUE_BYTES && slot.end <= template.bytes.len())
    };
    if !plan.requests.0.iter().all(fits) {
        return refuse("the slot of a unique key is not of the length of keys");
    }
    match plan.pace {
        Pace::Closed { depth } if depth == 0 || depth > DEPTH_BOUND => {
            refuse("the depth is not between 1 and 1,024")
        }
        Pace::Open { rate_per_s, .. } if !(rate_per_s > 0.0 && rate_per_s <= RATE_BOUND_PER_S) => {
            refuse("the rate is not above 0 and at most 10,000,000 requests a second")
        }
        Pace::Closed { .. } | Pace::Open { .. } => Ok(()),
    }
}
