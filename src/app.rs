//! The composition root: from settings to a running server and back to nothing. The only file that knows
//! everything.
//!
//! Start: engine, store, key, sockets, lane, pool, workers. End, in reverse: workers drain, pool and lane stop,
//! the store closes. Every thread started here is joined here.

pub mod build;
mod measured;
mod reload;
mod seats;
mod signals;
mod start;
mod store;
mod supervision;
mod threads;
mod watched;
mod workers;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use self::build::BUILD;
use self::measured::{metrics, scraper, start_lane, start_pool};
use self::reload::Reloader;
use self::seats::{Addresses, Purpose, Seat};
use self::signals::{Signals, Wish};
pub use self::start::Start;
pub use self::store::location;
use self::store::{accept, lock, longest_end, serving_location};
use self::supervision::Watchdog;
use self::threads::Threads;
use self::workers::{busy_poll, worker_cores};
use crate::api::{self, About, Api, RateLimiter, RecentProblems, routes};
use crate::config::{self, AccessLog, IoMode, Settings};
use crate::models::Currencies;
use crate::models::currency::{InvalidCode, Unit};
use crate::runtime::cores::{self, CoreId};
use crate::runtime::{self, BusyPoll, CpuPool, Engine};
use crate::server::{LiveSettings, Stage, Worker, WorkerError, liveness};
use crate::services::events::{self, Commits, CoreCommits, Followers, Places};
use crate::services::posting::LaneThread;
use crate::services::tokens::{KEY_FILE, KeyError};
use crate::services::{Events, Keyring, PostingLane, Services, SigningKey, Statements, Tickets, Tokens};
use crate::store::Store;
use crate::store::statements::StatementReader;
use crate::telemetry::access::Sampling;
use crate::telemetry::logging::Logging;
use crate::telemetry::metrics::{CoreMetrics, Scraper};
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
    let (mut server, watchdog) = Server::start(&blueprint, choice.engine, seats.all, counted, logging)?;
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

/// How much of the deadline of a drain is left to feeds of events, when requests take all that they may. Those that
/// change the ledger only then are refused, or feeds could not tell of them.
const FEEDS_END: Duration = Duration::from_secs(1);
/// How much of that the lane has for its last commit, when it was not asked before.
const LANE_ENDS: Duration = Duration::from_millis(500);

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

/// What every worker's interface is made from.
struct Blueprint<'a> {
    settings: &'a Settings,
    store: Store,
    tokens: Tokens,
    tickets: Tickets,
    followers: Followers,
    lane: PostingLane,
    pool: CpuPool,
    rate_limiter: Arc<RateLimiter>,
    live: &'a watch::Sender<Arc<LiveSettings>>,
    scraper: Option<Scraper>,
}

impl Blueprint<'_> {
    /// What is still of use once all workers are made. The lane ends when the last handle to it is gone; from here on
    /// only workers hold one.
    fn into_kept(self) -> (Store, Arc<RateLimiter>) {
        (self.store, self.rate_limiter)
    }

    /// Makes the interface of one worker, with a read connection of its own, on that worker's thread.
    fn api(
        &self,
        commits: CoreCommits,
        statements: StatementReader,
        purpose: Purpose,
        recent: RecentProblems,
    ) -> Result<Box<dyn FnOnce() -> Api + Send>, AppFailure> {
        let reader = self.store.reader().map_err(failed)?;
        let (lane, pool) = (self.lane.for_core(), self.pool.clone());
        let (tokens, tickets) = (self.tokens.clone(), self.tickets.clone());
        let (metrics, about) = (self.scraper.clone(), Arc::clone(&self.live.borrow().about));
        let settings = self.settings;
        let (rate_limiter, currencies) = (Arc::clone(&self.rate_limiter), currencies(settings)?);
        let router = match purpose {
            Purpose::Public => routes::router(settings.runtime.bench_endpoints),
            Purpose::Admin => routes::admin_router(settings.runtime.bench_endpoints),
        };
        let (open_registration, token_ttl_s) = (settings.auth.open_registration, settings.auth.token_ttl_s);
        let metrics_public = settings.metrics.public.into();
        let (per_core, per_user) = (settings.limits.sockets_per_core, settings.limits.sockets_per_user);
        let followers = self.followers.clone();
        Ok(Box::new(move || {
            if purpose == Purpose::Admin {
                cores::let_others_first();
            }
            let reader = Rc::new(reader);
            let statements = Statements::new(statements);
            let (places, turns) = (Places::new(per_core, per_user, followers), Rc::default());
            let events =
                Events::new(Rc::clone(&reader), commits, places, Rc::clone(&turns), api::events::encode);
            let events = Rc::new(events);
            Api {
                router,
                services: Services { reader, lane, pool, statements, tokens, tickets, events, turns },
                rate_limiter,
                currencies,
                open_registration,
                token_ttl_s,
                metrics,
                metrics_public,
                is_admin: purpose == Purpose::Admin,
                about: about.into(),
                recent,
                draining: false.into(),
            }
        }))
    }
}

/// The running workers.
struct Server {
    workers: Vec<JoinHandle<Result<(), WorkerError>>>,
    /// Each worker's word that it accepts.
    accepting: Vec<oneshot::Receiver<()>>,
    stage: watch::Sender<Stage>,
    /// Settled at the end; it ends when this handle has gone too.
    lane: Option<PostingLane>,
    ended: mpsc::Receiver<usize>,
    /// Ends when all workers are settled.
    unsettled: mpsc::Receiver<Infallible>,
    store_description: String,
}

