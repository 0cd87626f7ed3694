//! What the service manager is told (`sd_notify(3)`): that the server is ready, reloads, stops, and is alive. Nobody is told
//! where `NOTIFY_SOCKET` names none. Knows nothing of how the server does any of it.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::pin::pin;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{sleep, timeout};

use crate::server::LivenessProbe;
use crate::services::posting::LaneProbe;

/// Everything is there and serves; `status` is the line that `systemctl status` shows.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The settings are being read again, until [`ready`].
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reloading the settings")]),
        Err(error) => tracing::warn!(%error, "cannot tell the service manager of a reload"),
    }
}

/// The server answers what has arrived, and ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

fn tell(states: &[NotifyState<'_>]) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    if let Err(error) = send(&name, states) {
        tracing::warn!(%error, "cannot tell the service manager how the server is");
    }
}

/// One message to the socket of this name. `sd_notify::notify` does the same, but not for abstract names, which some
/// container managers use.
fn send(name: &OsStr, states: &[NotifyState<'_>]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    let lines: Vec<_> = states.iter().map(ToString::to_string).collect();
    socket.send(lines.join("\n").as_bytes()).map(drop)
}

/// Those whose turning is the server's life, by name.
pub(super) struct Watchdog {
    pub(super) workers: Vec<(String, LivenessProbe)>,
    pub(super) lane: LaneProbe,
}

impl Watchdog {
    /// Tells the service manager twice within each `WATCHDOG_USEC` that all of them turn. While one does not, nothing is
    /// told, so that a server that is stuck is ended and started again. A lane whose store is away does turn.
    pub(super) async fn run(self) -> Infallible {
        let limit = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero());
        let Some(limit) = limit else { std::future::pending().await };
        let every = limit / 2;
        loop {
            sleep(every).await;
            for (name, worker) in &self.workers {
                wait_for(name, worker.turns(), every).await;
            }
            wait_for("posting-lane", self.lane.turns(), every).await;
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Waits for one of them, and names it if that takes long.
async fn wait_for(name: &str, turns: impl Future<Output = ()>, every: Duration) {
    let mut turns = pin!(turns);
    if timeout(every, &mut turns).await.is_err() {
        tracing::error!(thread = name, "a thread is stuck; the service manager will end the process");
        turns.await;
        tracing::warn!(thread = name, "the thread goes on");
    }
}
