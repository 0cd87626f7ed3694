//! Reads for statements on a thread and connection of their own, for all cores.
//!
//! Not on a core: a statement is hundreds of pages, and one that is not in memory holds its reader up for the disk. Not
//! in the CPU pool either: reading takes a lock inside SQLite that the cores' connections take too (over the shared memory
//! of the log, for a microsecond at both ends of a page), and a thread at `SCHED_IDLE` that is preempted there would stop
//! a core. So the thread gives way without leaving the normal classes: it waits for its turn, and a page is over within
//! one.

use std::sync::Arc;
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Reader;
use crate::runtime::cores;
use crate::store::StoreError;
use crate::store::statements::{Line, LineQuery, Span, SpanQuery};

/// Questions that wait for the thread; one that finds no place waits for it where it is asked. Each statement has one
/// at a time, and every core bounds its statements.
const QUEUE: usize = 16;
/// The connection's page cache in KiB. A page of lines is read once, so a large one would only cost memory.
pub(super) const CACHE_KIB: i64 = 512;

/// A handle to the thread, which ends with the last of them.
#[derive(Debug, Clone)]
pub struct StatementReader {
    thread: Arc<Thread>,
}

/// A question and where its answer goes.
enum Question {
    Span(SpanQuery, oneshot::Sender<Result<Span, StoreError>>),
    Lines(LineQuery, oneshot::Sender<Result<Vec<Line>, StoreError>>),
}

#[derive(Debug)]
struct Thread {
    /// Present until the drop.
    questions: Option<mpsc::Sender<Question>>,
    handle: Option<JoinHandle<()>>,
}

impl StatementReader {
    pub(super) fn start(connection: Connection) -> Result<Self, StoreError> {
        let reader = Reader::new(connection);
        let (questions, asked) = mpsc::channel(QUEUE);
        let handle = std::thread::Builder::new()
            .name("statements".into())
            .spawn(move || {
                cores::give_way();
                answer(&reader, asked);
            })
            .map_err(|error| {
                StoreError::Unavailable(format!("cannot start the statements thread: {error}"))
            })?;
        Ok(Self { thread: Arc::new(Thread { questions: Some(questions), handle: Some(handle) }) })
    }

    /// The entries of a period, as far as they are committed now.
    pub async fn span(&self, wanted: SpanQuery) -> Result<Span, StoreError> {
        self.ask(|reply| Question::Span(wanted, reply)).await
    }

    /// A page of a span, oldest first.
    pub async fn lines(&self, wanted: LineQuery) -> Result<Vec<Line>, StoreError> {
        self.ask(|reply| Question::Lines(wanted, reply)).await
    }

    async fn ask<T>(
        &self,
        question: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Question,
    ) -> Result<T, StoreError> {
        let ended = || StoreError::Unavailable("the statements thread has ended".into());
        let (reply, answer) = oneshot::channel();
        let questions = self.thread.questions.as_ref().ok_or_else(ended)?;
        questions.send(question(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

impl Drop for Thread {
    /// Waits for the connection to close, so that the last one to close is the writer's, which moves the log into its
    /// file. A question takes milliseconds.
    fn drop(&mut self) {
        drop(self.questions.take());
        if self.handle.take().is_some_and(|handle| handle.join().is_err()) {
            tracing::error!("the statements thread panicked");
        }
    }
}

/// The life of the thread. Skips what nobody waits for any more.
fn answer(reader: &Reader, mut asked: mpsc::Receiver<Question>) {
    while let Some(question) = asked.blocking_recv() {
        // Who has gone meanwhile has no use for the answer.
        match question {
            Question::Span(wanted, reply) if !reply.is_closed() => {
                let _ = reply.send(reader.statement_span(wanted));
            }
            Question::Lines(wanted, reply) if !reply.is_closed() => {
                let _ = reply.send(reader.statement_lines(wanted));
            }
            Question::Span(..) | Question::Lines(..) => {}
        }
    }
}
