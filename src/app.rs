//! The composition root: from settings to a running server and back to nothing. The only file that knows
//! everything.
//!
//! Start: engine, store, key, sockets, lane, pool, workers. End, in reverse: workers drain, pool and lane stop,
//! the store closes. Every thread started here is joined here.

mod reload;
mod signals;
mod store;
mod workers;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use self::reload::reload_live;
use self::signals::{Signals, Wish};
pub use self::store::location;
use self::store::{accept, serving_location};
use self::workers::{busy_poll, worker_cores};
use crate::api::{self, About, Api, RateLimiter, RecentProblems, routes};
use crate::config::{self, AccessLog, IoMode, Live, Settings};
use crate::models::Currencies;
use crate::models::currency::{InvalidCode, Unit};
use crate::runtime::cores::{self, CoreId};
use crate::runtime::{self, CpuPool, CpuThreads, Engine, ListenOptions};
use crate::server::{Stage, Worker, WorkerError};
use crate::services::events::{self, Commits, CoreCommits};
use crate::services::posting::LaneThread;
use crate::services::tokens::KEY_FILE;
use crate::services::{Events, PostingLane, Services, SigningKey, Statements, Tickets, Tokens};
use crate::store::Store;
use crate::store::statements::StatementReader;
use crate::telemetry::access::Sampling;
use crate::telemetry::logging::Logging;
use crate::telemetry::metrics::{CoreMetrics, Metrics};

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

/// The key that signs tokens: the configured file, or the data directory's own, made when it is missing.
pub fn signing_key(settings: &Settings) -> Result<SigningKey, AppFailure> {
    let key = match &settings.auth.key_file {
        Some(file) => SigningKey::read(file),
        None => SigningKey::read_or_make(&settings.store.data_dir.join(KEY_FILE)),
    };
    key.map_err(|error| AppFailure::Configuration(error.to_string()))
}

/// Reads the settings again, for SIGHUP.
pub type Reload<'a> = &'a dyn Fn() -> Result<Settings, String>;

/// Runs the server until a signal ends it.
pub fn serve(settings: &Settings, reload: Reload<'_>, logging: &Logging) -> Result<(), AppFailure> {
    let choice = runtime::choose(io_mode(settings.runtime.io)).map_err(failed)?;
    let location = serving_location(settings, choice.engine)?;
    let lock = location.lock().map_err(failed)?;
    let store = Store::open(&location).map_err(store::refused)?;
    let key = signing_key(settings)?;
    accept(&store, &key)?;
    let cores = worker_cores(settings)?;
    raise_file_limit(settings, cores.len());
    if let Err(error) = runtime::keep_pages_small() {
        tracing::debug!(%error, "the kernel may make huge pages; idle connections then cost more memory");
    }
    // Before anything serves, so that no signal finds its default action.
    let control = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let signals = control.block_on(async { Signals::new() }).map_err(failed)?;
    let (address, listeners) = bind(settings, cores.len())?;
    let (commits, core_commits) = Commits::new(cores.len());
    let (lane, lane_thread) = start_lane(&store, settings, commits.clone())?;
    let (metrics, tallies) = metrics(settings, cores.len(), logging);
    let (pool, pool_threads) = start_pool(settings, &metrics)?;
    let rate_limiter = Arc::new(RateLimiter::off());
    rate_limiter.set(settings.rate_limit.per_second, settings.rate_limit.burst);
    let (tokens, tickets) = (Tokens::new(&key), Tickets::new(&key));
    let about = about(settings, &choice, &store);
    let blueprint = Blueprint { settings, store, tokens, tickets, lane, pool, rate_limiter, metrics, about };
    let counted = tallies.into_iter().zip(core_commits).collect();
    let server = Server::start(&blueprint, choice.engine, &cores, listeners, counted, logging)?;
    let listener = blueprint.store.listener();
    // The lane ends when the last handle to it is gone; from here on only the workers hold one.
    drop(blueprint);
    let pinned: Vec<_> = cores.iter().flatten().map(|core| core.id).collect();
    tracing::info!("listening on http://{address}");
    tracing::info!("I/O engine: {} ({})", choice.engine, choice.reason);
    tracing::info!("store: {}", server.store_description);
    tracing::info!("cores: {} workers, pinned to {pinned:?}", cores.len());
    let threads = Threads { lane: lane_thread, pool: pool_threads };
    let outcome = control.block_on(async {
        tokio::select! {
            outcome = server.run(signals, settings, reload, logging, threads) => outcome,
            () = events::relay(listener, &commits) => Err(failed("nobody listens for commits any more")),
        }
    });
    drop(lock);
    outcome
}

