//! Takes over the settings that may change while the process runs: all of them, or none where anything is wrong.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use super::store::accept;
use super::supervision;
use super::watched::Watched;
use super::{AppFailure, Source, keys_of, log_directives, sampling};
use crate::api::{About, RateLimiter};
use crate::config::{self, Change, LiveLimits, Settings};
use crate::server::LiveSettings;
use crate::services::tokens::KEY_FILE;
use crate::services::{Keyring, SigningKey};
use crate::store::Store;
use crate::telemetry::logging::Logging;

/// What workers go over to.
pub(super) fn of_workers(settings: &Settings, keys: Keyring, about: About) -> LiveSettings {
    LiveSettings {
        limits: LiveLimits::from(&settings.limits),
        access: sampling(settings.log.access),
        slow: Duration::from_millis(settings.log.slow_ms),
        metrics_public: settings.metrics.public,
        keys,
        about: Arc::new(about),
    }
}

/// The settings that are in force, and those who go over to others.
pub(super) struct Reloader<'a> {
    pub(super) source: Source<'a>,
    pub(super) settings: Settings,
    pub(super) keys: Keyring,
    pub(super) store: Arc<Store>,
    pub(super) rate_limiter: Arc<RateLimiter>,
    pub(super) workers: watch::Sender<Arc<LiveSettings>>,
    pub(super) logging: &'a Logging,
    /// The files as they were when settings and keys were read.
    pub(super) watched: Watched,
}

impl Reloader<'_> {
    pub(super) const fn logging(&self) -> &Logging {
        self.logging
    }

    /// Reloads whenever it is asked to, or a file has changed that settings or keys were read from.
    pub(super) async fn run(&mut self, mut asked: mpsc::Receiver<&'static str>) -> Infallible {
        loop {
            let why = tokio::select! {
                Some(why) = asked.recv() => why,
                () = self.watched.change() => "a file has changed",
            };
            self.reload(why).await;
        }
    }

    /// Reads everything again and goes over to it. What is wrong with it goes to the log, and nothing changes.
    async fn reload(&mut self, why: &'static str) {
        supervision::reloading();
        // Before they are read, so that no later change is missed.
        self.watched = Watched::new(files(&self.source, &self.settings));
        let outcome = match self.read().await {
            Ok((settings, keys)) => self.take_over(&settings, keys, why),
            Err(problem) => Err(problem),
        };
        match outcome {
            Ok(()) => supervision::ready("serving; the settings were reloaded"),
            Err(problem) => {
                tracing::error!(why, %problem, "the settings are not valid; nothing was changed");
                supervision::ready("serving; a reload found settings that are not valid, see the log");
            }
        }
    }

    /// New settings and keys, each of them allowed.
    async fn read(&mut self) -> Result<(Settings, Keyring), String> {
        let settings = (self.source.load)()?;
        // Of the directory that is in use, and never made: a key that is missing is being replaced.
        let in_force = self.settings.clone().with_live_of(&settings);
        // Also where they are refused: what is wrong in a file that they name is mended there.
        self.watched.add(files(&self.source, &in_force));
        let keys = keys_of(&in_force, SigningKey::read).map_err(|error| error.to_string())?;
        let known = self.keys.ids();
        if keys.ids().iter().any(|id| !known.contains(id)) {
            self.accept(keys.clone()).await.map_err(|error| error.to_string())?;
        }
        Ok((settings, keys))
    }

    /// Asks the store, which may take its time, on a thread that has none to lose.
    async fn accept(&self, keys: Keyring) -> Result<(), AppFailure> {
        let (tell, told) = oneshot::channel();
        let store = Arc::clone(&self.store);
        let asking = std::thread::Builder::new().name("accept-keys".into()).spawn(move || {
            // The process may end meanwhile.
            let _ = tell.send(accept(&store, &keys));
        });
        asking.map_err(super::failed)?;
        told.await.map_err(super::failed)?
    }

    fn take_over(&mut self, settings: &Settings, keys: Keyring, why: &'static str) -> Result<(), String> {
        let (changed, at_start) = self.settings.diff(settings);
        let directives = log_directives(settings);
        self.logging.set_filter(&directives).map_err(|error| format!("log.filter: {error}"))?;
        // What needs a restart stays as it was at the start, so that each reload says that it still does.
        let in_force = self.settings.clone().with_live_of(settings);
        self.rate_limiter.set(in_force.rate_limit.per_second, in_force.rate_limit.burst);
        let about = About { settings: config::shown(&in_force), ..(*self.workers.borrow().about).clone() };
        self.workers.send_replace(Arc::new(of_workers(&in_force, keys.clone(), about)));
        self.watched.keep(&files(&self.source, &in_force));
        tell(&changed, true, "setting changed");
        tell(&at_start, false, "setting changed in the file; it needs a restart");
        if keys.ids() != self.keys.ids() {
            let (from, to) = (self.keys.ids().join(", "), keys.ids().join(", "));
            tracing::info!(from, to, "signing keys changed; the first one signs");
        }
        tracing::info!(why, changed = changed.len(), "settings reloaded");
        self.keys = keys;
        self.settings = in_force;
        Ok(())
    }
}

fn tell(changes: &[Change], applied: bool, message: &str) {
    for Change { key, from, to } in changes {
        tracing::info!(key, from, to, applied, "{message}");
    }
}

/// What settings and keys are read from.
pub(super) fn files(source: &Source<'_>, settings: &Settings) -> Vec<PathBuf> {
    let auth = &settings.auth;
    let own = || settings.store.data_dir.join(KEY_FILE);
    let keys = auth.key_dir.clone().or_else(|| auth.key_file.clone()).unwrap_or_else(own);
    (source.files)().into_iter().chain([keys]).collect()
}
