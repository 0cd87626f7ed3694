//! The composition root: from settings to a running server and back to nothing. The only file that knows
//! everything.
//!
//! Start: engine, store, key, sockets, lane, pool, workers. End, in reverse: workers drain, pool and lane stop,
//! the store closes. Every thread started here is joined here.

mod blueprint;
pub mod build;
mod measured;
mod reload;
mod running;
mod seats;
mod signals;
mod start;
mod store;
mod supervision;
mod threads;
mod watched;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::blueprint::Blueprint;
use self::build::BUILD;
use self::measured::{metrics, scraper, start_lane, start_pool};
use self::reload::Reloader;
use self::running::Running;
use self::signals::Signals;
pub use self::start::Start;
pub use self::store::location;
use self::store::{accept, lock, longest_end, serving_location};
use self::threads::Threads;
use self::workers::worker_cores;
use crate::api::{About, RateLimiter};
use crate::config::{self, AccessLog, IoMode, Settings};
use crate::models::Currencies;
use crate::models::currency::{InvalidCode, Unit};
use crate::runtime;
use crate::services::events::{self, Commits, Followers};
use crate::services::tokens::{KEY_FILE, KeyError};
use crate::services::{Keyring, SigningKey, Tickets, Tokens};
use crate::store::Store;
use crate::telemetry::access::Sampling;
use crate::telemetry::logging::Logging;
use crate::telemetry::otlp::Collector;

/// Why the program does not do what it was asked to; the kind is the exit code.
#[derive(Debug, thiserror::Error)]
pub enum AppFailure {
    /// The settings or files that they name are wrong: 78, `EX_CONFIG` of sysexits(3).
    #[error("{0}")]
    Configuration(String),
    /// Anything else: 1.
    #[error("{0}")]
    Failed(String),
}

/// A failure with the words of its cause.
fn failed(error: impl std::fmt::Display) -> AppFailure {
    AppFailure::Failed(error.to_string())
}

/// The keys that sign tokens: those of the configured file or directory, or the data directory's own, made when it is
/// missing.
pub fn keyring(settings: &Settings) -> Result<Keyring, AppFailure> {
    keys_of(settings, SigningKey::read_or_make)
}

/// The same; `own` reads the data directory's own.
fn keys_of(
    settings: &Settings,
    own: fn(&Path) -> Result<SigningKey, KeyError>,
) -> Result<Keyring, AppFailure> {
    let auth = &settings.auth;
    let keys = match (&auth.key_dir, &auth.key_file) {
        (Some(directory), _) => Keyring::read(directory),
        (None, Some(file)) => SigningKey::read(file).map(Keyring::from),
        (None, None) => own(&settings.store.data_dir.join(KEY_FILE)).map(Keyring::from),
    };
    keys.map_err(|error| AppFailure::Configuration(error.to_string()))
}

/// How the settings are read again, and from which files.
pub struct Source<'a> {
    /// Reads them.
    pub load: &'a dyn Fn() -> Result<Settings, String>,
    /// The files, as they are named now.
    pub files: &'a dyn Fn() -> Vec<PathBuf>,
}

