//! Takes over the settings that may change while the process runs. Knows neither where they come from nor who
//! asked.

use super::Reload;
use crate::config::Live;
use crate::telemetry::logging::Logging;

/// Takes over what may change while the server runs: for now the log's filter.
pub(super) fn reload_live(live: &mut Live, reload: Reload<'_>, logging: &Logging) {
    let settings = match reload() {
        Ok(settings) => settings,
        Err(problem) => {
            tracing::error!(%problem, "the settings are not valid; nothing was changed");
            return;
        }
    };
    let wanted = Live::from(&settings);
    for change in live.diff(&wanted) {
        let applied = change.key == "log.level" || change.key == "log.filter";
        tracing::info!(
            key = change.key,
            from = change.from,
            to = change.to,
            applied,
            "{}",
            if applied { "setting changed" } else { "setting changed in the file; it needs a restart" }
        );
    }
    if let Err(error) = logging.set_filter(&super::log_directives(&settings)) {
        tracing::error!(%error, "the log's filter was not changed");
        return;
    }
    live.log.level = wanted.log.level;
    live.log.filter = wanted.log.filter;
}
