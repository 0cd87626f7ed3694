//! The posting lane: the one way to change the ledger.
//!
//! Commands queue up while the previous batch commits; then all that wait are one batch, decided by the pure
//! rule and stored in one transaction. The batch is the group commit: there is no timer, so one lone command
//! waits for nobody and a crowd shares one sync. Knows nothing of HTTP.

mod delivery;
mod results;
mod round;
mod sweep;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tracing::{Instrument, Span};

use self::delivery::{Delivery, Outbox};
pub use self::results::RESULTS;
pub use self::round::Round;
use self::round::{Log, Observe, Times};
use self::sweep::{Expired, Sweep};
use super::events::Commits;
use super::now;
use crate::models::Head;
use crate::models::posting::{Command, Outcome};
use crate::store::{StoreError, Writer};
use crate::telemetry::split::{Part, spent};

/// A handle to the lane. A clone belongs to the same core; [`PostingLane::for_core`] makes one for another.
#[derive(Debug, Clone)]
pub struct PostingLane {
    queue: mpsc::Sender<Job>,
    questions: mpsc::Sender<Question>,
    probe: LaneProbe,
    /// Transfers of the batches that wait.
    batched: Arc<AtomicUsize>,
    core: u32,
    /// How many cores there are.
    cores: Arc<AtomicU32>,
}

/// Asks the lane whether its thread turns. The lane ends without regard to it.
#[derive(Debug, Clone)]
pub struct LaneProbe(mpsc::Sender<oneshot::Sender<()>>);

/// The lane's thread.
#[derive(Debug)]
pub struct LaneThread {
    thread: JoinHandle<Result<(), StoreError>>,
    ended: oneshot::Receiver<()>,
}

/// A command that waits for the lane, who waits for its outcome, and on which core.
#[derive(Debug)]
struct Job {
    command: Command,
    waiter: Waiter,
    core: u32,
    submitted: Instant,
    /// Of the request that asks; disabled unless requests are logged so closely.
    span: Span,
    /// Its share of what batches may wait at once; given back when it is taken.
    _share: Option<Share>,
}

/// What the lane is asked past the commands that wait.
#[derive(Debug)]
enum Question {
    /// Whether the store answers.
    Check(Reply<Head>),
    /// To end with what it has taken, and to say when that is stored.
    Settle(Reply<Head>),
}

/// Transfers of batches that may wait at once, some seconds of commits: what a newcomer may have to wait for. One batch
/// may always wait.
const BATCHED_TRANSFERS: usize = 65_536;
/// Questions that may wait: one for each probe of a load balancer, and more than anybody asks at once.
const QUESTIONS: usize = 64;
/// Probes that may wait: whoever probes waits for the answer before the next one.
const PROBES: usize = 1;

/// A share of [`BATCHED_TRANSFERS`].
#[derive(Debug)]
struct Share(Arc<AtomicUsize>, usize);

impl Share {
    fn take(all: &Arc<AtomicUsize>, transfers: usize) -> Result<Self, LaneError> {
        let share = Self(Arc::clone(all), transfers);
        let before = all.fetch_add(transfers, Ordering::Relaxed);
        if before > 0 && before + transfers > BATCHED_TRANSFERS { Err(LaneError::Full) } else { Ok(share) }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

type Reply<T> = oneshot::Sender<Result<T, LaneError>>;
type Waiter = oneshot::Sender<Delivery>;

/// Why the lane has no outcome. In each case the command is not known to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LaneError {
    /// The queue is full.
    #[error("the posting lane's queue is full")]
    Full,
    /// The lane has ended.
    #[error("the posting lane has ended")]
    Ended,
    /// The store did not take the batch; the log says why.
    #[error("the store did not take the batch")]
    Store,
}

impl PostingLane {
    /// Starts the lane's thread. `queue_commands` bounds what waits for the next batch; beyond it callers are
    /// told to come again. `batch_commands` bounds a batch, by [`Command::weight`]: the time of one commit, and with
    /// it what a newcomer waits for. A heavier command is a batch of its own.
    pub fn start(
        writer: Writer,
        queue_commands: usize,
        batch_commands: usize,
    ) -> std::io::Result<(Self, LaneThread)> {
        Self::start_telling(writer, queue_commands, batch_commands, Commits::default(), |_| ())
    }