/// How much of the deadline of a drain is left to feeds of events, when requests take all that they may.
const FEEDS_END: Duration = Duration::from_secs(1);

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

fn bind(settings: &Settings, workers: usize) -> Result<(SocketAddr, Vec<TcpListener>), AppFailure> {
    let wanted = settings.server.listen;
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

fn start_lane(
    store: &Store,
    settings: &Settings,
    commits: Commits,
) -> Result<(PostingLane, LaneThread), AppFailure> {
    let writer = store.writer().map_err(failed)?;
    let limits = &settings.limits;
    PostingLane::start_telling(writer, limits.lane_queue, limits.lane_batch, commits).map_err(failed)
}

/// One thread a core: more idle-class threads a core would cost the light requests their tail.
fn start_pool(settings: &Settings, metrics: &Arc<Metrics>) -> Result<(CpuPool, CpuThreads), AppFailure> {
    let threads = NonZeroUsize::new(cores::allowed().len()).unwrap_or(NonZeroUsize::MIN);
    let metrics = Arc::clone(metrics);
    let observe = move |timing: runtime::Timing| {
        metrics.cpu_pool_queue.observe(timing.queue);
        metrics.cpu_pool_run.observe(timing.run);
    };
    CpuPool::start(threads, settings.limits.cpu_queue, observe).map_err(failed)
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

/// What is counted, and what each worker counts with.
fn metrics(settings: &Settings, workers: usize, logging: &Logging) -> (Arc<Metrics>, Vec<CoreMetrics>) {
    let rows = routes::labels(settings.runtime.bench_endpoints);
    let (metrics, tallies) = Metrics::new(env!("CARGO_PKG_VERSION"), rows, 0..workers, logging.dropped());
    (Arc::new(metrics), tallies)
}

/// What the dashboard tells of the process.
fn about(settings: &Settings, choice: &runtime::Choice, store: &Store) -> Arc<About> {
    Arc::new(About {
        version: env!("CARGO_PKG_VERSION"),
        engine: choice.engine.to_string(),
        engine_reason: choice.reason.clone(),
        store: store.describe(),
        settings: config::shown(settings),
    })
}

const fn sampling(access: AccessLog) -> Sampling {
    match access {
        AccessLog::All => Sampling::All,
        AccessLog::Sampled => Sampling::OneInHundred,
        AccessLog::Errors => Sampling::Errors,
        AccessLog::Off => Sampling::Off,
    }
}

/// What every worker's interface is made from.
struct Blueprint<'a> {
    settings: &'a Settings,
    store: Store,
    tokens: Tokens,
    tickets: Tickets,
    lane: PostingLane,
    pool: CpuPool,
    rate_limiter: Arc<RateLimiter>,
    metrics: Arc<Metrics>,
    about: Arc<About>,
}

impl Blueprint<'_> {
    /// Makes the interface of one worker, with a read connection of its own, on that worker's thread.
    fn api(
        &self,
        commits: CoreCommits,
        statements: StatementReader,
        recent: RecentProblems,
    ) -> Result<Box<dyn FnOnce() -> Api + Send>, AppFailure> {
        let reader = self.store.reader().map_err(failed)?;
        let (lane, pool) = (self.lane.for_core(), self.pool.clone());
        let (tokens, tickets) = (self.tokens.clone(), self.tickets.clone());
        let (metrics, about) = (Arc::clone(&self.metrics), Arc::clone(&self.about));
        let settings = self.settings;
        let (rate_limiter, currencies) = (Arc::clone(&self.rate_limiter), currencies(settings)?);
        let router = routes::router(settings.runtime.bench_endpoints);
        let (open_registration, token_ttl_s) = (settings.auth.open_registration, settings.auth.token_ttl_s);
        let metrics_public = settings.metrics.public;
        Ok(Box::new(move || {
            let reader = Rc::new(reader);
            let statements = Statements::new(statements);
            let events = Rc::new(Events::new(Rc::clone(&reader), commits, api::events::encode));
            Api {
                router,
                services: Services { reader, lane, pool, statements, tokens, tickets, events },
                rate_limiter,
                currencies,
                open_registration,
                token_ttl_s,
                metrics,
                metrics_public,
                about,
                recent,
                draining: false.into(),
            }
        }))
    }
}

