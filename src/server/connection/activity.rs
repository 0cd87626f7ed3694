//! What a connection has been doing, and what its deadlines make of it. Knows nothing of sockets or of hyper.
//!
//! Deadlines cost nothing per request: one timer a connection looks, when it fires, at what is noted here.
//! (hyper's own head timeout boxes a timer a request and runs on idle connections too.)

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::LiveLimits;
use crate::server::slow::Slow;
use crate::web::websocket::Talk;

/// How long a connection rests before it is parked: longer than a busy client's pause, so that parking costs
/// only those who rest anyway.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// Reads between two looks that make a connection brisk; the looks are a second apart unless a deadline is shorter.
/// Fewer are not worth a receive buffer, which must be taken back when the connection rests.
const BRISK_READS: u32 = 16;

/// How long a request may stay under way after its client has ended its sending side. A client that only half-closes
/// gets its reply within this time; one that is gone holds up no job for longer.
const GONE_AFTER: Duration = Duration::from_secs(1);

/// How long a connection may wait for its client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadlines {
    /// For a head, from its first byte or the start of the connection.
    head: Duration,
    /// For a request, from the end of the one before.
    pub(super) idle: Duration,
}

impl Deadlines {
    pub(super) const fn of(limits: &LiveLimits) -> Self {
        Self {
            head: Duration::from_millis(limits.head_timeout_ms),
            idle: Duration::from_millis(limits.idle_timeout_ms),
        }
    }

    /// How often to look, so that nothing is noticed late.
    pub(super) fn tick(&self) -> Duration {
        self.head.min(self.idle).min(PARK_AFTER)
    }
}

/// Why a connection ends before its time.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no complete request head in time")]
    HeadTimeout,
    #[error("no request in time")]
    Idle,
    #[error("the client has gone while its request was under way")]
    Gone,
    #[error("a reply was not taken in time")]
    NotTaken,
}

/// What to do when the timer of a connection fires.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing until then.
    LookAgain(Instant),
    /// Take hyper off: the connection rests.
    Detach,
}

/// What a connection has been doing.
pub(crate) struct Activity {
    /// Requests begun since the start of the connection.
    begun: Cell<u64>,
    /// `begun` when a long rest ended, until the first reply after it has left.
    begun_when_woken: Cell<Option<u64>>,
    /// `begun` when the connection was told to rest.
    begun_when_told: Cell<Option<u64>>,
    /// Reads since the last look.
    reads: Cell<u32>,
    /// Whether as many reads as make it brisk came between the last two looks.
    was_brisk: Cell<bool>,
    /// Requests whose reply is not yet made.
    under_way: Cell<u32>,
    /// When the last reply was made, or its last part left after a wait for the client.
    rests_since: Cell<Instant>,
    /// Whether a reply was made in this poll of the connection.
    answered: Cell<bool>,
    /// Whether hyper holds replies that the stream does not take yet.
    blocked: Cell<bool>,
    /// Whether the stream holds replies that the kernel does not take yet.
    sending: Cell<bool>,
    /// When the head began that has not ended. A new connection owes one from the start.
    head_since: Cell<Option<Instant>>,
    /// Whether no byte came since hyper was put on.
    silent: Cell<bool>,
    /// Whether hyper is being taken off, and must leave the socket as it is.
    detaching: Cell<bool>,
    /// When a look first found that the client has ended its side, with a request under way.
    ended_since: Cell<Option<Instant>>,
    /// When replies must have been taken that may not wait for their client for ever, and whether they are still held.
    untaken: Cell<Vec<(Instant, Weak<()>)>>,
    /// Slow requests whose replies may not have left yet.
    slow: Cell<Vec<Slow>>,
    /// What is said when hyper has sent the reply to a handshake and is taken off.
    talk: Cell<Option<Rc<dyn Talk>>>,
}