    /// The same; `commits` tells those who wait for what is committed, `observe` is told of each batch on the lane's
    /// thread, just before its callers are.
    pub fn start_telling(
        writer: Writer,
        queue_commands: usize,
        batch_commands: usize,
        commits: Commits,
        observe: impl FnMut(&Round<'_>) + Send + 'static,
    ) -> std::io::Result<(Self, LaneThread)> {
        let (queue, jobs) = mpsc::channel(queue_commands);
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let (probe, probed) = mpsc::channel(PROBES);
        let (alive, ended) = oneshot::channel();
        // The store may need timers and sockets of its own, so the lane is a runtime and not a bare loop.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut lane = Lane { writer, batches: 0, observe: Box::new(observe) };
        let thread = std::thread::Builder::new().name("posting-lane".into()).spawn(move || {
            let _alive: oneshot::Sender<()> = alive;
            // Beside the lane, so that one that waits for a database answers. It ends with the runtime.
            runtime.spawn(answer(probed));
            runtime.block_on(async {
                lane.run(jobs, asked, batch_commands, &commits).await;
                lane.writer.close()
            })
        })?;
        let (batched, cores) = (Arc::default(), Arc::new(AtomicU32::new(1)));
        let lane = Self { queue, questions, probe: LaneProbe(probe), batched, core: 0, cores };
        Ok((lane, LaneThread { thread, ended }))
    }

    /// A handle for one more core. All that wait on one core for one batch are woken together; a handle that many
    /// threads share works as well.
    #[must_use]
    pub fn for_core(&self) -> Self {
        let core = self.cores.fetch_add(1, Ordering::Relaxed);
        Self { core, ..self.clone() }
    }

    /// Decides and stores a command. The outcome is on stable storage when it is returned.
    pub async fn submit(&self, command: Command) -> Result<Outcome, LaneError> {
        let (waiter, answer) = oneshot::channel();
        let share = match &command {
            Command::Batch(batch) => Some(Share::take(&self.batched, batch.items.len())?),
            _ => None,
        };
        let (submitted, span) = (Instant::now(), tracing::debug_span!("posting"));
        let job = Job { command, waiter, core: self.core, submitted, span, _share: share };
        self.queue.try_send(job).map_err(|error| refused(&error))?;
        let Ok(delivery) = answer.await else { return Err(LaneError::Ended) };
        let (told, times) = delivery.open();
        spent(Part::Queue, times.waited);
        spent(Part::Lane, submitted.elapsed().saturating_sub(times.waited));
        spent(Part::Store, times.commit);
        told
    }

    /// Runs a real query on the lane's connection, behind the commit under way: the end of the log.
    pub async fn check(&self) -> Result<Head, LaneError> {
        let (reply, answer) = oneshot::channel();
        self.questions.try_send(Question::Check(reply)).map_err(|error| refused(&error))?;
        answer.await.unwrap_or(Err(LaneError::Ended))
    }

    /// Has the lane commit what it has taken and nothing more: no later command, no sweep. Returns the end of the log as
    /// it then stays, as far as this server is concerned. Commands that come later are told [`LaneError::Ended`].
    pub async fn settle(&self) -> Result<Head, LaneError> {
        let (reply, answer) = oneshot::channel();
        self.questions.send(Question::Settle(reply)).await.map_err(|_| LaneError::Ended)?;
        answer.await.unwrap_or(Err(LaneError::Ended))
    }

    /// A probe of the lane.
    pub fn probe(&self) -> LaneProbe {
        self.probe.clone()
    }
}

impl LaneProbe {
    /// Returns once the lane's thread has turned, or has ended, which others see. It turns while the lane waits for a
    /// database, however long that may take; it does not while a call of SQLite's lasts, which is made on it.
    pub async fn turns(&self) {
        let (reply, answer) = oneshot::channel();
        if self.0.send(reply).await.is_ok() {
            // An error: it has ended meanwhile.
            let _ = answer.await;
        }
    }
}

/// Answers until nobody can ask any more.
async fn answer(mut probed: mpsc::Receiver<oneshot::Sender<()>>) {
    while let Some(reply) = probed.recv().await {
        // Who asked may have gone.
        let _ = reply.send(());
    }
}

fn refused<T>(error: &mpsc::error::TrySendError<T>) -> LaneError {
    match error {
        mpsc::error::TrySendError::Full(_) => LaneError::Full,
        mpsc::error::TrySendError::Closed(_) => LaneError::Ended,
    }
}

impl LaneThread {
    /// Returns when the thread has ended, which before the drain is a fault.
    pub async fn ended(&mut self) {
        let _ = (&mut self.ended).await;
    }

    /// Waits for the thread. It ends once every [`PostingLane`] is dropped and all accepted commands are stored.
    pub fn join(self) -> Result<(), StoreError> {
        self.thread
            .join()
            .unwrap_or_else(|_| Err(StoreError::Unavailable("the posting lane panicked".into())))
    }
}

/// What the lane's thread owns.
struct Lane {
    writer: Writer,
    /// Batches so far.
    batches: u64,
    observe: Observe,
}

impl Lane {
    /// Decides and stores what comes, until it is to settle or nobody is left who could send more.
    async fn run(
        &mut self,
        mut jobs: mpsc::Receiver<Job>,
        mut questions: mpsc::Receiver<Question>,
        batch_commands: usize,
        commits: &Commits,
    ) {
        let mut waiting = VecDeque::new();
        let mut sweep = Sweep::default();
        let mut settles = None;
        loop {
            if waiting.is_empty() {
                if let Some(reply) = settles.take_if(|_| jobs.is_empty()) {
                    // Who asks from now on is told that the lane has ended.
                    drop(questions);
                    return self.rest(jobs, reply).await;
                }
                tokio::select! {
                    biased;
                    count = receive(&mut jobs, &mut waiting, batch_commands) => if count == 0 {
                        return;
                    },
                    Some(question) = questions.recv() => self.hear(question, &mut settles).await,
                    () = tokio::time::sleep_until(sweep.due()) => {}
                }
            }
            // Not behind the batches that wait: a busy lane is no broken one.
            while let Ok(question) = questions.try_recv() {
                self.hear(question, &mut settles).await;
            }
            let batch = Batch::take(&mut waiting, batch_commands, self.batches + 1);
            if !batch.commands.is_empty() {
                self.batches += 1;
                self.post(batch).await;
                commits.announce();
            }
            if let Some(expired) = sweep.run_if_due(&mut self.writer).await {
                self.observe_sweep(&expired);
                commits.announce();
            }
        }
    }