/// The running workers.
struct Server {
    workers: Vec<JoinHandle<Result<(), WorkerError>>>,
    stage: watch::Sender<Stage>,
    ended: mpsc::Receiver<usize>,
    /// Ends when all workers are settled.
    unsettled: mpsc::Receiver<Infallible>,
    rate_limiter: Arc<RateLimiter>,
    store_description: String,
}

impl Server {
    fn start(
        blueprint: &Blueprint<'_>,
        engine: Engine,
        cores: &[Option<CoreId>],
        listeners: Vec<TcpListener>,
        counted: Vec<(CoreMetrics, CoreCommits)>,
        logging: &Logging,
    ) -> Result<Self, AppFailure> {
        let stage = watch::Sender::new(Stage::Serving);
        let (tells_end, ended) = mpsc::channel(cores.len());
        let (tells_unsettled, unsettled) = mpsc::channel(1);
        let settings = blueprint.settings;
        let mut workers = Vec::with_capacity(cores.len());
        let statements = blueprint.store.statement_readers(cores.len()).map_err(failed)?;
        let recent = RecentProblems::for_cores(cores.len());
        let parts = cores.iter().zip(listeners).zip(counted).zip(statements).zip(recent);
        for (index, ((((core, listener), (metrics, commits)), statements), recent)) in parts.enumerate() {
            let worker = Worker {
                index,
                core: *core,
                engine,
                busy_poll: busy_poll(settings),
                listener,
                limits: settings.limits.clone(),
                access: logging.access_lines(index, sampling(settings.log.access)),
                metrics,
                api: blueprint.api(commits, statements, recent)?,
                stage: stage.subscribe(),
                accept_back_off: Duration::from_millis(settings.server.accept_back_off_ms.into()),
                drain_deadline: Duration::from_millis(settings.shutdown.deadline_ms),
                ended: tells_end.clone(),
                unsettled: tells_unsettled.clone(),
            };
            workers.push(worker.start().map_err(failed)?);
        }
        let rate_limiter = Arc::clone(&blueprint.rate_limiter);
        let store_description = blueprint.store.describe();
        Ok(Self { workers, stage, ended, unsettled, rate_limiter, store_description })
    }

    /// Waits for a signal or a fault, then ends everything. A second signal ends the process at once, wherever
    /// the end has got to; the store is safe at any moment.
    async fn run(
        mut self,
        mut signals: Signals,
        settings: &Settings,
        reload: Reload<'_>,
        logging: &Logging,
        mut threads: Threads,
    ) -> Result<(), AppFailure> {
        let fault = self.watch(&mut signals, settings, reload, logging, &mut threads.lane).await;
        let end = async {
            let delay = Duration::from_millis(settings.shutdown.drain_delay_ms);
            self.drain(delay, Duration::from_millis(settings.shutdown.deadline_ms)).await;
            // What a worker died of says more than that it did.
            if let Err(failure) = self.join() {
                // A worker that panicked has leaked its handles, so the lane would never end.
                std::mem::forget(threads);
                return Err(failure);
            }
            threads.end(Duration::from_millis(settings.shutdown.deadline_ms)).await
        };
        // The process ends inside the future: were `end` dropped first, it would wait for the pool's running jobs.
        let cut_short = async {
            let signal = signals.end().await;
            // Not by the log, whose thread ends with the process before it has written.
            eprintln!("ringledger: {signal} while draining: stopping now");
            std::process::exit(1)
        };
        let ended = tokio::select! {
            ended = end => ended,
            never = cut_short => never,
        };
        tracing::info!(dropped_log_lines = logging.dropped_lines(), "stopped");
        ended.and(fault.map_or(Ok(()), Err))
    }

