//! A worker: one thread pinned to one core, one runtime, one listener, and the connections it accepted.
//!
//! It owns every task it spawns and returns only when all have ended.

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::connection;
use super::live::LiveSettings;
use super::liveness::LivenessReplies;
use super::request::Exchanges;
use super::shares::Share;
use crate::api::Api;
use crate::config::Limits;
use crate::runtime::cores::{self, CoreId};
use crate::runtime::{
    self, BusyPoll, Engine, EngineError, EpollListener, ListenSocket, Listener, RingListener, Stream,
};
use crate::telemetry::access::AccessLines;
use crate::telemetry::metrics::{AskTurning, CoreMetrics, Turning};

/// How long a draining worker serves connections that rest, before it closes them. A client that has just read
/// a reply may be sending its next request; it gets an answer and `Connection: close` with it.
const DRAIN_REST: Duration = Duration::from_millis(250);

/// What the server is doing, in order of time. Told by the application to all workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Serving.
    Serving,
    /// Serving, but `/ready` says no, so that load balancers look away.
    Unready,
    /// Answering what has arrived, and closing.
    Draining,
    /// All is committed that ever will be: feeds tell of it, and end.
    Settled,
    /// The same, but the ledger has not said so.
    Unsettled,
}

/// What a worker needs to start.
pub struct Worker {
    /// Its number, from 0.
    pub index: usize,
    /// What its thread is called.
    pub name: String,
    /// The core it is pinned to, if the system named any.
    pub core: Option<CoreId>,
    /// What carries its sockets.
    pub engine: Engine,
    /// How it waits.
    pub busy_poll: BusyPoll,
    /// Where it accepts, alone or with other workers.
    pub listener: ListenSocket,
    /// Its share of a socket from which others accept too.
    pub share: Option<Share>,
    /// Bounds and deadlines.
    pub limits: Limits,
    /// Where it writes its access lines.
    pub access: AccessLines,
    /// What it counts with.
    pub metrics: CoreMetrics,
    /// Makes what it answers with, on its own thread.
    pub api: Box<dyn FnOnce() -> Api + Send>,
    /// What may change meanwhile, as it is and as it becomes.
    pub live: watch::Receiver<Arc<LiveSettings>>,
    /// Who asks whether it still turns.
    pub liveness: LivenessReplies,
    /// What the server is doing.
    pub stage: watch::Receiver<Stage>,
    /// How long accepting rests when descriptors or memory are short, so that it does not spin.
    pub accept_back_off: Duration,
    /// How long requests in flight get to end.
    pub drain_deadline: Duration,
    /// Told when it is about to accept for the first time; dropped if it never is.
    pub accepts: oneshot::Sender<()>,
    /// Hears when the worker's thread ends, also by a panic.
    pub ended: mpsc::Sender<usize>,
    /// Dropped when no connection can ask for anything any more: all that are left are WebSockets.
    pub unsettled: mpsc::Sender<Infallible>,
}

/// Tells that a thread ends, however it does.
struct TellsEnd(mpsc::Sender<usize>, usize);

impl Drop for TellsEnd {
    fn drop(&mut self) {
        // There is room for each worker's one message; nobody listens once the application has given up.
        let _ = self.0.try_send(self.1);
    }
}

/// Why a worker ended early.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No runtime.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The listener cannot be used.
    #[error("cannot use the listener: {0}")]
    Listener(io::Error),
}

impl Worker {
    /// Starts the worker's thread.
    pub fn start(self) -> io::Result<JoinHandle<Result<(), WorkerError>>> {
        let ended = TellsEnd(self.ended.clone(), self.index);
        std::thread::Builder::new().name(self.name.clone()).spawn(move || {
            let _ended = ended;
            self.run()
        })
    }

    fn run(self) -> Result<(), WorkerError> {
        if let Some(core) = self.core
            && let Err(error) = cores::pin(core)
        {
            tracing::warn!(core = core.id, %error, "cannot pin a worker to its core");
        }
        match self.engine {
            Engine::Uring(_) => runtime::block_on(self.engine, self.serve::<RingListener>())?,
            Engine::Epoll => runtime::block_on(self.engine, self.serve::<EpollListener>())?,
        }
    }

    async fn serve<L: Listener>(self) -> Result<(), WorkerError> {
        let mut listener = L::from_std(self.listener).map_err(WorkerError::Listener)?;
        self.metrics.settle(turning());
        let mut live = self.live;
        let exchanges = Rc::new(Exchanges::new((self.api)(), self.limits, self.access, self.metrics));
        exchanges.adopt(&live.borrow_and_update());
        let mut stage = self.stage;
        let mut connections = Connections::new(Rc::clone(&exchanges));
        let mut pause = None;
        let mut chores = chores(&exchanges, self.engine, self.busy_poll);
        chores.spawn_local(self.liveness.answer());
        // Nobody listens once the application has given up.
        let _ = self.accepts.send(());
        loop {
            tokio::select! {
                accepted = accept(&mut listener, pause, self.accept_back_off) => {
                    if let Some(stream) = accepted {
                        connections.admit(stream);
                    }
                    pause = connections.tell(self.share.as_ref());
                }
                Some(ended) = connections.tasks.join_next() => {
                    report(ended);
                    if connections.tell(self.share.as_ref()).is_none() {
                        pause = None;
                    }
                }
                Some(Err(ended)) = chores.join_next() => {
                    // Feeds or parked connections would be dead, and nobody would see it.
                    if ended.is_panic() {
                        std::panic::resume_unwind(ended.into_panic());
                    }
                }
                Ok(()) = live.changed() => exchanges.adopt(&live.borrow_and_update()),
                _ = stage.changed() => {
                    let now = *stage.borrow_and_update();
                    connections.exchanges.enter(now);
                    if now == Stage::Draining {
                        break;
                    }
                }
            }
        }
        for stream in listener.drain().await {
            connections.admit(stream);
        }
        connections.drain(self.drain_deadline, self.unsettled, stage).await;
        chores.shutdown().await;
        Ok(())
    }
}

