//! How many may follow events at once: each user in the whole process, and all of them on one core. Counted when a
//! feed begins and when it ends; nothing between looks here.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::models::UserId;
use crate::services::ServiceError;

/// The feeds of each user who has any, shared by all cores: a user's connections are spread over them by chance, and a
/// bound for each core would refuse now one and now another.
#[derive(Debug, Clone, Default)]
pub struct Followers(Arc<Mutex<HashMap<UserId, usize>>>);

impl Followers {
    fn all(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        // The map is whole at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, user: UserId, most: usize) -> bool {
        let mut all = self.all();
        let count = all.entry(user).or_default();
        let has_room = *count < most;
        *count += usize::from(has_room);
        has_room
    }

    fn give_back(&self, user: UserId) {
        let mut all = self.all();
        match all.get_mut(&user) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) | None => drop(all.remove(&user)),
        }
    }
}

/// The places of one core.
#[derive(Debug)]
pub struct Places {
    per_core: usize,
    per_user: usize,
    here: Cell<usize>,
    followers: Followers,
}

impl Places {
    /// At most `per_core` feeds here, and `per_user` of one user over all cores that share `followers`.
    pub const fn new(per_core: usize, per_user: usize, followers: Followers) -> Self {
        Self { per_core, per_user, here: Cell::new(0), followers }
    }

    /// A place for a feed of `user`. Whose own bound is reached is told that first.
    pub(super) fn take(self: &Rc<Self>, user: UserId) -> Result<Place, ServiceError> {
        if !self.followers.take(user, self.per_user) {
            return Err(ServiceError::TooManyFeeds);
        }
        self.here.set(self.here.get() + 1);
        let place = Place { places: Rc::clone(self), user };
        if self.here.get() > self.per_core {
            return Err(ServiceError::Overloaded("Too many WebSockets are open."));
        }
        Ok(place)
    }

    /// Whether all places but one are free.
    pub(super) fn is_last(&self) -> bool {
        self.here.get() == 1
    }
}

/// A feed's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Rc<Places>,
    user: UserId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.here.set(self.places.here.get() - 1);
        self.places.followers.give_back(self.user);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn user(n: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(n))
    }

    #[test]
    fn a_user_is_bounded_over_all_cores_and_a_core_over_all_users() {
        let followers = Followers::default();
        let [one, other] = [3, 1].map(|per_core| Rc::new(Places::new(per_core, 2, followers.clone())));
        let first = one.take(user(1)).unwrap();
        let second = other.take(user(1)).unwrap();
        assert!(matches!(one.take(user(1)), Err(ServiceError::TooManyFeeds)));
        // Who is refused by the core has taken none of the user's.
        assert!(matches!(other.take(user(2)), Err(ServiceError::Overloaded(_))));
        let _others = [one.take(user(2)).unwrap(), one.take(user(2)).unwrap()];
        assert!(matches!(one.take(user(3)), Err(ServiceError::Overloaded(_))));
        drop(second);
        let _third = other.take(user(1)).unwrap();
        drop(first);
        let _fourth = one.take(user(1)).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_those_who_have_left() {
        let followers = Followers::default();
        let places = Rc::new(Places::new(10, 10, followers.clone()));
        let taken: Vec<_> = (0..5).flat_map(|n| [places.take(user(n)), places.take(user(n))]).collect();
        assert_eq!((followers.all().len(), places.here.get()), (5, 10));
        drop(taken);
        assert_eq!((followers.all().len(), places.here.get()), (0, 0));
    }
}
