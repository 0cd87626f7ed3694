//! How long a server takes from the start of its process to its first 200 of `GET /ready`.

use std::collections::BTreeMap;

use super::ScenarioError;
use crate::probe;
use crate::stats::median;
use crate::subject::Running;

/// Pairs of starts in a block; a block's values are their medians.
const PAIRS: usize = 5;

/// A value for each metric. `start` starts the subject: with an empty data directory if told so, else with the one
/// of the time before. Each process ends before the next one starts.
pub fn measure<E: From<ScenarioError>>(
    mut start: impl FnMut(bool) -> Result<Running, E>,
) -> Result<BTreeMap<String, f64>, E> {
    let mut values = BTreeMap::<&str, Vec<f64>>::new();
    for _ in 0..PAIRS {
        for (metric, fresh) in [("start_ms", true), ("restart_ms", false)] {
            let running = start(fresh)?;
            let rss_mib = probe::rss_mib(running.pid)
                .map_err(|source| ScenarioError::Io { name: running.subject.name, source })?;
            values.entry(metric).or_default().push(running.started_in.as_secs_f64() * 1e3);
            values.entry("server.rss_mib").or_default().push(rss_mib);
        }
    }
    Ok(values
        .into_iter()
        .filter_map(|(metric, mut all)| Some((metric.to_owned(), median(&mut all)?)))
        .collect())
}
