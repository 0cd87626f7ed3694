//! What batches may hold of one core: their bodies and replies take several MiB each, and a client may be slow with
//! either. Knows nothing of what is in them.
//!
//! A batch has a place from the end of its body to the last byte of its reply that its connection takes. A body that is
//! still arriving has none; it holds what has come of it, and all of them together at most as much as the places are
//! for. Of both, one user may have half: the largest body may take some minutes over a slow line and its reply half a
//! minute, and whoever sends or reads slowly, by mistake or not, leaves the rest to everybody else. A reply that is not
//! taken fast enough is cut.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connection::{UnderWay, Untaken};
use crate::api::AppError;
use crate::config::Limits;
use crate::models::UserId;
use crate::web::reply::Reply;

/// How long a client may take over any reply to a batch. Protects places from clients that do not read.
const REPLY_TIME: Duration = Duration::from_secs(10);
/// Bytes a second that earn a reply more time: a line of 2 Mbit/s is fast enough.
const REPLY_BYTES_PER_SECOND: u32 = 256 * 1024;

/// The bounds of one core.
#[derive(Debug)]
pub(super) struct Batches {
    places: Arc<Semaphore>,
    /// What is left of its places to each user who has any. At most as many users as there are places.
    places_of_users: RefCell<HashMap<UserId, Arc<Semaphore>>>,
    /// How many places one user may have. Protects the others from one whose batches stay long.
    places_of_user: usize,
    /// Bytes of bodies that are arriving.
    arriving: Cell<usize>,
    /// Those of each user who has any.
    of_users: RefCell<HashMap<UserId, usize>>,
    bounds: Cell<Bounds>,
}

/// Bytes that bodies may have while they arrive.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// All together. Protects memory.
    all: usize,
    /// Those of one user. Protects the others from one who sends slowly.
    of_user: usize,
}

impl Bounds {
    fn new(batches_per_core: usize, batch_body_bytes: usize) -> Self {
        let all = batches_per_core.saturating_mul(batch_body_bytes);
        // One of the largest is always taken.
        Self { all, of_user: (all / 2).max(batch_body_bytes) }
    }
}

impl Batches {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.batches_per_core)),
            places_of_users: RefCell::default(),
            // One is always possible.
            places_of_user: (limits.batches_per_core / 2).max(1),
            arriving: Cell::new(0),
            of_users: RefCell::default(),
            bounds: Cell::new(Bounds::new(limits.batches_per_core, limits.batch_body_bytes)),
        }
    }

    /// Goes over to another bound of a body.
    pub(super) fn adopt(&self, batches_per_core: usize, batch_body_bytes: usize) {
        self.bounds.set(Bounds::new(batches_per_core, batch_body_bytes));
    }

    /// Refuses a batch of `user`'s that would find no place now, before its body is sent in vain.
    pub(super) fn check_room(&self, user: UserId) -> Result<(), AppError> {
        if self.places.available_permits() == 0 {
            return Err(no_place());
        }
        match self.places_of_users.borrow().get(&user) {
            Some(own) if own.available_permits() == 0 => Err(AppError::TooManyBatches),
            Some(_) | None => Ok(()),
        }
    }

    /// A body of `user`'s that begins to arrive.
    pub(super) const fn arrival(&self, user: UserId) -> Arrival<'_> {
        Arrival { batches: self, user, bytes: 0 }
    }

    /// A place for a batch of `user`'s whose body is there.
    pub(super) fn place(&self, user: UserId) -> Result<Place, AppError> {
        let of_all = Arc::clone(&self.places).try_acquire_owned().map_err(|_| no_place())?;
        let mut users = self.places_of_users.borrow_mut();
        users.retain(|_, own| own.available_permits() < self.places_of_user);
        let own = users.entry(user).or_insert_with(|| Arc::new(Semaphore::new(self.places_of_user)));
        let of_user = Arc::clone(own).try_acquire_owned().map_err(|_| AppError::TooManyBatches)?;
        Ok(Place { _of_all: of_all, _of_user: of_user })
    }
}

const fn no_place() -> AppError {
    AppError::Overloaded("Too many batches are under way.")
}

/// What has come of a body.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    batches: &'a Batches,
    user: UserId,
    bytes: usize,
}

impl Arrival<'_> {
    /// Counts what came, if there is room for it.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), AppError> {
        let Batches { arriving, of_users, bounds, .. } = self.batches;
        let all = arriving.get() + bytes;
        if all > bounds.get().all {
            return Err(AppError::Overloaded("Too many bodies of batches are arriving."));
        }
        let mut of_users = of_users.borrow_mut();
        let of_user = of_users.entry(self.user).or_default();
        if *of_user + bytes > bounds.get().of_user {
            return Err(AppError::TooManyBodies);
        }
        *of_user += bytes;
        arriving.set(all);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        let Batches { arriving, of_users, .. } = self.batches;
        arriving.set(arriving.get() - self.bytes);
        let mut of_users = of_users.borrow_mut();
        match of_users.get_mut(&self.user) {
            Some(bytes) if *bytes > self.bytes => *bytes -= self.bytes,
            Some(_) | None => drop(of_users.remove(&self.user)),
        }
    }
}