impl Server {
    fn start(
        blueprint: &Blueprint<'_>,
        engine: Engine,
        seats: Vec<Seat>,
        counted: Vec<(CoreMetrics, CoreCommits)>,
        logging: &Logging,
    ) -> Result<(Self, Watchdog), AppFailure> {
        let stage = watch::Sender::new(Stage::Serving);
        let (tells_end, ended) = mpsc::channel(seats.len());
        let (tells_unsettled, unsettled) = mpsc::channel(1);
        let settings = blueprint.settings;
        let (mut workers, mut accepting) = (Vec::with_capacity(seats.len()), Vec::with_capacity(seats.len()));
        let mut watchdog = Watchdog { workers: Vec::new(), lane: blueprint.lane.probe() };
        let statements = blueprint.store.statement_readers(seats.len()).map_err(failed)?;
        let recent = RecentProblems::for_cores(seats.len());
        let parts = seats.into_iter().zip(counted).zip(statements).zip(recent);
        for (index, (((seat, (metrics, commits)), statements), recent)) in parts.enumerate() {
            let Seat { core, listener, share, purpose } = seat;
            let (name, busy_poll) = match purpose {
                Purpose::Public => (format!("worker-{index}"), busy_poll(settings)),
                Purpose::Admin => ("admin".to_owned(), BusyPoll::Off),
            };
            let (probe, liveness) = liveness();
            watchdog.workers.push((name.clone(), probe));
            let (accepts, accepted) = oneshot::channel();
            accepting.push(accepted);
            let worker = Worker {
                index,
                name,
                core,
                engine,
                busy_poll,
                listener,
                share,
                limits: settings.limits.clone(),
                access: logging.access_lines(index, sampling(settings.log.access)),
                metrics,
                api: blueprint.api(commits, statements, purpose, recent)?,
                live: blueprint.live.subscribe(),
                liveness,
                stage: stage.subscribe(),
                accept_back_off: Duration::from_millis(settings.server.accept_back_off_ms.into()),
                drain_deadline: Duration::from_millis(settings.shutdown.deadline_ms),
                accepts,
                ended: tells_end.clone(),
                unsettled: tells_unsettled.clone(),
            };
            workers.push(worker.start().map_err(failed)?);
        }
        let store_description = blueprint.store.describe();
        let lane = Some(blueprint.lane.clone());
        Ok((Self { workers, accepting, stage, lane, ended, unsettled, store_description }, watchdog))
    }

    /// Waits until every worker accepts. Where it is false one has ended instead, which [`Self::run`] deals with.
    async fn accepts(&mut self) -> bool {
        for accepts in self.accepting.drain(..) {
            if accepts.await.is_err() {
                return false;
            }
        }
        true
    }

    /// Tells the log and the service manager that it serves.
    fn tell(&self, addresses: &Addresses, choice: &runtime::Choice, cores: &[Option<CoreId>]) {
        let pinned: Vec<_> = cores.iter().flatten().map(|core| core.id).collect();
        addresses.tell();
        tracing::info!("I/O engine: {} ({})", choice.engine, choice.reason);
        tracing::info!("store: {}", self.store_description);
        tracing::info!("cores: {} workers, pinned to {pinned:?}", cores.len());
        supervision::ready(&format!("serving on {} by {}", addresses.public(), choice.engine));
    }

    /// Waits for a signal or a fault, then ends everything. A second signal ends the process at once, wherever
    /// the end has got to; the store is safe at any moment.
    async fn run(
        mut self,
        mut signals: Signals,
        settings: &Settings,
        mut reloader: Reloader<'_>,
        mut threads: Threads,
    ) -> Result<(), AppFailure> {
        let fault = self.watch(&mut signals, &mut reloader, &mut threads.lane).await;
        supervision::stopping();
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
        tracing::info!(dropped_log_lines = reloader.logging().dropped_lines(), "stopped");
        ended.and(fault.map_or(Ok(()), Err))
    }

    /// Returns `None` at a signal to end, or the fault that ends the server.
    async fn watch(
        &mut self,
        signals: &mut Signals,
        reloader: &mut Reloader<'_>,
        lane: &mut LaneThread,
    ) -> Option<AppFailure> {
        // One wish that waits is enough: whatever it is about is read later.
        let (ask, asked) = mpsc::channel(1);
        let mut reloads = pin!(reloader.run(asked));
        loop {
            tokio::select! {
                wish = signals.next() => match wish {
                    Wish::End(signal) => {
                        tracing::info!(signal, "draining");
                        return None;
                    }
                    Wish::Reload => drop(ask.try_send("SIGHUP")),
                },
                never = &mut reloads => match never {},
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
        let settles = Instant::now() + deadline.saturating_sub(FEEDS_END.min(deadline / 2));
        // What is not settled by then is about to be cut off; the ledger takes nothing more of it.
        let _ = timeout_at(settles, self.unsettled.recv()).await;
        let is_settled = self.settle_lane(settles.max(Instant::now() + LANE_ENDS.min(deadline / 4))).await;
        self.stage.send_replace(if is_settled { Stage::Settled } else { Stage::Unsettled });
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

    /// Whether the lane has said in time that all is committed that ever will be. A client may have gone while its
    /// command was on its way: the command is stored all the same, and readers of events are told of it.
    async fn settle_lane(&mut self, by: Instant) -> bool {
        let Some(lane) = self.lane.take() else { return false };
        matches!(timeout_at(by, lane.settle()).await, Ok(Ok(_)))
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

/// What the log lets through: the directive list, or the level for everything.
pub fn log_directives(settings: &Settings) -> String {
    settings.log.filter.clone().unwrap_or_else(|| settings.log.level.to_string())
}

/// Where spans go, if anywhere.
pub fn collector(settings: &Settings) -> Option<Collector> {
    let endpoint = settings.otlp.endpoint.clone()?;
    Some(Collector { endpoint, sample_percent: settings.otlp.sample_percent, version: BUILD.version })
}
