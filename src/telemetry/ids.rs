//! UUIDv7 without a lock: each thread has its own random source, and a counter for ids that ascend (RFC 9562 §6.2,
//! method 1).

use std::cell::RefCell;
use std::time::{Duration, Instant};

use uuid::{Builder, ContextV7, Timestamp, Uuid};

use super::clock;

thread_local! {
    static CONTEXT: RefCell<ContextV7> = const { RefCell::new(ContextV7::new()) };
}

/// A new UUIDv7 for a request that came `now`. Unlike those of [`uuid_v7`], ids of one millisecond do not ascend: it is a
/// name, not an order, and the counter is most of what the other costs (`benches/telemetry.rs`, `request_id`).
pub fn request_uuid(now: Instant) -> Uuid {
    // Of the sixteen bytes of a UUIDv4, the seventh and the ninth are not wholly random.
    let random = Uuid::new_v4();
    let (first, rest) = random.as_bytes().split_at(6);
    let mut tail = [0; 10];
    tail[..6].copy_from_slice(first);
    tail[6..].copy_from_slice(&rest[3..7]);
    let since_epoch = clock::since_epoch(now);
    let ms = since_epoch.as_secs() * 1_000 + u64::from(since_epoch.subsec_millis());
    Builder::from_unix_timestamp_millis(ms, &tail).into_uuid()
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
