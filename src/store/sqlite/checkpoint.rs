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

/// When the log is tended, in pages of 4 KiB.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// After this many new pages a checkpoint is worth its sync.
    worth: u32,
    /// At this many pages the writer waits until the log can begin anew. It bounds disk use and the time that a
    /// restart needs, when commits come so fast that a passive checkpoint never catches up with them.
    most: u32,
}

/// 32 MiB and 128 MiB. Commits change the same pages again and again, the last of each account's entries above all, and a
/// checkpoint writes each once: with SQLite's own 1,000 pages nearly every page of the log was written a second time, and
/// the disk that commits wait for had twice the work. 8,000 gave 11 % more transfers a second in batches of 1,000, and
/// those of 64 a p99 of 6 ms instead of 10 (`cargo bench --bench store`).
const BOUNDS: Bounds = Bounds { worth: 8_000, most: 32_768 };
/// How long readers may take to leave the log when it is to begin anew. The writer waits meanwhile.
const READERS_LEAVE: Duration = Duration::from_millis(20);

/// What the thread is asked for.
#[derive(Debug)]
enum Order {
    /// Move what can be moved while others read and write.
    Passive,
    /// Move everything and let the log begin anew; answers whether it could.
    BeginAnew(SyncSender<bool>),
}

/// The thread that checkpoints, and what the writer knows of the log.
#[derive(Debug)]
pub(super) struct Checkpointer {
    orders: SyncSender<Order>,
    thread: JoinHandle<()>,
    /// Pages in the log after the last commit, told by SQLite's hook.
    pages: Arc<AtomicU32>,
    bounds: Bounds,
    /// Pages in the log when a checkpoint was last asked for.
    asked_at: u32,
    /// Pages in the log at which it must begin anew.
    most: u32,
}

impl Checkpointer {
    /// Starts the thread on `connection` and takes over checkpoints from `writer`.
    pub(super) fn start(connection: Connection, writer: &mut Connection) -> Result<Self, StoreError> {
        Self::start_with(BOUNDS, connection, writer)
    }

    fn start_with(
        bounds: Bounds,
        connection: Connection,
        writer: &mut Connection,
    ) -> Result<Self, StoreError> {
        connection.busy_timeout(READERS_LEAVE)?;
        let (orders, given) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("checkpoint".into())
            .spawn(move || run(&connection, &given))
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
        Ok(Self { orders, thread, pages, bounds, asked_at: 0, most: bounds.most })
    }

    /// Looks at the log after a commit. Waits only when the log has reached its bound.
    pub(super) fn after_commit(&mut self) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.asked_at {
            (self.asked_at, self.most) = (0, self.bounds.most);
        }
        if pages >= self.most {
            self.begin_anew(pages);
        } else if pages >= self.asked_at + self.bounds.worth {
            self.asked_at = pages;
            match self.orders.try_send(Order::Passive) {
                Ok(()) | Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => tracing::error!("the checkpoint thread has ended"),
            }
        }
    }

    /// Has the one thread that checkpoints do it, so that no two of them meet.
    fn begin_anew(&mut self, pages: u32) {
        let (reply, answer) = sync_channel(1);
        let begun = self.orders.send(Order::BeginAnew(reply)).is_ok() && answer.recv() == Ok(true);
        if !begun {
            self.most = pages + self.bounds.most / 4;
            tracing::warn!(pages, "a long read keeps the write-ahead log from beginning anew");
        }
    }

    /// Ends the thread.
    pub(super) fn stop(self) {
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

fn run(connection: &Connection, given: &Receiver<Order>) {
    while let Ok(order) = given.recv() {
        // Passive first in any case: what it moves, the other need not move while commits wait.
        checkpoint(connection, "pragma wal_checkpoint(passive)");
        if let Order::BeginAnew(reply) = order {
            let begun = checkpoint(connection, "pragma wal_checkpoint(restart)");
            // The writer waits for the answer.
            let _ = reply.send(begun);
        }
    }
}

/// Runs a checkpoint; returns whether nothing was in its way.
fn checkpoint(connection: &Connection, pragma: &str) -> bool {
    match connection.query_row(pragma, (), |row| row.get::<_, bool>(0)) {
        Ok(busy) => !busy,
        Err(error) => {
            // The log only grows meanwhile, and the writer asks again.
            tracing::warn!(%error, "checkpoint failed");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bounds = Bounds { worth: 8, most: 64 };
    const PAGE_BYTES: u64 = 4_096;

    struct Log {
        directory: tempfile::TempDir,
        writer: Connection,
        checkpointer: Checkpointer,
    }

    impl Log {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let open = || {
                let connection = Connection::open(directory.path().join("x.db")).unwrap();
                connection.pragma_update(None, "journal_mode", "WAL").unwrap();
                connection
            };
            let mut writer = open();
            let checkpointer = Checkpointer::start_with(SMALL, open(), &mut writer).unwrap();
            writer.execute_batch("create table t (x)").unwrap();
            Self { directory, writer, checkpointer }
        }

        /// Commits `count` times, about two pages each.
        fn commit(&mut self, count: u32) {
            for _ in 0..count {
                self.writer.execute("insert into t values (zeroblob(4000))", ()).unwrap();
                self.checkpointer.after_commit();
            }
        }

        fn pages(&self) -> u64 {
            std::fs::metadata(self.directory.path().join("x.db-wal")).unwrap().len() / PAGE_BYTES
        }
    }

    #[test]
    fn the_log_begins_anew_at_its_bound() {
        let mut log = Log::new();
        log.commit(2_000);
        assert!(log.pages() < 2 * u64::from(SMALL.most), "{} pages", log.pages());
        log.checkpointer.stop();
    }

    #[test]
    fn a_long_read_lets_the_log_grow_and_no_commit_waits_for_it() {
        let mut log = Log::new();
        log.commit(1);
        let reader = Connection::open(log.directory.path().join("x.db")).unwrap();
        reader.execute_batch("begin; select count(*) from t").unwrap();
        let begin = std::time::Instant::now();
        log.commit(200);
        // Each quarter of the bound costs one wait for readers, not each commit.
        assert!(begin.elapsed() < 100 * READERS_LEAVE, "{:?}", begin.elapsed());
        assert!(log.pages() > u64::from(SMALL.most));
        reader.execute_batch("commit").unwrap();
        log.commit(200);
        let grown = log.pages();
        log.commit(2_000);
        assert_eq!(log.pages(), grown, "the log begins anew once the reader has gone");
        log.checkpointer.stop();
    }
}