impl Activity {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            begun: Cell::new(0),
            reads: Cell::new(0),
            begun_when_woken: Cell::new(None),
            begun_when_told: Cell::new(None),
            was_brisk: Cell::new(false),
            under_way: Cell::new(0),
            rests_since: Cell::new(now),
            answered: Cell::new(false),
            blocked: Cell::new(false),
            sending: Cell::new(false),
            head_since: Cell::new(Some(now)),
            silent: Cell::new(true),
            detaching: Cell::new(false),
            ended_since: Cell::new(None),
            untaken: Cell::default(),
            slow: Cell::default(),
            talk: Cell::new(None),
        }
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun.get()
    }

    /// Whether the next request is likely to come within moments.
    pub(super) fn is_brisk(&self) -> bool {
        self.was_brisk.get() || self.reads.get() >= BRISK_READS
    }

    /// What comes now says nothing about the requests before.
    pub(super) fn changes_pace(&self) {
        self.was_brisk.set(false);
        self.reads.set(0);
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.get() > 0
    }

    pub(super) fn is_silent(&self) -> bool {
        self.silent.get()
    }

    pub(super) fn is_detaching(&self) -> bool {
        self.detaching.get()
    }

    pub(super) fn detach(&self) {
        self.detaching.set(true);
    }

    /// What is said from now on, if the connection has become a WebSocket.
    pub(super) fn take_talk(&self) -> Option<Rc<dyn Talk>> {
        self.talk.take()
    }

    /// When the rest began that a parked connection is in.
    pub(super) fn rests_since(&self) -> Instant {
        self.rests_since.get()
    }

    /// The connection is polled anew.
    pub(super) fn poll_begins(&self) {
        self.answered.set(false);
    }

    pub(super) fn bytes_came(&self) {
        self.silent.set(false);
        self.reads.set(self.reads.get().saturating_add(1));
        if self.under_way.get() == 0 && self.head_since.get().is_none() {
            self.head_since.set(Some(Instant::now()));
        }
    }

    /// Notes what became of a write.
    pub(super) fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        let was_blocked = self.blocked.replace(polled.is_pending());
        if was_blocked && polled.is_ready() {
            self.rests_since.set(Instant::now());
        }
    }

    /// Notes whether the stream still holds written bytes.
    pub(super) fn sends(&self, pending: bool) {
        if self.sending.replace(pending) && !pending {
            self.rests_since.set(Instant::now());
        }
        if !pending && !self.blocked.get() {
            self.tell_slow(Some(std::time::Instant::now));
        }
    }

    /// Tells of slow requests whose replies have left, or never will.
    fn tell_slow(&self, left: Option<fn() -> std::time::Instant>) {
        let slow = self.slow.take();
        if !slow.is_empty() {
            let left = left.map(|now| now());
            for slow in slow {
                slow.tell(left);
            }
        }
    }

    /// Hyper was taken off and had the beginning of a head in its buffer. It came in the segment of an earlier
    /// request, so no read has told of it; it began before that request's end.
    pub(super) fn found_head(&self) {
        self.detaching.set(false);
        self.head_since.set(Some(self.rests_since.get()));
    }

    /// Something came for a parked connection: hyper is put on again. Its read tells when the head begins.
    pub(super) fn woke(&self) {
        self.detaching.set(false);
        self.silent.set(true);
        let long = self.rests_since.get().elapsed() >= PARK_AFTER;
        self.begun_when_woken.set(long.then(|| self.begun()));
        self.begun_when_told.set(None);
        self.changes_pace();
    }

    /// Whether the reply to the first request after a long rest has left, and nothing came since. True once.
    pub(super) fn take_lone_reply(&self) -> bool {
        let Some(begun) = self.begun_when_woken.get() else {
            return false;
        };
        if self.begun() == begun || !self.is_quiet() {
            return false;
        }
        self.begun_when_woken.set(None);
        self.begun() == begun + 1
    }

    /// Tells the connection to rest, unless a request has begun since there were `begun`.
    pub(crate) fn rest_after(&self, begun: u64) {
        self.begun_when_told.set(Some(begun));
    }

    pub(crate) fn is_to_rest(&self) -> bool {
        self.begun_when_told.get() == Some(self.begun()) && self.is_quiet()
    }

    /// Whether nothing has begun that has not ended.
    fn is_quiet(&self) -> bool {
        !self.is_answering() && self.head_since.get().is_none()
    }

    /// Whether a reply has not left yet, or hyper is being taken off.
    fn is_answering(&self) -> bool {
        self.is_under_way() || self.blocked.get() || self.sending.get() || self.is_detaching()
    }

    /// What to do now, or why the connection ends now. `peer_ended` tells whether the client has ended its side
    /// while its request is under way.
    pub(super) fn look(&self, deadlines: &Deadlines, peer_ended: bool) -> Result<Next, Ended> {
        let now = Instant::now();
        self.was_brisk.set(self.reads.take() >= BRISK_READS);
        let look_by = |due: Instant| Next::LookAgain(due.min(now + deadlines.tick()));
        let ended_since = peer_ended.then(|| self.ended_since.get().unwrap_or(now));
        self.ended_since.set(ended_since);
        if ended_since.is_some_and(|since| since + GONE_AFTER <= now) {
            return Err(Ended::Gone);
        }
        if self.is_overdue(now) {
            return Err(Ended::NotTaken);
        }
        // Any other client that takes its replies slowly is bound by the stall timeout of writes alone.
        if self.is_answering() {
            return Ok(look_by(now + deadlines.tick()));
        }
        if let Some(since) = self.head_since.get() {
            let due = since + deadlines.head;
            return if due <= now { Err(Ended::HeadTimeout) } else { Ok(look_by(due)) };
        }
        let since = self.rests_since.get();
        if since + deadlines.idle <= now {
            return Err(Ended::Idle);
        }
        let park_at = since + deadlines.tick();
        if park_at <= now { Ok(Next::Detach) } else { Ok(look_by(park_at)) }
    }

    /// Whether a reply is still held that must have been taken by now.
    fn is_overdue(&self, now: Instant) -> bool {
        let mut untaken = self.untaken.take();
        untaken.retain(|(_, held)| held.strong_count() > 0);
        let overdue = untaken.iter().any(|(due, _)| *due <= now);
        self.untaken.set(untaken);
        overdue
    }
}

