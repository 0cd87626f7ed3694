//! Takes over the settings that may change while the process runs. Knows neither where they come from nor who
//! asked.

use super::Reload;
use crate::api::RateLimiter;
use crate::config::Live;
use crate::telemetry::logging::Logging;

/// Takes over what may change while the server runs: for now the log's filter and the rate limit.
pub(super) fn reload_live(
    live: &mut Live,
    reload: Reload<'_>,
    logging: &Logging,
    rate_limiter: &RateLimiter,
) {
    let settings = match reload() {
        Ok(settings) => settings,
        Err(problem) => {
            tracing::error!(%problem, "the settings are not valid; nothing was changed");
            return;
        }
    };
    let wanted = Live::from(&settings);
    rate_limiter.set(wanted.rate_limit.per_second, wanted.rate_limit.burst);
    for change in live.diff(&wanted) {
        let applied =
            ["log.level", "log.filter"].contains(&&*change.key) || change.key.starts_with("rate_limit.");
        tracing::info!(
            key = change.key,
            from = change.from,
            to = change.to,
            applied,
            "{}",
            if applied { "setting changed" } else { "setting changed in the file; it needs a restart" }
        );
    }
    live.rate_limit = wanted.rate_limit;
    if let Err(error) = logging.set_filter(&super::log_directives(&settings)) {
        tracing::error!(%error, "the log's filter was not changed");
        return;
    }
    live.log.level = wanted.log.level;
    live.log.filter = wanted.log.filter;
}
