//! Moves the write-ahead log into the database file, on a thread of its own.
//!
//! On the writer's connection a checkpoint of 10,000 pages holds up commits for 12 ms at p99; beside it, a
//! passive checkpoint holds up nothing (`cargo bench --bench store`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::hooks::Wal;

use crate::store::StoreError;

/// After this many new pages of log a checkpoint is worth its sync: SQLite's own default.
const WORTH_PAGES: u32 = 1_000;
/// At this many pages of log (128 MiB) the writer itself makes it begin anew. It bounds disk use and the time
/// a restart needs, when commits come so fast that a passive checkpoint never catches up with them.
const BOUND_PAGES: u32 = 32_768;
/// How long the writer waits for readers to leave the log when it has reached its bound.
const BOUND_WAIT: Duration = Duration::from_millis(20);

/// The thread that checkpoints, and what the writer knows of the log.
#[derive(Debug)]
pub(super) struct Checkpointer {
    wake: SyncSender<()>,
    thread: JoinHandle<()>,
    /// Pages in the log after the last commit, told by SQLite's hook.
    pages: Arc<AtomicU32>,
    /// Pages in the log when a checkpoint was last asked for.
    asked_at: u32,
    /// Pages in the log at which it must begin anew.
    bound: u32,
}

impl Checkpointer {
    /// Starts the thread on `connection` and takes over checkpoints from `writer`.
    pub(super) fn start(connection: Connection, writer: &mut Connection) -> Result<Self, StoreError> {
        let (wake, woken) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || run(&connection, &woken))
            .map_err(|error| {
                StoreError::Unavailable(format!("cannot start the checkpoint thread: {error}"))
            })?;
        // The hook takes the place of SQLite's automatic checkpoint, which is a hook itself.
        let pages = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&pages);
        writer.wal_hook(Some(move |_: &mut Wal, count| {
            told.store(u32::try_from(count).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self { wake, thread, pages, asked_at: 0, bound: BOUND_PAGES })
    }

    /// Looks at the log after a commit. Waits only when the log has reached its bound.
    pub(super) fn after_commit(&mut self, writer: &Connection) -> Result<(), StoreError> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at {
            (self.asked_at, self.bound) = (0, BOUND_PAGES);
        }

        if pages >= self.bound {
            return self.begin_anew(writer, pages);
        }
        if pages >= self.asked_at + WORTH_PAGES {
            self.asked_at = pages;
            match self.wake.try_send(()) {
                Ok(()) | Err(TrySendError::Full(())) => {}
                Err(TrySendError::Disconnected(())) => tracing::error!("the checkpoint thread has ended"),
            }
        }
        Ok(())
    }

    fn begin_anew(&mut self, writer: &Connection, pages: u32) -> Result<(), StoreError> {
        writer.busy_timeout(BOUND_WAIT)?;
        let busy = writer.query_row("pragma wal_checkpoint(restart)", (), |row| row.get::<_, bool>(0));
        writer.busy_timeout(super::BUSY_TIMEOUT)?;
        if busy? {
            self.bound = pages + BOUND_PAGES / 4;
            tracing::warn!(pages, "a long read keeps the write-ahead log from beginning anew");
        }
        Ok(())
    }

    /// Ends the thread.
    pub(super) fn stop(self) {
        drop(self.wake);
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn run(connection: &Connection, woken: &Receiver<()>) {
    while woken.recv().is_ok() {
        let done = connection.query_row("pragma wal_checkpoint(passive)", (), |_| Ok(()));
        if let Err(error) = done {
            // The log only grows meanwhile, and the writer asks again.
            tracing::warn!(%error, "checkpoint failed");
        }
    }
}