/// Kept with a reply for as long as it holds what others wait for.
#[derive(Debug)]
pub(crate) struct Untaken {
    _held: Arc<()>,
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.tell_slow(None);
    }
}

/// A request under way, until its reply is made.
pub(crate) struct UnderWay(Rc<Activity>);

impl UnderWay {
    pub(super) fn new(activity: Rc<Activity>) -> Self {
        activity.begun.set(activity.begun.get() + 1);
        activity.under_way.set(activity.under_way.get() + 1);
        activity.head_since.set(None);
        Self(activity)
    }

    /// When its head was complete. The next head of a pipeline is parsed as soon as the reply before is made, so that
    /// time stands for it: a look at the clock saved (`benches/request.rs`, `pipelined`).
    pub(crate) fn begin(&self) -> std::time::Instant {
        if self.0.answered.get() { self.0.rests_since.get().into_std() } else { std::time::Instant::now() }
    }

    /// The request is slow, which is told when its reply has left.
    pub(crate) fn is_slow(&self, request: Slow) {
        let mut slow = self.0.slow.take();
        slow.push(request);
        self.0.slow.set(slow);
    }

    /// The connection becomes a WebSocket once this reply is sent.
    pub(crate) fn becomes(&self, talk: Rc<dyn Talk>) {
        self.0.talk.set(Some(talk));
    }

    /// The reply must have been taken by `due`: the connection ends then, if what is returned is still there. A
    /// connection holds as many as its pipeline has replies.
    pub(crate) fn is_taken_by(&self, due: Instant) -> Untaken {
        let held = Arc::new(());
        let mut untaken = self.0.untaken.take();
        untaken.push((due, Arc::downgrade(&held)));
        self.0.untaken.set(untaken);
        Untaken { _held: held }
    }

    /// The reply was made at `now`. A request that is dropped instead takes its connection with it.
    pub(crate) fn end(self, now: std::time::Instant) {
        self.0.answered.set(true);
        self.0.rests_since.set(Instant::from_std(now));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.set(self.0.under_way.get() - 1);
    }
}