/// The place of a batch; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_user: OwnedSemaphorePermit,
}

impl Place {
    /// The reply, whose body keeps the place until it is taken or its time is up.
    pub(super) fn kept_by(self, mut reply: Reply, under_way: &UnderWay) -> Reply {
        let untaken = under_way.is_taken_by(Instant::now() + time_for(reply.content.body.len()));
        let body = std::mem::take(&mut reply.content.body);
        reply.content.body = Bytes::from_owner(Kept { body, _place: self, _untaken: untaken });
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
    use uuid::Uuid;

    use super::*;

    fn batches() -> Batches {
        Batches::new(&Limits { batches_per_core: 2, batch_body_bytes: 100, ..Limits::default() })
    }

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn bodies_that_arrive_hold_what_has_come_and_no_place() {
        let batches = batches();
        let mut slow: Vec<_> = (0..50).map(|n| batches.arrival(user(n))).collect();
        for arrival in &mut slow {
            arrival.grow(1).unwrap();
        }
        let _places = [batches.place(user(1)).unwrap(), batches.place(user(2)).unwrap()];
        let mut large = [batches.arrival(user(100)), batches.arrival(user(101))];
        large[0].grow(100).unwrap();
        large[1].grow(50).unwrap();
        assert!(matches!(large[1].grow(1), Err(AppError::Overloaded(_))));
        slow.truncate(49);
        large[1].grow(1).unwrap();
        drop((slow, large));
        assert_eq!((batches.arriving.get(), batches.of_users.borrow().len()), (0, 0));
    }

    #[test]
    fn who_sends_slowly_keeps_nobody_else_out() {
        let batches =
            Batches::new(&Limits { batches_per_core: 4, batch_body_bytes: 100, ..Limits::default() });
        let mut slow: Vec<_> = (0..4).map(|_| batches.arrival(user(1))).collect();
        for arrival in &mut slow {
            arrival.grow(50).unwrap();
        }
        let mut another = batches.arrival(user(1));
        assert!(matches!(another.grow(1), Err(AppError::TooManyBodies)));
        let mut others = batches.arrival(user(2));
        others.grow(100).unwrap();
        // What is given back is the user's own again.
        slow.pop();
        another.grow(50).unwrap();
        assert!(matches!(another.grow(1), Err(AppError::TooManyBodies)));
        others.grow(100).unwrap();
        drop((slow, another, others));
        assert_eq!((batches.arriving.get(), batches.of_users.borrow().len()), (0, 0));
    }

    #[test]
    fn a_place_is_held_for_as_long_as_any_byte_of_the_reply() {
        let batches = batches();
        let under_way = UnderWay::alone();
        let _other = batches.place(user(1)).unwrap();
        let reply = batches
            .place(user(2))
            .unwrap()
            .kept_by(Reply::text(http::StatusCode::OK, "all of it"), &under_way);
        assert_eq!(reply.content.body, "all of it");
        let rest = reply.content.body.slice(8..);
        drop(reply);
        assert!(matches!(batches.check_room(user(2)), Err(AppError::Overloaded(_))));
        assert!(batches.place(user(2)).is_err());
        drop(rest);
        batches.check_room(user(2)).unwrap();
        batches.place(user(2)).unwrap();
    }

    #[test]
    fn one_user_has_half_of_the_places() {
        let batches = Batches::new(&Limits { batches_per_core: 4, ..Limits::default() });
        let mut own = vec![batches.place(user(1)).unwrap(), batches.place(user(1)).unwrap()];
        assert!(matches!(batches.check_room(user(1)), Err(AppError::TooManyBatches)));
        assert!(matches!(batches.place(user(1)), Err(AppError::TooManyBatches)));
        batches.check_room(user(2)).unwrap();
        let others = [batches.place(user(2)).unwrap(), batches.place(user(3)).unwrap()];
        assert!(matches!(batches.check_room(user(1)), Err(AppError::Overloaded(_))), "nobody has room");
        drop(others);
        // What is given back is the user's own again, and a refusal has cost nobody a place.
        own.pop();
        own.push(batches.place(user(1)).unwrap());
        let _others = [batches.place(user(2)).unwrap(), batches.place(user(2)).unwrap()];
    }

    #[test]
    fn users_without_a_place_are_forgotten() {
        let batches = batches();
        for n in 0..100 {
            drop(batches.place(user(n)).unwrap());
        }
        assert_eq!(batches.places_of_users.borrow().len(), 1);
    }

    #[test]
    fn where_there_is_one_place_anybody_may_have_it() {
        let batches = Batches::new(&Limits { batches_per_core: 1, ..Limits::default() });
        let place = batches.place(user(1)).unwrap();
        assert!(matches!(batches.place(user(1)), Err(AppError::Overloaded(_))));
        drop(place);
        batches.place(user(2)).unwrap();
    }

    #[test]
    fn a_reply_has_time_for_a_slow_line() {
        assert_eq!(time_for(0), REPLY_TIME);
        assert_eq!(time_for(4 << 20), REPLY_TIME + Duration::from_secs(16));
    }
}
