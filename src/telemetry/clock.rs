//! The wall clock for those who have just looked at the monotonic one: a request is timed by that anyway, and to read
//! the wall clock too would be a good part of what its id costs (`benches/telemetry.rs`, `request_id`).

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

/// How long a thread counts on from one look at the wall clock before it looks again, so that a step of that clock is
/// soon followed.
const ANCHOR_LIFE: Duration = Duration::from_secs(1);

/// A moment by both clocks, the wall clock's since 1970.
type Moment = (Instant, Duration);

thread_local! {
    /// A look at both clocks.
    static ANCHOR: Cell<Option<Moment>> = const { Cell::new(None) };
    /// The last answer. In a pipeline the end of a request is the beginning of the next, so every other question is one
    /// that was just answered (`benches/instructions request_pipelined`).
    static LAST: Cell<Option<Moment>> = const { Cell::new(None) };
}

/// The time since 1970, at `now`, which must not be long ago.
pub(super) fn since_epoch(now: Instant) -> Duration {
    if let Some((instant, time)) = LAST.get()
        && instant == now
    {
        return time;
    }
    let time = by_anchor(now);
    LAST.set(Some((now, time)));
    time
}

fn by_anchor(now: Instant) -> Duration {
    if let Some((instant, time)) = ANCHOR.get() {
        let later = now.saturating_duration_since(instant);
        if later < ANCHOR_LIFE {
            return time + later;
        }
    }
    // Both clocks anew: `now` may be a while ago, if the thread was preempted since.
    let (instant, time) = (Instant::now(), wall_clock());
    ANCHOR.set(Some((instant, time)));
    time.saturating_sub(instant.saturating_duration_since(now))
}

/// The time since 1970; zero for a clock before that.
pub(super) fn wall_clock() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_follows_the_wall_clock() {
        for earlier_ms in [0, 10, 999] {
            let Some(then) = Instant::now().checked_sub(Duration::from_millis(earlier_ms)) else { continue };
            let expected = wall_clock().saturating_sub(Duration::from_millis(earlier_ms));
            ANCHOR.set(None);
            assert!(since_epoch(then).abs_diff(expected) < Duration::from_millis(500), "{earlier_ms} ms ago");
        }
    }

    #[test]
    fn an_old_look_at_the_wall_clock_is_renewed() {
        let stale = Instant::now().checked_sub(ANCHOR_LIFE).expect("the machine runs for longer");
        ANCHOR.set(Some((stale, Duration::ZERO)));
        assert!(since_epoch(Instant::now()).abs_diff(wall_clock()) < Duration::from_millis(500));
    }

    /// The look at both clocks comes after `then`, so by that alone the second answer would be another.
    #[test]
    fn one_moment_has_one_time() {
        let then = Instant::now();
        std::thread::sleep(Duration::from_millis(1));
        let time = since_epoch(then);
        assert_eq!(since_epoch(then), time);
    }

    #[test]
    fn the_time_goes_on_between_two_looks() {
        // The first question has both clocks looked at, and a moment before that look is as old as it.
        since_epoch(Instant::now());
        let begin = Instant::now();
        let time = since_epoch(begin);
        assert_eq!(since_epoch(begin + Duration::from_micros(7)), time + Duration::from_micros(7));
    }
}
