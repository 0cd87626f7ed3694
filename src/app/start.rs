//! What a server hears from before its settings are read, so that nothing is missed that happens while it starts. Knows
//! nothing of what is done about it.

use std::path::PathBuf;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::watched::Watched;
use super::{AppFailure, failed};

/// A start that has begun.
pub struct Start {
    /// The main thread's, which signals come through.
    pub(super) control: Runtime,
    /// The wish for a reload, also while nobody is there yet to answer it.
    pub(super) hangup: Signal,
    /// What settings are read from, as it was before.
    pub(super) watched: Watched,
}

impl Start {
    /// To be called before anything is read of `files`, and before all else: until then SIGHUP ends the process. Signals
    /// that ask for the end do so until the server runs.
    pub fn begin(files: Vec<PathBuf>) -> Result<Self, AppFailure> {
        let control = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let hangup = control.block_on(async { signal(SignalKind::hangup()) }).map_err(failed)?;
        Ok(Self { control, hangup, watched: Watched::new(files) })
    }
}