#[cfg(test)]
impl Activity {
    /// Of a connection that owes no head.
    pub(crate) fn idle() -> Self {
        let activity = Self::new();
        activity.head_since.set(None);
        activity
    }
}

#[cfg(test)]
impl UnderWay {
    /// On a connection of its own.
    pub(crate) fn alone() -> Self {
        Self::new(Rc::new(Activity::new()))
    }

    pub(crate) fn is_overdue(&self) -> bool {
        self.0.is_overdue(Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;

    fn deadlines() -> Deadlines {
        Deadlines::of(&LiveLimits::from(&Limits::default()))
    }

    /// Requests, each answered at once.
    fn answered(activity: &Rc<Activity>, requests: u64) {
        for _ in 0..requests {
            UnderWay::new(Rc::clone(activity)).end(std::time::Instant::now());
        }
    }

    #[test]
    fn a_connection_is_brisk_while_much_comes() {
        let activity = Rc::new(Activity::new());
        let look = || activity.look(&deadlines(), false).unwrap();
        let reads = |count: u32| (0..count).for_each(|_| activity.bytes_came());
        reads(BRISK_READS - 1);
        assert!(!activity.is_brisk());
        reads(1);
        assert!(activity.is_brisk());
        look();
        assert!(activity.is_brisk(), "as it was a moment ago");
        reads(BRISK_READS - 1);
        look();
        assert!(!activity.is_brisk());
        reads(BRISK_READS);
        look();
        activity.woke();
        assert!(!activity.is_brisk(), "after a rest it begins anew");
    }

    #[test]
    fn a_lone_reply_after_a_long_rest_is_told_of_once() {
        let activity = Rc::new(Activity::new());
        let rests = |length: Duration| {
            activity.rests_since.set(Instant::now().checked_sub(length).unwrap());
            activity.woke();
            assert!(!activity.take_lone_reply(), "no request yet");
        };
        answered(&activity, 1);
        assert!(!activity.take_lone_reply(), "it has not rested");
        rests(PARK_AFTER);
        answered(&activity, 1);
        activity.sends(true);
        assert!(!activity.take_lone_reply(), "it has not left");
        activity.sends(false);
        assert!(activity.take_lone_reply());
        assert!(!activity.take_lone_reply());
        rests(PARK_AFTER);
        answered(&activity, 2);
        assert!(!activity.take_lone_reply(), "a burst");
        rests(PARK_AFTER / 2);
        answered(&activity, 1);
        assert!(!activity.take_lone_reply(), "it was parked too soon");
    }

    #[test]
    fn a_connection_that_is_to_rest_does_so_unless_something_comes() {
        let activity = Rc::new(Activity::new());
        answered(&activity, 1);
        assert!(!activity.is_to_rest());
        activity.rest_after(1);
        assert!(activity.is_to_rest());
        activity.bytes_came();
        assert!(!activity.is_to_rest(), "a head has begun");
        let under_way = UnderWay::new(Rc::clone(&activity));
        assert!(!activity.is_to_rest());
        under_way.end(std::time::Instant::now());
        assert!(!activity.is_to_rest(), "the word was about the time before");
    }

    #[test]
    fn a_reply_that_is_not_taken_in_time_ends_its_connection() {
        let activity = Rc::new(Activity::new());
        let deadlines = deadlines();
        let (now, hour) = (Instant::now(), Duration::from_hours(1));
        let under_way = UnderWay::new(Rc::clone(&activity));
        let later = under_way.is_taken_by(now + hour);
        let late = under_way.is_taken_by(now);
        // A client that reads slowly keeps hyper waiting for room.
        activity.wrote(&Poll::Pending);
        assert!(matches!(activity.look(&deadlines, false), Err(Ended::NotTaken)));
        drop(late);
        assert!(matches!(activity.look(&deadlines, false), Ok(Next::LookAgain(_))));
        drop(later);
        assert!(activity.look(&deadlines, false).is_ok());
        assert!(activity.untaken.take().is_empty());
    }
}
