//! One thread of the client: its connections, its epoll, its part of the schedule. All moments are nanoseconds of
//! the monotonic clock since the run began.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event};
use rustix::io::Errno;

use super::connection::{Connection, Stage, UnderWay};
use super::feed::{Feed, Full, Open};
use super::outbox::Outbox;
use super::reply::{Malformed, Reply};
use super::schedule::Schedule;
use super::tally::Tally;
use super::{ClientError, thread};
use crate::plan::{Pace, Plan};
use crate::seen::Errors;

/// Bytes received at once; a deeply pipelined connection fills them.
const RECEIVE_BYTES: usize = 64 * 1024;
/// Events taken from the kernel at once; further ones wait for the next turn. Bounds the list only.
const EVENTS_BOUND: usize = 256;
/// Moments looked at before sockets are again, so that a schedule that cannot be met does not starve them.
const DUE_BATCH: usize = 1_024;
/// How long before a due moment a spinning thread stops to sleep: longer than timers of an idle host are late.
const SPIN_NS: u64 = 100_000;
/// How often requests that are too old are looked for, at most and at least, and as a part of their time.
const SWEEP_MS: std::ops::RangeInclusive<u64> = 1..=50;
const SWEEPS_A_TIMEOUT: u32 = 20;
/// How long a connection that could not be opened rests. Bounds what an absent server costs the client.
const REST_NS: u64 = 20_000_000;

/// One thread of the client.
#[derive(Debug)]
pub(super) struct Worker {
    plan: Plan,
    outbox: Outbox,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    received: Vec<u8>,
    share: Share,
    start: Instant,
    end_ns: u64,
    feed: Feed,
    tally: Tally,
}

/// Which part of the load is one thread's.
#[derive(Debug, Clone, Copy)]
struct Share {
    thread: u64,
    of_rate: f64,
    /// The index of the thread as a part of their count.
    before: f64,
}

