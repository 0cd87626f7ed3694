//! The lane, the pool and those who count and write out what they do. Knows what is counted, not how it is shown.

use std::num::NonZeroUsize;
use std::sync::Arc;

use super::build::BUILD;
use super::{AppFailure, failed};
use crate::api::routes;
use crate::config::Settings;
use crate::runtime::{self, CpuPool, CpuThreads, cores};
use crate::services::PostingLane;
use crate::services::events::Commits;
use crate::services::posting::{LaneThread, RESULTS, Round};
use crate::store::Store;
use crate::telemetry::logging::Logging;
use crate::telemetry::metrics::{CoreMetrics, Metrics, Scraper, Subject};

/// What is counted, and what each worker counts with.
pub(super) fn metrics(
    settings: &Settings,
    cores: Vec<String>,
    logging: &Logging,
) -> (Arc<Metrics>, Vec<CoreMetrics>) {
    let rows = routes::labels(settings.runtime.bench_endpoints);
    let subject = Subject { build: BUILD, rows, cores, results: &RESULTS, dropped_lines: logging.dropped() };
    let (metrics, tallies) = Metrics::new(subject);
    let tallies = tallies.into_iter().map(|tally| if settings.metrics.enabled { tally } else { tally.off() });
    (Arc::new(metrics), tallies.collect())
}

/// Whoever writes the metrics out, where there are any.
pub(super) fn scraper(settings: &Settings, metrics: &Arc<Metrics>) -> Result<Option<Scraper>, AppFailure> {
    let start = || Scraper::start(Arc::clone(metrics), cores::let_others_first);
    settings.metrics.enabled.then(start).transpose().map_err(failed)
}

pub(super) fn start_lane(
    store: &Store,
    settings: &Settings,
    commits: Commits,
    metrics: &Arc<Metrics>,
) -> Result<(PostingLane, LaneThread), AppFailure> {
    let writer = store.writer().map_err(failed)?;
    let limits = &settings.limits;
    let metrics = Arc::clone(metrics);
    let observe = move |round: &Round<'_>| count_round(&metrics, round);
    PostingLane::start_telling(writer, limits.lane_queue, limits.lane_batch, commits, observe).map_err(failed)
}

fn count_round(metrics: &Metrics, round: &Round<'_>) {
    if !round.waits.is_empty() {
        metrics.lane_batch.observe(round.waits.len());
    }
    round.waits.iter().for_each(|&waited| metrics.lane_wait.observe(waited));
    metrics.store_commits.observe(round.commit);
    if round.outcomes.is_err() {
        metrics.store_commit_errors.count();
    }
    round.each_result(|result| metrics.transfers.count(result));
    metrics.last_seq.tell(round.last_seq);
}

/// One thread a core: more idle-class threads a core would cost the light requests their tail.
pub(super) fn start_pool(
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> Result<(CpuPool, CpuThreads), AppFailure> {
    let threads = NonZeroUsize::new(cores::allowed().len()).unwrap_or(NonZeroUsize::MIN);
    let metrics = Arc::clone(metrics);
    let observe = move |timing: runtime::Timing| {
        metrics.cpu_pool_queue.observe(timing.queue);
        metrics.cpu_pool_run.observe(timing.run);
    };
    CpuPool::start(threads, settings.limits.cpu_queue, observe).map_err(failed)
}
