//! Where the requests of one thread come from: from replies in a closed loop, from a schedule in an open one. Pure:
//! time is a number that comes in, and a connection is its index.

use std::collections::VecDeque;

use super::schedule::Schedule;

/// Requests of one thread that are due and wait for a free connection. Bounds the client's memory, at 8 MiB a
/// thread, when a server stands still; what is due beyond it is dropped, and counted.
const WAITING_BOUND: usize = 1 << 20;

/// No request may wait any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// Where requests come from. Moments are nanoseconds since the run began.
#[derive(Debug)]
pub(super) enum Feed {
    Nowhere,
    /// A reply is followed by a request, until the end.
    Replies {
        depth: usize,
        end_ns: u64,
    },
    Schedule(Open),
}

/// An open loop under way.
#[derive(Debug)]
pub(super) struct Open {
    schedule: Schedule,
    end_ns: u64,
    /// Due moments of requests that no connection was free for.
    waiting: VecDeque<u64>,
    /// Connections with nothing under way, the one that rested longest in front.
    free: VecDeque<usize>,
}

impl Open {
    pub(super) const fn new(schedule: Schedule, end_ns: u64) -> Self {
        Self { schedule, end_ns, waiting: VecDeque::new(), free: VecDeque::new() }
    }
}

impl Feed {
    /// When the thread must wake of itself; none where nothing more comes.
    pub(super) fn next_due_ns(&self) -> Option<u64> {
        match self {
            Self::Nowhere => None,
            Self::Replies { end_ns, .. } => Some(*end_ns),
            Self::Schedule(open) => Some(open.schedule.due_ns().min(open.end_ns)),
        }
    }

    /// Takes the next moment of the schedule that is due by now.
    pub(super) fn take_due(&mut self, now_ns: u64) -> Option<u64> {
        let Self::Schedule(open) = self else {
            return None;
        };
        let due_ns = open.schedule.due_ns();
        if due_ns > now_ns || due_ns >= open.end_ns {
            return None;
        }
        open.schedule.advance();
        Some(due_ns)
    }

    /// A free connection for the request that was due at `due_ns`; without one, the request waits.
    pub(super) fn take_free(&mut self, due_ns: u64) -> Result<Option<usize>, Full> {
        let Self::Schedule(open) = self else {
            return Ok(None);
        };
        match open.free.pop_front() {
            Some(index) => Ok(Some(index)),
            None if open.waiting.len() < WAITING_BOUND => {
                open.waiting.push_back(due_ns);
                Ok(None)
            }
            None => Err(Full),
        }
    }

    /// How many requests a connection with `under_way` is to send now, and when they were due; without any, it is
    /// free.
    pub(super) fn next_for(&mut self, index: usize, under_way: usize, now_ns: u64) -> Option<(usize, u64)> {
        match self {
            Self::Nowhere => None,
            Self::Replies { depth, end_ns } => {
                let count = depth.saturating_sub(under_way);
                (count > 0 && now_ns < *end_ns).then_some((count, now_ns))
            }
            Self::Schedule(_) if under_way > 0 => None,
            Self::Schedule(open) => {
                let due_ns = open.waiting.pop_front();
                if due_ns.is_none() {
                    open.free.push_back(index);
                }
                due_ns.map(|due_ns| (1, due_ns))
            }
        }
    }

    /// The connection is not free any more: it is being opened anew.
    pub(super) fn forget(&mut self, index: usize) {
        if let Self::Schedule(open) = self {
            open.free.retain(|free| *free != index);
        }
    }

    /// How many requests were due by the end and have not been sent.
    pub(super) fn left(self) -> u64 {
        let Self::Schedule(mut open) = self else {
            return 0;
        };
        let mut left = open.waiting.len() as u64;
        while open.schedule.due_ns() < open.end_ns {
            left += 1;
            open.schedule.advance();
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Arrivals;

    /// Due at 0, 1, 2, ... 9 µs.
    fn schedule() -> Feed {
        Feed::Schedule(Open::new(Schedule::new(1e6, Arrivals::Constant, 1.0, 0.0, 0), 10_000))
    }

    #[test]
    fn what_is_due_takes_the_connection_that_rested_longest_or_waits_in_turn() {
        let mut feed = schedule();
        assert_eq!((feed.next_for(7, 0, 0), feed.next_for(8, 0, 0)), (None, None));
        assert_eq!(feed.take_due(1_500), Some(0));
        assert_eq!(feed.take_free(0), Ok(Some(7)));
        feed.forget(8);
        assert_eq!(feed.take_due(1_500), Some(1_000));
        assert_eq!(feed.take_free(1_000), Ok(None));
        assert_eq!((feed.take_due(1_500), feed.next_due_ns()), (None, Some(2_000)));
        assert_eq!(feed.next_for(7, 1, 1_500), None, "it is busy, and what waits is not lost");
        assert_eq!(feed.next_for(7, 0, 1_500), Some((1, 1_000)));
        assert_eq!(feed.left(), 8);
    }

    #[test]
    fn the_queue_of_what_waits_is_bounded() {
        let mut feed = schedule();
        assert!((0..WAITING_BOUND as u64).all(|due_ns| feed.take_free(due_ns) == Ok(None)));
        assert_eq!(feed.take_free(0), Err(Full));
    }

    #[test]
    fn a_closed_loop_fills_up_to_its_depth_until_the_end() {
        let mut feed = Feed::Replies { depth: 4, end_ns: 100 };
        assert_eq!(feed.next_for(0, 1, 99), Some((3, 99)));
        assert_eq!((feed.next_for(0, 4, 99), feed.next_for(0, 0, 100)), (None, None));
        assert_eq!((feed.take_due(99), feed.left()), (None, 0));
    }
}
