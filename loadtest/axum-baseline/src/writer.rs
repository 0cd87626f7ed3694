//! The one connection that SQLite lets write, on a thread of its own: one transaction for each request.
//!
//! The actor pattern of tokio-rusqlite. A pool of one connection that is used in `spawn_blocking` does the same work
//! but changes threads twice between two transactions (the next task is woken, then a blocking thread for it), while
//! the writer waits: 1,690 against 2,380 transfers a second at 256 connections (`README.md`).

use std::io;
use std::thread::JoinHandle;

use ringledger::models::posting::{Command, Outcome};
use ringledger::services::now;
use ringledger::store::{StoreError, Writer};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use crate::error::AppError;

/// A command, and who waits for its outcome.
type Job = (Command, oneshot::Sender<Result<Outcome, StoreError>>);

/// A handle to the writer's thread.
#[derive(Debug, Clone)]
pub(crate) struct WriterQueue(mpsc::Sender<Job>);

/// The thread. It ends in order once every [`WriterQueue`] is dropped and what they accepted is stored.
pub(crate) type WriterThread = JoinHandle<Result<(), StoreError>>;

/// Starts the thread. `queue_commands` bounds what waits; beyond it callers are told to come again.
pub(crate) fn start(writer: Writer, queue_commands: usize) -> io::Result<(WriterQueue, WriterThread)> {
    let (queue, jobs) = mpsc::channel(queue_commands);
    let runtime = Handle::current();
    let thread = std::thread::Builder::new().name("writer".into());
    let thread = thread.spawn(move || run(&runtime, writer, jobs))?;
    Ok((WriterQueue(queue), thread))
}

impl WriterQueue {
    /// Decides and stores a command. The outcome is on stable storage when it is returned.
    pub(crate) async fn submit(&self, command: Command) -> Result<Outcome, AppError> {
        let (reply, outcome) = oneshot::channel();
        self.0.try_send((command, reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                AppError::Overloaded("Too many commands wait for the ledger.")
            }
            mpsc::error::TrySendError::Closed(_) => ended(),
        })?;
        Ok(outcome.await.map_err(|_| ended())??)
    }
}

fn ended() -> AppError {
    AppError::StoreUnavailable("the writer has ended".into())
}

fn run(runtime: &Handle, mut writer: Writer, mut jobs: mpsc::Receiver<Job>) -> Result<(), StoreError> {
    while let Some((command, reply)) = jobs.blocking_recv() {
        let committed = runtime.block_on(writer.commit(&[command], &now));
        let outcome = committed.and_then(|outcomes| {
            let only = outcomes.into_iter().next();
            only.ok_or_else(|| StoreError::Corrupt("a command has no outcome".into()))
        });
        // A caller who has gone finds the outcome under its key.
        let _ = reply.send(outcome);
    }
    writer.close()
}
