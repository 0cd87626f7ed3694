//! UUIDv7 without a lock: each thread has its own counter and random source (RFC 9562 §6.2, method 1).

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use uuid::{Builder, ContextV7, Timestamp, Uuid};

use super::clock;

thread_local! {
    static CONTEXT: RefCell<ContextV7> = const { RefCell::new(ContextV7::new()) };
    /// The random part of the last id of a request; begins at random.
    static LAST: Cell<u128> = Cell::new(Uuid::new_v4().as_u128());
}

/// From one random part to the next: odd, so that 2^62 ids of a thread differ in the bits that a UUIDv7 ends with,
/// and without a pattern that an eye would take for a counter (2^128 divided by the golden ratio).
const STEP: u128 = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835;

/// A new UUIDv7 for a request that came `now`. Unlike those of [`uuid_v7`] it can be guessed from the one before, and
/// those of one millisecond do not ascend: it is a name, not a secret or an order. Random bits for each would be a
/// third of what it costs (`benches/telemetry.rs`, `request_id`).
pub fn request_uuid(now: Instant) -> Uuid {
    let random = LAST.get().wrapping_add(STEP);
    LAST.set(random);
    let bytes = random.to_be_bytes();
    let tail = bytes.last_chunk().expect("sixteen bytes end with ten");
    let since_epoch = clock::since_epoch(now);
    let ms = since_epoch.as_secs() * 1_000 + u64::from(since_epoch.subsec_millis());
    Builder::from_unix_timestamp_millis(ms, tail).into_uuid()
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
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn an_id_tells_the_time() {
        for id in [request_uuid(Instant::now()), uuid_v7()] {
            let (secs, _) = id.get_timestamp().unwrap().to_unix();
            assert!(secs.abs_diff(clock::wall_clock().as_secs()) <= 1);
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
        }
    }

    #[test]
    fn ids_of_requests_differ_at_one_moment() {
        let now = Instant::now();
        let ids: HashSet<_> = (0..10_000).map(|_| request_uuid(now)).collect();
        assert_eq!(ids.len(), 10_000);
        let of_another = std::thread::spawn(move || request_uuid(now)).join().unwrap();
        assert!(!ids.contains(&of_another));
    }

    #[test]
    fn ids_of_a_thread_ascend() {
        let ids: Vec<_> = (0..1_000).map(|_| uuid_v7()).collect();
        assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]));
        assert_eq!(ids[0].get_version_num(), 7);
    }
}
