//! From settings to the store: where it is, how it is reached, and whether this server may work on it.

use std::time::{Duration, Instant};

use super::AppFailure;
use crate::config::{Settings, StoreUrl};
use crate::runtime::Engine;
use crate::services::{Keyring, SigningKey};
use crate::store::postgres::{Carrier, Options, Target};
use crate::store::sqlite::ServerLock;
use crate::store::{Location, Store, StoreError};

/// Where the settings keep the ledger, for commands.
pub fn location(settings: &Settings) -> Result<Location, AppFailure> {
    // One that only reads may be pointed at a standby.
    let for_command = |target: Target| if target.has_several_hosts() { target.for_writing() } else { target };
    reached_by(settings, Carrier::Tokio, for_command)
}

/// The same for a server: its cores read through what carries all else that they do.
pub(super) fn serving_location(settings: &Settings, engine: Engine) -> Result<Location, AppFailure> {
    let carrier = match engine {
        Engine::Uring(_) => Carrier::Ring,
        Engine::Epoll => Carrier::Tokio,
    };
    reached_by(settings, carrier, Target::for_writing)
}

fn reached_by(
    settings: &Settings,
    carrier: Carrier,
    purpose: impl FnOnce(Target) -> Target,
) -> Result<Location, AppFailure> {
    let store = &settings.store;
    let Some(url) = &store.url else {
        if store.replica_url.is_some() {
            return Err(AppFailure::Configuration(
                "store.replica_url: set without store.url; a replica is one of a Postgres store".into(),
            ));
        }
        return Ok(Location::Sqlite { directory: store.data_dir.clone() });
    };
    let replica = store.replica_url.as_ref().map(|url| target("store.replica_url", url)).transpose()?;
    Ok(Location::Postgres(Box::new(Options {
        target: purpose(target("store.url", url)?),
        replica,
        carrier,
        connections_per_core: store.connections_per_core,
        connect_timeout: Duration::from_millis(store.connect_timeout_ms),
        acquire_timeout: Duration::from_millis(store.acquire_timeout_ms),
        statement_timeout: Duration::from_millis(store.statement_timeout_ms),
        commit_timeout: Duration::from_millis(store.commit_timeout_ms),
    })))
}

fn target(setting: &str, url: &StoreUrl) -> Result<Target, AppFailure> {
    Target::parse(url.expose()).map_err(|error| AppFailure::Configuration(format!("{setting}: {error}")))
}

/// The pause between two tries of [`lock`].
const LOCK_PAUSE: Duration = Duration::from_millis(20);
/// What a server needs beyond its deadlines to close its store and end.
const LAST_ACTS: Duration = Duration::from_secs(1);

/// How long a server with these settings may take to end.
pub(super) const fn longest_end(settings: &Settings) -> Duration {
    let shutdown = &settings.shutdown;
    // Requests may take the deadline, and running jobs once more.
    let deadlines = Duration::from_millis(shutdown.drain_delay_ms + 2 * shutdown.deadline_ms);
    deadlines.saturating_add(LAST_ACTS)
}

/// Keeps other servers away from a store that serves one only. Waits for `patience` at most for one that is about to end;
/// nothing has been changed until then, so any signal may end the process.
pub(super) fn lock(location: &Location, patience: Duration) -> Result<Option<ServerLock>, StoreError> {
    let deadline = Instant::now() + patience;
    let mut waits = false;
    loop {
        match location.lock() {
            Err(StoreError::InUse(directory)) if Instant::now() < deadline => {
                if !waits {
                    tracing::info!("{} is in use; waiting for the other server to end", directory.display());
                }
                waits = true;
                std::thread::sleep(LOCK_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// A store that cannot be opened is a failure; one that no ledger can stand on is a matter of configuration.
pub(super) fn refused(error: StoreError) -> AppFailure {
    match error {
        StoreError::Unfit(reason) => AppFailure::Configuration(reason),
        StoreError::Unavailable(_)
        | StoreError::Corrupt(_)
        | StoreError::Schema(_)
        | StoreError::InUse(_)
        | StoreError::Open { .. } => AppFailure::Failed(error.to_string()),
    }
}

/// Keeps a server with other keys than its fellows' from starting: each would refuse the other's tokens.
pub(super) fn accept(store: &Store, keys: &Keyring) -> Result<(), AppFailure> {
    let mut fingerprints: Vec<_> = keys.all().map(SigningKey::fingerprint).collect();
    fingerprints.sort_unstable();
    fingerprints.dedup();
    if store.accept_signing_keys(&fingerprints).map_err(refused)? {
        return Ok(());
    }
    Err(AppFailure::Configuration(format!(
        "no signing key here ({}) is among those that this ledger's database knows: copy the key file of another \
         replica (`signing.key` in its data directory) into the data directory here, or name it with auth.key_file",
        keys.ids().join(", ")
    )))
}
