//! Where each worker sits: its core, its listener and what it is there for. Knows nothing of what workers answer.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{AppFailure, failed};
use crate::config::Settings;
use crate::runtime::cores::CoreId;
use crate::runtime::{self, ListenOptions};

/// What a worker is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To serve callers, on a core of its own.
    Public,
    /// To serve those who watch over the server, wherever there is time.
    Admin,
}

/// A worker's place.
pub(super) struct Seat {
    pub(super) core: Option<CoreId>,
    pub(super) listener: TcpListener,
    pub(super) purpose: Purpose,
}

/// All places, those of callers first, and the addresses that they listen on.
pub(super) struct Seats {
    pub(super) all: Vec<Seat>,
    pub(super) public: SocketAddr,
    pub(super) admin: Option<SocketAddr>,
}

/// What the workers of so many cores are called in labels, the admin listener's last.
pub(super) fn names(settings: &Settings, cores: usize) -> Vec<String> {
    let admin = settings.admin.listen.map(|_| "admin".to_owned());
    (0..cores).map(|core| core.to_string()).chain(admin).collect()
}

/// Binds every listener.
pub(super) fn take(settings: &Settings, cores: &[Option<CoreId>]) -> Result<Seats, AppFailure> {
    let (public, listeners) = bind(settings, settings.server.listen, cores.len())?;
    let seat = |(&core, listener)| Seat { core, listener, purpose: Purpose::Public };
    let mut all: Vec<_> = cores.iter().zip(listeners).map(seat).collect();
    let mut admin = None;
    if let Some(wanted) = settings.admin.listen {
        let (address, listeners) = bind(settings, wanted, 1)?;
        let seat = |listener| Seat { core: None, listener, purpose: Purpose::Admin };
        all.extend(listeners.into_iter().map(seat));
        admin = Some(address);
    }
    Ok(Seats { all, public, admin })
}

fn bind(
    settings: &Settings,
    wanted: SocketAddr,
    workers: usize,
) -> Result<(SocketAddr, Vec<TcpListener>), AppFailure> {
    let in_use = |error: std::io::Error| failed(format!("cannot listen on {wanted}: {error}"));
    // With SO_REUSEPORT alone a second server would silently take half of the connections.
    let _turn = runtime::Turn::take(wanted).map_err(in_use)?;
    runtime::probe_free(wanted).map_err(in_use)?;
    let options = ListenOptions {
        backlog: i32::from(settings.server.backlog),
        write_stall: Duration::from_millis(settings.limits.write_timeout_ms),
    };
    let workers = NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN);
    let listeners = runtime::bind(wanted, workers, options).map_err(in_use)?;
    let address = listeners.first().map_or(Ok(wanted), TcpListener::local_addr).map_err(in_use)?;
    Ok((address, listeners))
}
