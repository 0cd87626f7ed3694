//! UUIDv7 without a lock: each thread has its own counter and random source (RFC 9562 §6.2, method 1).

use std::cell::RefCell;
use std::time::{Duration, Instant};

use uuid::{ContextV7, Timestamp, Uuid};

use super::clock;

thread_local! {
    static CONTEXT: RefCell<ContextV7> = const { RefCell::new(ContextV7::new()) };
}

/// A new UUIDv7 for one who has just looked at the monotonic clock.
pub fn uuid_v7_at(now: Instant) -> Uuid {
    uuid_v7_of(clock::since_epoch(now))
}

/// A new UUIDv7. Ids of one thread ascend; the shared context of [`Uuid::now_v7`] is a mutex that every core
/// would meet in.
pub fn uuid_v7() -> Uuid {
    uuid_v7_of(clock::wall_clock())
}

fn uuid_v7_of(since_epoch: Duration) -> Uuid {
    CONTEXT.with_borrow(|context| {
        let time = Timestamp::from_unix(context, since_epoch.as_secs(), since_epoch.subsec_nanos());
        Uuid::new_v7(time)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_the_time() {
        let (secs, _) = uuid_v7_at(Instant::now()).get_timestamp().unwrap().to_unix();
        assert!(secs.abs_diff(clock::wall_clock().as_secs()) <= 1);
    }

    #[test]
    fn ids_of_a_thread_ascend() {
        let ids: Vec<_> = (0..1_000).map(|_| uuid_v7()).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(ids[0].get_version_num(), 7);
    }
}
