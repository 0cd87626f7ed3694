//! What batches may hold of one core: their bodies and replies take several MiB each, and a client may be slow with
//! either. Knows nothing of what is in them.
//!
//! A batch has a place from the end of its body to the last byte of its reply that its connection takes. A body that is
//! still arriving has none, so one that trickles keeps nobody out; it holds what has come of it, and all of them
//! together at most as much as the places are for. A reply that is not taken fast enough is cut.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connection::{UnderWay, Untaken};
use crate::api::AppError;
use crate::config::Limits;
use crate::web::reply::Reply;

/// How long a client may take over any reply to a batch. Protects places from clients that do not read.
const REPLY_TIME: Duration = Duration::from_secs(10);
/// Bytes a second that earn a reply more time: a line of 2 Mbit/s is fast enough.
const REPLY_BYTES_PER_SECOND: u32 = 256 * 1024;

/// The bounds of one core.
#[derive(Debug)]
pub(super) struct Batches {
    places: Arc<Semaphore>,
    /// Bytes of bodies that are arriving.
    arriving: Cell<usize>,
    /// Bytes that these may have. Protects memory.
    most_arriving: Cell<usize>,
}

impl Batches {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.batches_per_core)),
            arriving: Cell::new(0),
            most_arriving: Cell::new(limits.batches_per_core.saturating_mul(limits.batch_body_bytes)),
        }
    }

    /// Goes over to another bound of a body.
    pub(super) fn adopt(&self, batches_per_core: usize, batch_body_bytes: usize) {
        self.most_arriving.set(batches_per_core.saturating_mul(batch_body_bytes));
    }

    /// Refuses a batch that would find no place now, before its body is sent in vain.
    pub(super) fn check_room(&self) -> Result<(), AppError> {
        if self.places.available_permits() > 0 { Ok(()) } else { Err(no_place()) }
    }

    /// A body that begins to arrive.
    pub(super) const fn arrival(&self) -> Arrival<'_> {
        Arrival { batches: self, bytes: 0 }
    }

    /// A place for a batch whose body is there.
    pub(super) fn place(&self) -> Result<Place, AppError> {
        let permit = Arc::clone(&self.places).try_acquire_owned().map_err(|_| no_place())?;
        Ok(Place { _permit: permit })
    }
}

const fn no_place() -> AppError {
    AppError::Overloaded("Too many batches are under way.")
}

/// What has come of a body.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    batches: &'a Batches,
    bytes: usize,
}

impl Arrival<'_> {
    /// Counts what came, if there is room for it.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), AppError> {
        let Batches { arriving, most_arriving, .. } = self.batches;
        let all = arriving.get() + bytes;
        if all > most_arriving.get() {
            return Err(AppError::Overloaded("Too many bodies of batches are arriving."));
        }
        arriving.set(all);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        self.batches.arriving.set(self.batches.arriving.get() - self.bytes);
    }
}

/// The place of a batch; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// The reply, whose body keeps the place until it is taken or its time is up.
    pub(super) fn kept_by(self, mut reply: Reply, under_way: &UnderWay) -> Reply {
        let untaken = under_way.is_taken_by(Instant::now() + time_for(reply.body.len()));
        let body = std::mem::take(&mut reply.body);
        reply.body = Bytes::from_owner(Kept { body, _place: self, _untaken: untaken });
        reply
    }
}

/// How long so many bytes may take.
fn time_for(bytes: usize) -> Duration {
    REPLY_TIME + Duration::from_secs(bytes as u64) / REPLY_BYTES_PER_SECOND
}

/// The bytes of a reply, and what lives as long as they do.
struct Kept {
    body: Bytes,
    _place: Place,
    _untaken: Untaken,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batches() -> Batches {
        Batches::new(&Limits { batches_per_core: 2, batch_body_bytes: 100, ..Limits::default() })
    }

    #[test]
    fn bodies_that_arrive_hold_what_has_come_and_no_place() {
        let batches = batches();
        let mut slow: Vec<_> = (0..50).map(|_| batches.arrival()).collect();
        for arrival in &mut slow {
            arrival.grow(1).unwrap();
        }
        let _places = [batches.place().unwrap(), batches.place().unwrap()];
        let mut large = batches.arrival();
        large.grow(150).unwrap();
        assert!(matches!(large.grow(1), Err(AppError::Overloaded(_))));
        slow.truncate(49);
        large.grow(1).unwrap();
        drop((slow, large));
        assert_eq!(batches.arriving.get(), 0);
    }

    #[test]
    fn a_place_is_held_for_as_long_as_any_byte_of_the_reply() {
        let batches = batches();
        let under_way = UnderWay::alone();
        let _other = batches.place().unwrap();
        let reply =
            batches.place().unwrap().kept_by(Reply::text(http::StatusCode::OK, "all of it"), &under_way);
        assert_eq!(reply.body, "all of it");
        let rest = reply.body.slice(8..);
        drop(reply);
        assert!(matches!(batches.check_room(), Err(AppError::Overloaded(_))));
        assert!(batches.place().is_err());
        drop(rest);
        batches.check_room().unwrap();
        batches.place().unwrap();
    }

    #[test]
    fn a_reply_has_time_for_a_slow_line() {
        assert_eq!(time_for(0), REPLY_TIME);
        assert_eq!(time_for(4 << 20), REPLY_TIME + Duration::from_secs(16));
    }
}