    /// Returns `None` at a signal to end, or the fault that ends the server.
    async fn watch(
        &mut self,
        signals: &mut Signals,
        settings: &Settings,
        reload: Reload<'_>,
        logging: &Logging,
        lane: &mut LaneThread,
    ) -> Option<AppFailure> {
        let mut live = Live::from(settings);
        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::End(signal) => {
                        tracing::info!(signal, "draining");
                        return None;
                    }
                    Wish::Reload => reload_live(&mut live, reload, logging, &self.rate_limiter),
                },
                Some(index) = self.ended.recv() => {
                    return Some(AppFailure::Failed(format!("worker {index} ended by itself")));
                }
                () = lane.ended() => return Some(AppFailure::Failed("the posting lane ended by itself".into())),
            }
        }
    }

    /// Lets load balancers look away, then has the workers answer what has arrived, then has feeds tell what came of
    /// it. Feeds keep a part of the deadline.
    async fn drain(&mut self, delay: Duration, deadline: Duration) {
        self.stage.send_replace(Stage::Unready);
        tokio::time::sleep(delay).await;
        self.stage.send_replace(Stage::Draining);
        let settles = deadline.saturating_sub(FEEDS_END.min(deadline / 2));
        // What is not settled by then is about to be cut off.
        let _ = tokio::time::timeout(settles, self.unsettled.recv()).await;
        self.stage.send_replace(Stage::Settled);
        for worker in &self.workers {
            while !worker.is_finished() {
                if self.ended.recv().await.is_none() {
                    return;
                }
                // The thread has told its end as its last act; what remains of it takes microseconds.
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        }
    }

    fn join(&mut self) -> Result<(), AppFailure> {
        let mut outcome = Ok(());
        for worker in self.workers.drain(..) {
            let ended = match worker.join() {
                Ok(ended) => ended.map_err(failed),
                Err(_) => Err(AppFailure::Failed("a worker panicked".into())),
            };
            outcome = outcome.and(ended);
        }
        outcome
    }
}

/// The threads beside the workers.
struct Threads {
    lane: LaneThread,
    pool: CpuThreads,
}

impl Threads {
    /// Waits for the lane to store what it has accepted and for the pool's running jobs. Nobody waits for those
    /// any more, and at `SCHED_IDLE` they may take for ever: past the deadline they end with the process.
    async fn end(self, deadline: Duration) -> Result<(), AppFailure> {
        let (tell, ended) = oneshot::channel();
        let joining = std::thread::Builder::new().name("last-joins".into()).spawn(move || {
            let lane = self.lane.join();
            // The receiver lives until both have come or the process ends.
            let _ = tell.send(lane);
            self.pool.stop();
        });
        let joining = joining.map_err(failed)?;
        let lane = ended.await.map_err(failed)?.map_err(failed);
        let give_up = tokio::time::Instant::now() + deadline;
        while !joining.is_finished() {
            if tokio::time::Instant::now() >= give_up {
                tracing::warn!("a job of the CPU pool outlasts the deadline; it ends with the process");
                return lane;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        lane
    }
}

/// What the log lets through: the directive list, or the level for everything.
pub fn log_directives(settings: &Settings) -> String {
    settings.log.filter.clone().unwrap_or_else(|| settings.log.level.to_string())
}
