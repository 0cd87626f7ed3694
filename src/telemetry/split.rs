//! Where the time of a request went, told by those who spent it, wherever they are below it.
//!
//! It travels with the request's task and not with its arguments: a store does not know which request it answers, and
//! need not.

use std::cell::Cell;
use std::time::Duration;

/// A part of a request's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Until the body had arrived.
    Body,
    /// Finding out who asks.
    Auth,
    /// Waiting for the posting lane to take the command.
    Queue,
    /// With the lane, from there to the outcome; what the store took is a part of it.
    Lane,
    /// Questions to the store, and commits.
    Store,
    /// With the CPU pool, waiting and running.
    Cpu,
}

/// Parts, in the order of [`Part`].
const PARTS: usize = Part::Cpu as usize + 1;

/// The parts of one request's time. They may overlap, and need not add up to all of it.
#[derive(Debug, Default)]
pub struct Split([Cell<Duration>; PARTS]);

tokio::task_local! {
    static SPLIT: Split;
}

/// The request under way on this task, if there is one, has spent so much time so.
pub fn spent(part: Part, time: Duration) {
    // Others have tasks too.
    let _ = SPLIT.try_with(|split| split.add(part, time));
}

/// Runs a request, which may ask [`so_far`].
pub async fn of_request<T>(request: impl Future<Output = T>) -> T {
    SPLIT.scope(Split::default(), request).await
}

/// The split of the request that is under way on this task.
pub fn so_far() -> Split {
    SPLIT.try_with(Split::clone).unwrap_or_default()
}

impl Clone for Split {
    fn clone(&self) -> Self {
        Self(self.0.each_ref().map(|part| Cell::new(part.get())))
    }
}

impl Split {
    fn add(&self, part: Part, time: Duration) {
        let cell = &self.0[part as usize];
        cell.set(cell.get() + time);
    }

    /// What was spent so, in microseconds.
    pub fn us(&self, part: Part) -> u64 {
        u64::try_from(self.0[part as usize].get().as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn each_request_has_its_own_split_however_they_take_turns() {
        let request = |times: u32| {
            of_request(async move {
                for _ in 0..times {
                    spent(Part::Store, MS);
                    tokio::task::yield_now().await;
                    spent(Part::Lane, 2 * MS);
                }
                (so_far().us(Part::Store), so_far().us(Part::Lane), so_far().us(Part::Auth))
            })
        };
        assert_eq!(tokio::join!(request(1), request(3)), ((1_000, 2_000, 0), (3_000, 6_000, 0)));
    }

    #[test]
    fn outside_of_requests_nothing_is_noted() {
        spent(Part::Body, MS);
        assert_eq!(so_far().us(Part::Body), 0);
    }
}
