//! Where each worker sits: its core, its listener and what it is there for. Knows nothing of what workers answer.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::time::Duration;

use super::{AppFailure, failed};
use crate::config::Settings;
use crate::runtime::cores::CoreId;
use crate::runtime::{self, ListenOptions, ListenSocket};
use crate::server::Share;

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
    pub(super) listener: ListenSocket,
    pub(super) share: Option<Share>,
    pub(super) purpose: Purpose,
}

/// All places, those of callers first, and the addresses that they listen on.
pub(super) struct Seats {
    pub(super) all: Vec<Seat>,
    pub(super) addresses: Addresses,
}

/// Where callers and those who watch over the server find it.
pub(super) struct Addresses {
    /// Each once; several only of inherited sockets.
    public: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    /// What `server.listen` says, where inherited sockets stand in for it.
    unused: Option<SocketAddr>,
}

impl Addresses {
    /// The addresses for callers.
    pub(super) fn public(&self) -> String {
        let addresses: Vec<_> = self.public.iter().map(|address| format!("http://{address}")).collect();
        addresses.join(", ")
    }

    /// Tells the log.
    pub(super) fn tell(&self) {
        match self.unused {
            None => tracing::info!("listening on {}", self.public()),
            Some(wanted) if self.public == [wanted] => {
                tracing::info!("listening on {}, a socket of the service manager's", self.public());
            }
            Some(wanted) => tracing::info!(
                "listening on {}, a socket of the service manager's; server.listen ({wanted}) is not used",
                self.public()
            ),
        }
        if let Some(admin) = self.admin {
            tracing::info!("admin listener on http://{admin}");
        }
    }
}

/// What the workers of so many cores are called in labels, the admin listener's last.
pub(super) fn names(settings: &Settings, cores: usize) -> Vec<String> {
    let admin = settings.admin.listen.map(|_| "admin".to_owned());
    (0..cores).map(|core| core.to_string()).chain(admin).collect()
}

/// The sockets that the process was started with.
pub(super) fn inherited(settings: &Settings) -> Result<Vec<ListenSocket>, AppFailure> {
    runtime::inherited(write_stall(settings)).map_err(|error| AppFailure::Configuration(error.to_string()))
}

/// Binds every listener, but for callers only where none was inherited.
pub(super) fn take(
    settings: &Settings,
    cores: &[Option<CoreId>],
    inherited: &[ListenSocket],
) -> Result<Seats, AppFailure> {
    let wanted = settings.server.listen;
    let (public, listeners) = if inherited.is_empty() {
        let (address, listeners) = bind(settings, wanted, cores.len())?;
        (vec![address], listeners)
    } else {
        deal(inherited, cores.len())?
    };
    let mut all: Vec<_> = cores.iter().zip(listeners).map(|(&core, listener)| seat(core, listener)).collect();
    if inherited.len() == 1 {
        let shares = Share::of_each(all.len());
        all.iter_mut().zip(shares).for_each(|(seat, share)| seat.share = Some(share));
    }
    let unused = (!inherited.is_empty()).then_some(wanted);
    let mut addresses = Addresses { public, admin: None, unused };
    if let Some(wanted) = settings.admin.listen {
        let (address, listeners) = bind(settings, wanted, 1)?;
        let seat = |listener| Seat { purpose: Purpose::Admin, ..seat(None, listener) };
        all.extend(listeners.into_iter().map(seat));
        addresses.admin = Some(address);
    }
    Ok(Seats { all, addresses })
}

/// A place for callers, with a socket that no other place has.
const fn seat(core: Option<CoreId>, listener: ListenSocket) -> Seat {
    Seat { core, listener, share: None, purpose: Purpose::Public }
}

/// Inherited sockets for so many workers, and their addresses.
fn deal(
    inherited: &[ListenSocket],
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<ListenSocket>), AppFailure> {
    if inherited.len() > workers {
        return Err(AppFailure::Configuration(format!(
            "{} listening sockets were passed for {workers} workers, and each needs a worker that accepts from it: pass \
             one for all (`[::]:8080` takes IPv4 too), or raise runtime.workers",
            inherited.len()
        )));
    }
    let mut addresses = Vec::new();
    for socket in inherited {
        let address = socket.local_addr().map_err(failed)?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    let workers = NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN);
    Ok((addresses, runtime::deal(inherited, workers).map_err(failed)?))
}

fn bind(
    settings: &Settings,
    wanted: SocketAddr,
    workers: usize,
) -> Result<(SocketAddr, Vec<ListenSocket>), AppFailure> {
    let in_use = |error: std::io::Error| failed(format!("cannot listen on {wanted}: {error}"));
    // With SO_REUSEPORT alone a second server would silently take half of the connections.
    let _turn = runtime::Turn::take(wanted).map_err(in_use)?;
    runtime::probe_free(wanted).map_err(in_use)?;
    let options =
        ListenOptions { backlog: i32::from(settings.server.backlog), write_stall: write_stall(settings) };
    let workers = NonZeroUsize::new(workers).unwrap_or(NonZeroUsize::MIN);
    let listeners = runtime::bind(wanted, workers, options).map_err(in_use)?;
    let address = listeners.first().map_or(Ok(wanted), TcpListener::local_addr).map_err(in_use)?;
    Ok((address, listeners.into_iter().map(ListenSocket::from).collect()))
}

const fn write_stall(settings: &Settings) -> Duration {
    Duration::from_millis(settings.limits.write_timeout_ms)
}