/// Runs the server until a signal ends it.
pub fn serve(
    start: Start,
    settings: &Settings,
    source: Source<'_>,
    logging: &Logging,
) -> Result<(), AppFailure> {
    let Start { control, hangup, mut watched } = start;
    let inherited = seats::inherited(settings)?;
    let choice = runtime::choose(io_mode(settings.runtime.io)).map_err(failed)?;
    let location = serving_location(settings, choice.engine)?;
    // Callers wait in an inherited socket for the next server, so it waits for the last one.
    let patience = if inherited.is_empty() { Duration::ZERO } else { longest_end(settings) };
    let lock = lock(&location, patience).map_err(failed)?;
    let store = Store::open(&location).map_err(store::refused)?;
    // Before keys are read. One that is missing is about to be made, which is no change.
    watched.add_present(reload::files(&source, settings));
    let keys = keyring(settings)?;
    watched.add(reload::files(&source, settings));
    accept(&store, &keys)?;
    let cores = worker_cores(settings)?;
    raise_file_limit(settings, cores.len());
    if let Err(error) = runtime::keep_pages_small() {
        tracing::debug!(%error, "the kernel may make huge pages; idle connections then cost more memory");
    }
    // Before anything serves, so that no signal finds its default action.
    let signals = control.block_on(async { Signals::new(hangup) }).map_err(failed)?;
    let seats = seats::take(settings, &cores, &inherited)?;
    let names = seats::names(settings, cores.len());
    let (commits, core_commits) = Commits::new(names.len());
    let (metrics, tallies) = metrics(settings, names, logging);
    let scraper = scraper(settings, &metrics)?;
    let (lane, lane_thread) = start_lane(&store, settings, commits.clone(), &metrics)?;
    let (pool, pool_threads) = start_pool(settings, &metrics)?;
    let rate_limiter = Arc::new(RateLimiter::off());
    rate_limiter.set(settings.rate_limit.per_second, settings.rate_limit.burst);
    let (tokens, tickets) = (Tokens::new(&keys), Tickets::new(&keys));
    let followers = Followers::default();
    let about = about(settings, &choice, &store);
    let live = watch::Sender::new(Arc::new(reload::of_workers(settings, keys.clone(), about)));
    let blueprint = Blueprint {
        settings,
        store,
        tokens,
        tickets,
        followers,
        lane,
        pool,
        rate_limiter,
        scraper,
        live: &live,
    };
    let counted = tallies.into_iter().zip(core_commits).collect();
    let (mut server, watchdog) = Running::start(&blueprint, choice.engine, seats.all, counted, logging)?;
    let (store, rate_limiter) = blueprint.into_kept();
    let listener = store.listener();
    let reloader = Reloader {
        source,
        settings: settings.clone(),
        keys,
        store: Arc::new(store),
        rate_limiter,
        workers: live.clone(),
        logging,
        watched,
    };
    let threads = Threads { lane: lane_thread, pool: pool_threads };
    if control.block_on(server.accepts()) {
        server.tell(&seats.addresses, &choice, &cores);
    }
    let outcome = control.block_on(async {
        tokio::select! {
            outcome = server.run(signals, settings, reloader, threads) => outcome,
            never = watchdog.run() => match never {},
            () = events::relay(listener, &commits) => Err(failed("nobody listens for commits any more")),
        }
    });
    drop(lock);
    outcome
}

/// Descriptors of a process that serves nobody: rings, the store, the log.
const FILES_AT_REST: u64 = 64;

/// Asks for as many descriptors as the system grants, and says when they are fewer than the bound of connections.
fn raise_file_limit(settings: &Settings, workers: usize) {
    let wanted = FILES_AT_REST + (settings.limits.connections_per_core * workers) as u64;
    match runtime::raise_file_limit() {
        Ok(limit) if limit.now < wanted => tracing::warn!(
            limit = limit.now,
            wanted,
            "open files are limited below limits.connections_per_core on every core; raise the hard limit \
             (ulimit -Hn, LimitNOFILE=) to serve so many connections"
        ),
        Ok(limit) => {
            tracing::debug!(before = limit.before, now = limit.now, "raised the limit of open files");
        }
        Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
    }
}

const fn io_mode(mode: IoMode) -> runtime::IoMode {
    match mode {
        IoMode::Auto => runtime::IoMode::Auto,
        IoMode::Uring => runtime::IoMode::Uring,
        IoMode::Epoll => runtime::IoMode::Epoll,
    }
}

/// ISO 4217 and the settings' own units.
pub fn currencies(settings: &Settings) -> Result<Currencies, AppFailure> {
    let unit = |unit: &config::Unit| {
        let currency = unit
            .code
            .parse()
            .map_err(|error: InvalidCode| AppFailure::Configuration(format!("{}: {error}", unit.code)))?;
        Ok(Unit { currency, exponent: unit.exponent })
    };
    settings.ledger.currencies.0.iter().map(unit).collect::<Result<_, _>>().map(Currencies::with_own)
}

/// What the dashboard tells of the process.
fn about(settings: &Settings, choice: &runtime::Choice, store: &Store) -> About {
    About {
        version: BUILD.version,
        engine: choice.engine.to_string(),
        engine_reason: choice.reason.clone(),
        store: store.describe(),
        settings: config::shown(settings),
    }
}

const fn sampling(access: AccessLog) -> Sampling {
    match access {
        AccessLog::All => Sampling::All,
        AccessLog::Sampled => Sampling::OneInHundred,
        AccessLog::Errors => Sampling::Errors,
        AccessLog::Off => Sampling::Off,
    }
}

/// What the log lets through: the directive list, or the level for everything.
pub fn log_directives(settings: &Settings) -> String {
    settings.log.filter.clone().unwrap_or_else(|| settings.log.level.to_string())
}

/// Where spans go, if anywhere.
pub fn collector(settings: &Settings) -> Option<Collector> {
    let endpoint = settings.otlp.endpoint.clone()?;
    Some(Collector { endpoint, sample_percent: settings.otlp.sample_percent, version: BUILD.version })
}