impl Worker {
    /// Opens the share of the connections that is thread `index`'s.
    #[expect(clippy::cast_precision_loss, reason = "counts of threads and connections are small")]
    pub(super) fn connect(
        plan: &Plan,
        index: usize,
        threads: usize,
        prefix: u128,
    ) -> Result<Self, ClientError> {
        let count = plan.connections / threads + usize::from(index < plan.connections % threads);
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|error| ClientError::Poll(error.into()))?;
        let mut connections = Vec::with_capacity(count);
        for index in 0..count {
            let mut connection = Connection::open(plan)
                .map_err(|source| ClientError::Connect { address: plan.address, source })?;
            connection.watch(&epoll, index).map_err(ClientError::Poll)?;
            connections.push(connection);
        }
        Ok(Self {
            outbox: Outbox::new(&plan.requests, prefix, index, threads),
            epoll,
            connections,
            received: vec![0; RECEIVE_BYTES],
            share: Share {
                thread: index as u64,
                of_rate: count as f64 / plan.connections as f64,
                before: index as f64 / threads as f64,
            },
            start: Instant::now(),
            end_ns: 0,
            feed: Feed::Nowhere,
            tally: Tally::new(Duration::ZERO),
            plan: plan.clone(),
        })
    }

    /// Loads the server for `duration` from `start`, and waits for what is under way then.
    pub(super) fn run(&mut self, start: Instant, duration: Duration, priority_raised: bool) -> Tally {
        self.begin(start, duration);
        self.tally.priority_raised = priority_raised;
        let cpu_ns = thread::cpu_ns();
        self.feed = match self.plan.pace {
            Pace::Closed { depth } => Feed::Replies { depth, end_ns: self.end_ns },
            Pace::Open { rate_per_s, arrivals } => {
                let Share { thread, of_rate, before } = self.share;
                let schedule = Schedule::new(rate_per_s, arrivals, of_rate, before, thread);
                Feed::Schedule(Open::new(schedule, self.end_ns))
            }
        };
        for index in 0..self.connections.len() {
            let now_ns = self.now_ns();
            self.feed_connection(index, now_ns);
        }
        self.turn_until_the_end();
        self.tally.wall_ns = self.now_ns().min(self.end_ns);
        self.tally.cpu_ns = thread::cpu_ns() - cpu_ns;
        self.drain();
        std::mem::replace(&mut self.tally, Tally::new(Duration::ZERO))
    }

    /// Sends one request on each connection, one after another.
    pub(super) fn once(&mut self, start: Instant) -> Tally {
        self.begin(start, Duration::ZERO);
        for index in 0..self.connections.len() {
            let now_ns = self.now_ns();
            if self.connections[index].stage != Stage::Open {
                self.reopen(index, now_ns);
                self.turn_while(|worker| matches!(worker.connections[index].stage, Stage::Opening { .. }));
            }
            let now_ns = self.now_ns();
            if self.connections[index].stage == Stage::Open {
                self.send(index, 1, now_ns, now_ns);
                self.turn_while(|worker| !worker.connections[index].under_way.is_empty());
            }
        }
        std::mem::replace(&mut self.tally, Tally::new(Duration::ZERO))
    }

    fn begin(&mut self, start: Instant, duration: Duration) {
        self.start = start;
        self.end_ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.tally = Tally::new(duration);
        self.feed = Feed::Nowhere;
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn turn_until_the_end(&mut self) {
        let mut events = Vec::with_capacity(EVENTS_BOUND);
        let mut swept_ns = 0;
        loop {
            let now_ns = self.now_ns();
            self.send_due(now_ns);
            if now_ns >= self.end_ns {
                return;
            }
            self.sweep_when_due(&mut swept_ns, now_ns);
            self.turn(&mut events, now_ns, swept_ns + self.sweep_ns());
        }
    }

    /// What is due by the end and was not sent is dropped; what was sent is waited for.
    fn drain(&mut self) {
        self.tally.dropped += std::mem::replace(&mut self.feed, Feed::Nowhere).left();
        self.turn_while(|worker| worker.connections.iter().any(|each| !each.under_way.is_empty()));
    }

    /// Goes on while `condition` holds. Requests under way time out, so their end is sure.
    fn turn_while(&mut self, condition: impl Fn(&Self) -> bool) {
        let mut events = Vec::with_capacity(EVENTS_BOUND);
        let mut swept_ns = 0;
        while condition(self) {
            let now_ns = self.now_ns();
            self.sweep_when_due(&mut swept_ns, now_ns);
            self.turn(&mut events, now_ns, swept_ns + self.sweep_ns());
        }
    }

    /// Waits for events until the next moment that matters, and handles them.
    fn turn(&mut self, events: &mut Vec<Event>, now_ns: u64, sweep_at_ns: u64) {
        let wake_ns = self.feed.next_due_ns().map_or(sweep_at_ns, |due_ns| due_ns.min(sweep_at_ns));
        let spins =
            self.plan.spin && (matches!(self.feed, Feed::Replies { .. }) || wake_ns < now_ns + SPIN_NS);
        let margin_ns = if self.plan.spin { SPIN_NS } else { 0 };
        let sleep_ns = if spins { 0 } else { wake_ns.saturating_sub(now_ns + margin_ns) };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timespec(sleep_ns))) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => unreachable!("epoll_wait(2) on an own descriptor and list: {error}"),
        }
        if spins && events.is_empty() {
            self.tally.spun_ns += self.now_ns() - now_ns;
        }
        for event in events.drain(..) {
            let (index, generation) = Connection::named_by(event.data);
            if self.connections[index].is_of(generation) {
                let now_ns = self.serve(index);
                self.send_due(now_ns);
            }
        }
    }

    /// Sends what is due by now, as far as connections are free; the rest waits.
    fn send_due(&mut self, now_ns: u64) {
        for _ in 0..DUE_BATCH {
            let Some(due_ns) = self.feed.take_due(now_ns) else {
                return;
            };
            // The clock is read again: what was sent before from this batch took its time.
            let now_ns = self.now_ns();
            self.tally.pacer_late_ns.saturating_record(now_ns.saturating_sub(due_ns));
            match self.feed.take_free(due_ns) {
                Ok(Some(index)) => self.send(index, 1, due_ns, now_ns),
                Ok(None) => {}
                Err(Full) => self.tally.dropped += 1,
            }
        }
    }

    /// Gives an open connection what it is to do next.
    fn feed_connection(&mut self, index: usize, now_ns: u64) {
        if self.connections[index].stage != Stage::Open {
            return;
        }
        let under_way = self.connections[index].under_way.len();
        if let Some((count, due_ns)) = self.feed.next_for(index, under_way, now_ns) {
            self.send(index, count, due_ns, now_ns);
        }
    }

    /// Writes `count` requests at once.
    fn send(&mut self, index: usize, count: usize, due_ns: u64, now_ns: u64) {
        self.outbox.clear();
        let connection = &mut self.connections[index];
        for _ in 0..count {
            let head_only = self.outbox.add_next();
            connection.under_way.push_back(UnderWay { due_ns, sent_ns: now_ns, head_only });
        }
        let sent = connection.send(self.outbox.bytes()).and_then(|()| connection.watch(&self.epoll, index));
        if sent.is_err() {
            self.lose(index, |errors| &mut errors.reset, now_ns);
        }
    }

    /// Handles an event; the moment at which it did.
    fn serve(&mut self, index: usize) -> u64 {
        let connection = &mut self.connections[index];
        if let Stage::Opening { .. } = connection.stage {
            let opened = connection.finish_opening().and_then(|()| connection.watch(&self.epoll, index));
            let now_ns = self.now_ns();
            match opened {
                Ok(()) => self.feed_connection(index, now_ns),
                Err(_) => self.rest(index, now_ns),
            }
            return now_ns;
        }
        let flushed = connection.flush().and_then(|()| connection.watch(&self.epoll, index));
        let received = flushed.and_then(|()| connection.receive(&mut self.received));
        let now_ns = self.now_ns();
        match received {
            Ok(None) => {}
            Ok(Some(0)) => self.end_of_stream(index, now_ns),
            Ok(Some(count)) => self.replies(index, count, now_ns),
            Err(_) => self.lose(index, |errors| &mut errors.reset, now_ns),
        }
        now_ns
    }

    fn replies(&mut self, index: usize, count: usize, now_ns: u64) {
        let mut bytes = &self.received[..count];
        while !bytes.is_empty() {
            let connection = &mut self.connections[index];
            let head_only = connection.under_way.front().is_some_and(|each| each.head_only);
            match connection.reader.read(&mut bytes, head_only) {
                Ok(None) => return,
                Ok(Some(reply)) => {
                    // A reply that nobody asked for is none.
                    let Some(request) = connection.under_way.pop_front() else {
                        return self.malformed(index, now_ns);
                    };
                    note(&mut self.tally, reply, request, self.plan.expected_status, now_ns);
                    if reply.close {
                        return self.lose(index, |errors| &mut errors.reset, now_ns);
                    }
                }
                Err(Malformed) => return self.malformed(index, now_ns),
            }
        }
        self.feed_connection(index, now_ns);
    }

    fn malformed(&mut self, index: usize, now_ns: u64) {
        self.tally.fail(|errors| &mut errors.malformed, 1, now_ns);
        self.connections[index].under_way.pop_front();
        self.lose(index, |errors| &mut errors.reset, now_ns);
    }

    fn end_of_stream(&mut self, index: usize, now_ns: u64) {
        let connection = &mut self.connections[index];
        if let Some(reply) = connection.reader.end()
            && let Some(request) = connection.under_way.pop_front()
        {
            note(&mut self.tally, reply, request, self.plan.expected_status, now_ns);
        }
        self.lose(index, |errors| &mut errors.reset, now_ns);
    }

    /// The connection has ended; what was under way on it failed of the cause that `of` names. Another is opened.
    fn lose(&mut self, index: usize, of: fn(&mut Errors) -> &mut u64, now_ns: u64) {
        let lost = self.connections[index].under_way.len() as u64;
        if lost > 0 {
            self.tally.fail(of, lost, now_ns);
        }
        self.reopen(index, now_ns);
    }

    fn reopen(&mut self, index: usize, now_ns: u64) {
        self.feed.forget(index);
        let connection = &mut self.connections[index];
        let begun =
            connection.reopen(self.plan.address, now_ns).and_then(|()| connection.watch(&self.epoll, index));
        if begun.is_err() {
            self.rest(index, now_ns);
        }
    }

    /// The connection could not be opened; it is tried again later.
    fn rest(&mut self, index: usize, now_ns: u64) {
        self.tally.fail(|errors| &mut errors.connect, 1, now_ns);
        self.connections[index].close();
        self.connections[index].stage = Stage::Down { until_ns: now_ns + REST_NS };
    }

    fn sweep_ns(&self) -> u64 {
        let part_ms = u64::try_from((self.plan.timeout / SWEEPS_A_TIMEOUT).as_millis()).unwrap_or(u64::MAX);
        part_ms.clamp(*SWEEP_MS.start(), *SWEEP_MS.end()) * 1_000_000
    }

    /// Looks for requests that are too old and for connections that have rested.
    fn sweep_when_due(&mut self, swept_ns: &mut u64, now_ns: u64) {
        if now_ns < *swept_ns + self.sweep_ns() {
            return;
        }
        *swept_ns = now_ns;
        let timeout_ns = u64::try_from(self.plan.timeout.as_nanos()).unwrap_or(u64::MAX);
        let is_old = |since_ns: u64| now_ns.saturating_sub(since_ns) >= timeout_ns;
        for index in 0..self.connections.len() {
            let connection = &self.connections[index];
            match connection.stage {
                Stage::Open if connection.under_way.front().is_some_and(|each| is_old(each.sent_ns)) => {
                    self.lose(index, |errors| &mut errors.timeout, now_ns);
                }
                Stage::Opening { since_ns } if is_old(since_ns) => self.rest(index, now_ns),
                Stage::Down { until_ns } if now_ns >= until_ns => self.reopen(index, now_ns),
                Stage::Open | Stage::Opening { .. } | Stage::Down { .. } => {}
            }
        }
    }
}

