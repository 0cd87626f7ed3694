//! The last problems that were answered, for the dashboard.
//!
//! Each core keeps its own, so none waits for another: one that finds its list being read forgets the problem. Holds
//! what the access line holds, too; no path, no body, no user.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, TryLockError};

use serde::Serialize;

use crate::models::Timestamp;

/// Problems that a core remembers: what one screen shows. Bounds the memory of a flood.
const REMEMBERED: usize = 32;

/// A problem as it was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// When.
    pub at: Timestamp,
    /// The reply's status.
    pub status: u16,
    /// The problem's code.
    pub code: &'static str,
    /// The template of the route, if there was one.
    pub route: Option<&'static str>,
    /// The request's id.
    pub request_id: String,
}

/// The lists of all cores, and which of them is whose.
#[derive(Debug, Clone)]
pub struct RecentProblems {
    cores: Arc<[Mutex<VecDeque<Seen>>]>,
    own: usize,
}

impl RecentProblems {
    /// A list for each core.
    pub fn for_cores(cores: usize) -> Vec<Self> {
        let all: Arc<[_]> = (0..cores).map(|_| Mutex::default()).collect();
        (0..cores).map(|own| Self { cores: Arc::clone(&all), own }).collect()
    }

    /// Remembers a problem of this core. After the first 32 nothing is allocated for a usual id.
    pub fn note(
        &self,
        at: Timestamp,
        (status, code): (u16, &'static str),
        route: Option<&'static str>,
        id: &str,
    ) {
        let mut seen = match self.cores[self.own].try_lock() {
            Ok(seen) => seen,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let oldest = if seen.len() < REMEMBERED { None } else { seen.pop_front() };
        let mut request_id = oldest.map(|oldest| oldest.request_id).unwrap_or_default();
        request_id.clear();
        request_id.push_str(id);
        seen.push_back(Seen { at, status, code, route, request_id });
    }

    /// Those of all cores, the latest first.
    pub fn latest(&self) -> Vec<Seen> {
        let mut all = Vec::new();
        for core in &*self.cores {
            let seen = core.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            all.extend(seen.iter().cloned());
        }
        all.sort_by_key(|seen| std::cmp::Reverse(seen.at));
        all.truncate(REMEMBERED);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_all_cores_are_kept() {
        let cores = RecentProblems::for_cores(2);
        for n in 0..100 {
            let at = Timestamp::from_micros(n).unwrap();
            cores[usize::from(n % 2 == 1)].note(at, (404, "not_found"), None, &n.to_string());
        }
        let latest: Vec<_> = cores[0].latest().into_iter().map(|seen| seen.request_id).collect();
        let wanted: Vec<_> = (68..100).rev().map(|n| n.to_string()).collect();
        assert_eq!(latest, wanted);
    }
}
