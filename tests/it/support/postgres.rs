//! Databases for tests. One cluster serves all that do not break theirs.

use std::sync::OnceLock;

use throwaway_postgres::{Cluster, ClusterOptions};

use super::Server;

/// The deadline of requests, and how much of it a batch and a query may take: less than by default, so that a test need
/// not wait for those. A request may wait for one batch before its own.
pub(crate) const DEADLINE_MS: u64 = 8_000;
const COMMIT_TIMEOUT_MS: u64 = 3_000;
const STATEMENT_TIMEOUT_MS: u64 = 2_000;

/// The cluster that tests share. Enough connections for all cores' pools of the tests that run at once.
pub(crate) fn shared_cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| new_cluster(&[("max_connections", "300")]))
}

/// A cluster that a test may break.
pub(crate) fn new_cluster(settings: &[(&str, &str)]) -> Cluster {
    let options = ClusterOptions::new();
    let set = |options: ClusterOptions, (name, value): &(&str, &str)| options.setting(name, value);
    Cluster::start(&settings.iter().fold(options, set)).unwrap_or_else(|error| panic!("{error}"))
}

/// A server with a ledger in the database at `url`.
pub(crate) fn serve_on(url: &str) -> Server {
    serve_on_set(url, &[])
}

/// The same with further settings.
pub(crate) fn serve_on_set(url: &str, settings: &[(&str, &str)]) -> Server {
    serve_with(&[], url, settings)
}

/// The same with further arguments of `serve`.
pub(crate) fn serve_with(arguments: &[&str], url: &str, settings: &[(&str, &str)]) -> Server {
    let times = [
        ("limits.request_timeout_ms", DEADLINE_MS),
        ("store.commit_timeout_ms", COMMIT_TIMEOUT_MS),
        ("store.statement_timeout_ms", STATEMENT_TIMEOUT_MS),
    ];
    let times = times.map(|(name, value)| (name, value.to_string()));
    let own = times.iter().map(|(name, value)| (*name, value.as_str())).chain([("store.url", url)]);
    Server::start_set(arguments, &own.chain(settings.iter().copied()).collect::<Vec<_>>())
}
