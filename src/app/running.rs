//! The workers from their start to their end: what they are asked to do, what is watched meanwhile, and the stages of a
//! drain. Knows nothing of where their parts come from.

use std::convert::Infallible;
use std::pin::pin;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::blueprint::Blueprint;
use super::reload::Reloader;
use super::seats::{Addresses, Purpose, Seat};
use super::signals::{Signals, Wish};
use super::supervision::{self, Watchdog};
use super::threads::Threads;
use super::workers::busy_poll;
use super::{AppFailure, failed, sampling};
use crate::api::RecentProblems;
use crate::config::Settings;
use crate::runtime::cores::CoreId;
use crate::runtime::{self, BusyPoll, Engine};
use crate::server::{Stage, Worker, WorkerError, liveness};
use crate::services::PostingLane;
use crate::services::events::CoreCommits;
use crate::services::posting::LaneThread;
use crate::telemetry::logging::Logging;
use crate::telemetry::metrics::CoreMetrics;

/// How much of the deadline of a drain is left to feeds of events, when requests take all that they may. Those that
/// change the ledger only then are refused, or feeds could not tell of them.
const FEEDS_END: Duration = Duration::from_secs(1);
/// How much of that the lane has for its last commit, when it was not asked before.
const LANE_ENDS: Duration = Duration::from_millis(500);

/// The running workers.
pub(super) struct Running {
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

impl Running {
    pub(super) fn start(
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
    pub(super) async fn accepts(&mut self) -> bool {
        for accepts in self.accepting.drain(..) {
            if accepts.await.is_err() {
                return false;
            }
        }
        true
    }

    /// Tells the log and the service manager that it serves.
    pub(super) fn tell(&self, addresses: &Addresses, choice: &runtime::Choice, cores: &[Option<CoreId>]) {
        let pinned: Vec<_> = cores.iter().flatten().map(|core| core.id).collect();
        addresses.tell();
        tracing::info!("I/O engine: {} ({})", choice.engine, choice.reason);
        tracing::info!("store: {}", self.store_description);
        tracing::info!("cores: {} workers, pinned to {pinned:?}", cores.len());
        supervision::ready(&format!("serving on {} by {}", addresses.public(), choice.engine));
    }

    /// Waits for a signal or a fault, then ends everything. A second signal ends the process at once, wherever
    /// the end has got to; the store is safe at any moment.
    pub(super) async fn run(
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
