//! How many workers there are, on which cores, and how they wait.

use std::time::Duration;

use super::AppFailure;
use crate::config::{BusyPoll, Settings};
use crate::runtime;
use crate::runtime::cores::{self, CoreId};

pub(super) const fn busy_poll(settings: &Settings) -> runtime::BusyPoll {
    match settings.runtime.busy_poll {
        BusyPoll::Off => runtime::BusyPoll::Off,
        BusyPoll::Adaptive => {
            runtime::BusyPoll::Adaptive(Duration::from_micros(settings.runtime.busy_poll_us as u64))
        }
        BusyPoll::Always => runtime::BusyPoll::Always,
    }
}

/// The number of workers. Spinning for ever on every core would leave none to the posting lane, the CPU pool and
/// the rest of the machine.
fn worker_count(settings: &Settings, allowed: usize) -> Result<usize, AppFailure> {
    let spins = settings.runtime.busy_poll == BusyPoll::Always;
    let wanted = settings.runtime.workers.map(usize::from);
    let workers = wanted.unwrap_or(if spins { allowed.saturating_sub(1) } else { allowed }).max(1);
    let online = cores::online();
    if spins && workers >= online {
        return Err(AppFailure::Configuration(format!(
            "runtime.busy_poll: always would take all {online} cores of this machine with {workers} workers; \
             set runtime.workers to less, or use adaptive"
        )));
    }
    Ok(workers)
}

/// The core of each worker. More workers than cores share them in turn.
pub(super) fn worker_cores(settings: &Settings) -> Result<Vec<Option<CoreId>>, AppFailure> {
    let allowed = cores::allowed();
    let workers = worker_count(settings, allowed.len())?;
    if settings.runtime.busy_poll == BusyPoll::Always && workers >= allowed.len() {
        tracing::warn!(
            workers,
            cores = allowed.len(),
            "busy polling takes every core that this process may use; the posting lane and the CPU pool share them"
        );
    }
    if workers > allowed.len() {
        tracing::warn!(workers, cores = allowed.len(), "more workers than cores: they share cores");
    }
    Ok((0..workers).map(|index| allowed.get(index % allowed.len().max(1)).copied()).collect())
}