    async fn hear(&mut self, question: Question, settles: &mut Option<Reply<Head>>) {
        match question {
            Question::Check(reply) => self.tell_head(reply).await,
            Question::Settle(reply) => *settles = Some(reply),
        }
    }

    /// Says that all is stored, and lets go of what comes later. The store stays open while anybody could send: readers
    /// may have more to read of it.
    async fn rest(&mut self, mut jobs: mpsc::Receiver<Job>, settled: Reply<Head>) {
        self.tell_head(settled).await;
        while jobs.recv().await.is_some() {}
    }

    /// Asks the store for the end of the log, if somebody still wants to know.
    async fn tell_head(&mut self, reply: Reply<Head>) {
        if !reply.is_closed() {
            let head = self.writer.head().await.map_err(|error| told("the store failed its check", &error));
            // Who asked may have gone.
            let _ = reply.send(head);
        }
    }

    async fn post(&mut self, batch: Batch) {
        let Batch { commands, waiters, log } = batch;
        let begin = Instant::now();
        let stored = self.writer.commit(&commands, &now).instrument(log.commit_span()).await;
        let commit = begin.elapsed();
        let outcomes = stored.map_err(|error| told("a batch was not stored", &error));
        let round = Round {
            waits: log.waits(),
            commit,
            outcomes: outcomes.as_deref().map_err(|error| *error),
            last_seq: self.writer.last_seq(),
        };
        log.told(&round);
        (self.observe)(&round);
        let times = log.waits().iter().map(|&waited| Times { waited, commit });
        deliver(waiters, outcomes, times);
    }

    /// Holds that were let go are results too, which nobody waited for.
    fn observe_sweep(&mut self, expired: &Expired) {
        let outcomes = [Outcome::Expired(expired.holds)];
        (self.observe)(&Round {
            waits: &[],
            commit: expired.commit,
            outcomes: Ok(&outcomes),
            last_seq: self.writer.last_seq(),
        });
    }
}

/// Waits for jobs and takes all that there are, up to `limit`; 0 when there will be none any more. Loses none when it is
/// dropped.
async fn receive(jobs: &mut mpsc::Receiver<Job>, waiting: &mut VecDeque<Job>, limit: usize) -> usize {
    let mut received = Vec::new();
    let count = jobs.recv_many(&mut received, limit).await;
    waiting.extend(received);
    count
}

/// What is stored together.
#[derive(Default)]
struct Batch {
    commands: Vec<Command>,
    waiters: Vec<(Waiter, u32)>,
    log: Log,
}

impl Batch {
    /// Takes from what waits until the commands weigh `limit`, and at least one.
    fn take(waiting: &mut VecDeque<Job>, limit: usize, number: u64) -> Self {
        let mut batch = Self { log: Log::of(number), ..Self::default() };
        let now = Instant::now();
        let mut weight = 0;
        // Whoever has gone was told that nothing is known to be applied: so be it.
        waiting.retain(|job| !job.waiter.is_closed());
        while let Some(job) = waiting.pop_front() {
            let heavier = weight + job.command.weight();
            if weight > 0 && heavier > limit {
                waiting.push_front(job);
                break;
            }
            weight = heavier;
            batch.log.takes(&job, now);
            batch.commands.push(job.command);
            batch.waiters.push((job.waiter, job.core));
        }
        batch
    }
}

/// Tells all who wait what became of their commands.
fn deliver(
    waiters: Vec<(Waiter, u32)>,
    outcomes: Result<Vec<Outcome>, LaneError>,
    times: impl Iterator<Item = Times>,
) {
    let mut outbox = Outbox::default();
    match outcomes {
        Ok(outcomes) => {
            for (((waiter, core), outcome), times) in waiters.into_iter().zip(outcomes).zip(times) {
                outbox.add(core, waiter, (Ok(outcome), times));
            }
        }
        Err(error) => {
            for ((waiter, core), times) in waiters.into_iter().zip(times) {
                outbox.add(core, waiter, (Err(error), times));
            }
        }
    }
    outbox.send();
}

/// Puts the store's words into the log; callers are told that it failed, not how.
fn told(what: &'static str, error: &StoreError) -> LaneError {
    tracing::error!(%error, "{what}");
    LaneError::Store
}
