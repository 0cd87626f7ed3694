//! UUIDv7 without a lock: each thread has its own counter and random source (RFC 9562 §6.2, method 1).

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime};

use uuid::{ContextV7, Timestamp, Uuid};

thread_local! {
    /// A moment by both clocks.
    static ANCHOR: Cell<Option<(Instant, SystemTime)>> = const { Cell::new(None) };
    static CONTEXT: RefCell<ContextV7> = const { RefCell::new(ContextV7::new()) };
}

/// How long ids count on from one look at the wall clock before they look again, so that a step of that clock is
/// soon followed.
const ANCHOR_LIFE: Duration = Duration::from_secs(1);

/// A new UUIDv7 for one who has just looked at the monotonic clock; reading the wall clock too would be a quarter of
/// what the id costs (`benches/telemetry.rs`, `request_id`).
pub fn uuid_v7_at(now: Instant) -> Uuid {
    let (instant, time) = match ANCHOR.get() {
        Some((instant, time)) if now.saturating_duration_since(instant) < ANCHOR_LIFE => (instant, time),
        _ => (now, SystemTime::now()),
    };
    ANCHOR.set(Some((instant, time)));
    uuid_v7_of(time + now.saturating_duration_since(instant))
}

/// A new UUIDv7. Ids of one thread ascend; the shared context of [`Uuid::now_v7`] is a mutex that every core
/// would meet in.
pub fn uuid_v7() -> Uuid {
    uuid_v7_of(SystemTime::now())
}

fn uuid_v7_of(time: SystemTime) -> Uuid {
    // A clock before 1970 yields ids of 1970; they stay unique by their random part.
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    CONTEXT.with_borrow(|context| {
        let time = Timestamp::from_unix(context, since_epoch.as_secs(), since_epoch.subsec_nanos());
        Uuid::new_v7(time)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_an_id_follows_the_clock() {
        let begin = Instant::now();
        for later_ms in [0, 10, 999, 1_001, 60_000] {
            let id = uuid_v7_at(begin + Duration::from_millis(later_ms));
            let (secs, _) = id.get_timestamp().unwrap().to_unix();
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            assert!(secs.abs_diff(now) <= 1, "after {later_ms} ms");
        }
    }

    #[test]
    fn ids_of_a_thread_ascend() {
        let ids: Vec<_> = (0..1_000).map(|_| uuid_v7()).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(ids[0].get_version_num(), 7);
    }
}