fn note(tally: &mut Tally, reply: Reply, request: UnderWay, expected_status: u16, now_ns: u64) {
    if reply.status == expected_status && !reply.marked {
        tally.succeed(request.due_ns, request.sent_ns, now_ns);
    } else {
        tally.fail(|errors| &mut errors.status, 1, now_ns);
    }
}

fn timespec(ns: u64) -> Timespec {
    let part = |ns: u64| i64::try_from(ns).expect("less than the nanoseconds of an i64");
    Timespec { tv_sec: part(ns / 1_000_000_000), tv_nsec: part(ns % 1_000_000_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// rustix rounds timeouts up to milliseconds unless its feature `linux_5_11` is on. The shortest of many waits
    /// tells, whatever else the host does.
    #[test]
    fn waits_end_within_a_part_of_a_millisecond() {
        let epoll = epoll::create(CreateFlags::CLOEXEC).unwrap();
        let mut events: Vec<Event> = Vec::with_capacity(1);
        let wait = |_| {
            let start = Instant::now();
            epoll::wait(&epoll, spare_capacity(&mut events), Some(&timespec(100_000))).unwrap();
            start.elapsed()
        };
        let shortest = (0..200).map(wait).min().unwrap();
        assert!(shortest < Duration::from_micros(900), "{shortest:?}");
    }
}