/// How the loop of this thread turns, for whoever asks. Must be called inside [`runtime::block_on`].
fn turning() -> AskTurning {
    /// Of a runtime with one thread.
    const ONLY: usize = 0;
    let (tasks, counters) = (tokio::runtime::Handle::current().metrics(), runtime::counters());
    Box::new(move || {
        let counts = counters.read();
        Turning {
            wakeups: tasks.worker_park_count(ONLY),
            busy: tasks.worker_total_busy_duration(ONLY),
            completed: counts.completed,
            busy_turns: counts.busy_turns,
            idle_turns: counts.idle_turns,
            received_bytes: counts.received_bytes,
            sent_bytes: counts.sent_bytes,
            in_flight: counts.submitted.saturating_sub(counts.completed),
        }
    })
}

/// What a worker does beside its connections, for as long as it lives. Must be called where tasks of one thread
/// can be spawned, as inside [`runtime::block_on`].
pub fn chores(exchanges: &Rc<Exchanges>, engine: Engine, busy_poll: BusyPoll) -> JoinSet<()> {
    let mut chores = JoinSet::new();
    chores.spawn_local(runtime::busy_poll(engine, busy_poll));
    let turns = Rc::clone(exchanges);
    chores.spawn_local(async move { turns.turns.run(engine).await });
    let parking = Rc::clone(exchanges);
    chores.spawn_local(async move { parking.parking.tend().await });
    let feed = Rc::clone(exchanges);
    chores.spawn_local(async move { feed.feed().await });
    let access = Rc::clone(exchanges);
    chores.spawn_local(async move {
        access.access.keep_flushed().await;
    });
    chores
}

/// The connections of a worker.
struct Connections {
    exchanges: Rc<Exchanges>,
    tasks: JoinSet<()>,
    /// Turns true when resting connections are to close.
    closing: watch::Sender<bool>,
}

impl Connections {
    fn new(exchanges: Rc<Exchanges>) -> Self {
        Self { exchanges, tasks: JoinSet::new(), closing: watch::Sender::new(false) }
    }

    /// Serves a connection, or closes it at once when there are too many.
    fn admit(&mut self, stream: impl Stream) {
        if self.tasks.len() >= self.exchanges.limits.connections_per_core {
            tracing::debug!(peer = %stream.peer_addr(), "too many connections; closed a new one");
            return;
        }
        let exchanges = Rc::clone(&self.exchanges);
        let closing = self.closing.subscribe();
        self.tasks.spawn_local(connection::serve(stream, exchanges, closing));
    }

    /// Tells how many there are to those who share the socket; until when to accept none.
    fn tell(&self, share: Option<&Share>) -> Option<Instant> {
        let share = share?;
        share.is_now(self.tasks.len());
        share.pause()
    }

    /// Lets every connection end, and ends those that have not by the deadline. WebSockets end once nobody on any core
    /// can have something committed that they would miss.
    async fn drain(
        mut self,
        deadline: Duration,
        unsettled: mpsc::Sender<Infallible>,
        mut stage: watch::Receiver<Stage>,
    ) {
        let deadline = Instant::now() + deadline;
        let closing = self.closing;
        let close_resting = async {
            sleep(DRAIN_REST).await;
            closing.send_replace(true);
            std::future::pending::<()>().await;
        };
        let sockets = Rc::clone(&self.exchanges);
        let ended = async {
            let mut unsettled = Some(unsettled);
            loop {
                if self.tasks.len() == self.exchanges.sockets.count() {
                    unsettled = None;
                }
                tokio::select! {
                    ended = self.tasks.join_next() => match ended {
                        Some(ended) => report(ended),
                        None => break,
                    },
                    () = sockets.sockets.opened() => {}
                }
            }
            drop(unsettled);
        };
        let exchanges = Rc::clone(&self.exchanges);
        let settle = async {
            // An error means that the application has gone; the deadline is left.
            if let Ok(stage) = stage.wait_for(|&stage| stage >= Stage::Settled).await {
                exchanges.enter(*stage);
            }
            std::future::pending::<()>().await;
        };
        let all = async {
            tokio::select! {
                () = ended => {}
                () = close_resting => {}
                () = settle => {}
            }
        };
        if timeout_at(deadline, all).await.is_err() {
            tracing::warn!(connections = self.tasks.len(), "the deadline cut connections off");
            self.tasks.shutdown().await;
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

/// The next connection, not before `pause` is over. Rests after an error that would come again at once; others concern one connection that
/// has gone.
async fn accept<L: Listener>(
    listener: &mut L,
    pause: Option<Instant>,
    back_off: Duration,
) -> Option<L::Stream> {
    if let Some(over) = pause {
        sleep_until(over).await;
    }
    let error = match listener.accept().await {
        Ok(stream) => return Some(stream),
        Err(error) => error,
    };
    let transient = [libc::ECONNABORTED, libc::EINTR, libc::EPROTO];
    if !error.raw_os_error().is_some_and(|code| transient.contains(&code)) {
        tracing::warn!(%error, "cannot accept a connection");
        sleep(back_off).await;
    }
    None
}
