//! A TCP proxy before a server that misbehaves on demand. Its bytes are only looked at to find a `COMMIT`.

mod messages;
mod relay;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::{Cluster, Error};

/// A proxy on a port of 127.0.0.1, gone with this value.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

/// Which part of a commit is lost on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitLoss {
    /// The server never hears of it and rolls back.
    Request,
    /// The server gets it and commits; the client is cut off before it can hear so, which may be before it is done.
    Answer,
}

/// Tells when a trap has sprung.
#[derive(Debug)]
pub struct Sprung(mpsc::Receiver<()>);

/// What all connections look at.
#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    state: watch::Sender<State>,
    trap: Mutex<Option<Armed>>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    flow: Flow,
    /// How often connections were cut.
    cuts: u64,
    closed: bool,
}

/// What happens to the bytes.
#[derive(Debug, Clone, Copy)]
enum Flow {
    Pass,
    /// Each piece of an answer is held so long.
    Delay(Duration),
    /// Held, both ways, until this ends.
    Stall,
}

#[derive(Debug)]
struct Armed {
    trap: Trap,
    sprung: mpsc::Sender<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trap {
    Commit(CommitLoss),
    /// The next answer, after so many bytes of it.
    Answer(usize),
}

impl Proxy {
    /// A proxy before a cluster, which passes everything on.
    pub fn before(cluster: &Cluster) -> Result<Self, Error> {
        Self::to((Ipv4Addr::LOCALHOST, cluster.port()).into()).map_err(Error::system("starting a proxy"))
    }

    fn to(server: SocketAddr) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let state = State { flow: Flow::Pass, cuts: 0, closed: false };
        let shared = Arc::new(Shared { server, state: watch::Sender::new(state), trap: Mutex::default() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || runtime.block_on(serve(listener, serving)))?;
        Ok(Self { shared, port, thread: Some(thread) })
    }

    /// Where it listens on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Passes bytes on, those that were held first.
    pub fn pass(&self) {
        self.flow(Flow::Pass);
    }

    /// Holds each piece of an answer for so long.
    pub fn delay(&self, by: Duration) {
        self.flow(Flow::Delay(by));
    }

    /// Accepts connections and passes nothing on.
    pub fn stall(&self) {
        self.flow(Flow::Stall);
    }

    fn flow(&self, flow: Flow) {
        self.shared.state.send_modify(|state| state.flow = flow);
    }

    /// Resets all connections of this moment.
    pub fn cut(&self) {
        self.shared.state.send_modify(|state| state.cuts += 1);
    }

    /// Has the next `COMMIT` that is sent, or its answer, never arrive: its connection is reset instead.
    pub fn lose_next_commit(&self, loss: CommitLoss) -> Sprung {
        self.arm(Trap::Commit(loss))
    }

    /// Has the next answer end in a reset after so many bytes, unless it is shorter.
    pub fn cut_next_answer_after(&self, bytes: usize) -> Sprung {
        self.arm(Trap::Answer(bytes))
    }

    fn arm(&self, trap: Trap) -> Sprung {
        let (sprung, seen) = mpsc::channel();
        *self.shared.armed() = Some(Armed { trap, sprung });
        Sprung(seen)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.state.send_modify(|state| state.closed = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Sprung {
    /// Waits for it; whether it came.
    pub fn wait(&self, within: Duration) -> bool {
        self.0.recv_timeout(within).is_ok()
    }
}

impl Shared {
    fn armed(&self) -> MutexGuard<'_, Option<Armed>> {
        self.trap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is armed if `wanted` finds it to be for it.
    fn spring<T>(&self, wanted: impl FnOnce(Trap) -> Option<T>) -> Option<T> {
        let mut armed = self.armed();
        let found = wanted(armed.as_ref()?.trap)?;
        if let Some(Armed { sprung, .. }) = armed.take() {
            // Nobody need wait for it.
            let _ = sprung.send(());
        }
        Some(found)
    }
}

/// Accepts until the proxy is dropped; then all connections go with the tasks.
async fn serve(listener: StdListener, shared: Arc<Shared>) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let mut state = shared.state.subscribe();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = state.wait_for(|state| state.closed) => return,
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    connections.spawn(relay::relay(client, Arc::clone(&shared)));
                }
            }
        }
    }
}
