//! Statements: an account's entries of a period as a document for people (PDF) or spreadsheets (CSV).
//!
//! A statement is a walk: read a page of entries, have the CPU pool make a piece of the document from it, hand the
//! piece over, go on when it has been taken. So neither the entries nor the document are ever held whole; what is held
//! is one page, one piece and the draft that the next piece is made from. The walk is dropped when its client
//! leaves: then nothing more is read, and a job that waits in the pool's queue is skipped.

mod amounts;
mod csv;
mod document;
mod pdf;
#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use self::document::{Draft, Piece};
use super::{ServiceError, Services, now};
use crate::models::{Account, Money, Timestamp, User};
use crate::runtime::{CpuPool, PoolError};
use crate::store::StoreError;
use crate::store::statements::{Line, LineQuery, Span, SpanQuery, StatementReader};

/// Entries of a page. Bounds what is held of them (56 with the longest words are 0.15 MiB), and for how long a page
/// holds the connection and a thread of the CPU pool: some 0.15 ms to read, 1.5 ms to make as PDF.
///
/// The latter is also for how long the thread may keep a ring from its core. A ring that had more than its share beside
/// another thread does not preempt one at `SCHED_IDLE` that has just woken up, which then goes on until it sleeps or until
/// the next tick of 4 ms (Linux 6.18). In three series of rounds the p99 of requests beside a statement was 2.1, 2.0 and
/// 2.4 ms with 200 entries, 0.8, 2.1 and 1.4 with these; the statement takes a third longer.
const PAGE_ENTRIES: u32 = 56;
/// Statements under way on one core. Bounds their memory together; more are refused.
const UNDER_WAY_PER_CORE: usize = 16;
/// How long a statement may take, until its last piece is taken. Bounds for how long a client that reads slowly holds
/// one of those places: whoever asks for the pieces must drop them then.
const LONGEST: Duration = Duration::from_mins(10);
/// How long a document that has begun waits for a place in the CPU pool's queue, since it can no longer be refused.
const QUEUE_PATIENCE: Duration = Duration::from_secs(10);
/// How long it waits between two tries.
const QUEUE_PAUSE: Duration = Duration::from_millis(50);

/// What a statement looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Pdf,
    /// For programs.
    Csv,
}

/// From a moment on, up to another that is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    from: Timestamp,
    to: Timestamp,
}

impl Period {
    /// `None` when it would end before it begins. It may be empty.
    pub fn new(from: Timestamp, to: Timestamp) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// Its first moment.
    pub const fn from(&self) -> Timestamp {
        self.from
    }

    /// The moment behind its last.
    pub const fn to(&self) -> Timestamp {
        self.to
    }
}

/// A document while it is made.
pub struct Document {
    /// Its pieces. What was handed over before an error is not the whole of it.
    pub pieces: Pin<Box<dyn Stream<Item = Result<Bytes, ServiceError>>>>,
    /// When they are to be dropped, wherever it has got to.
    pub due: Instant,
}

/// One core's way to statements.
#[derive(Debug)]
pub struct Statements {
    reader: Arc<StatementReader>,
    places: Arc<Semaphore>,
}

impl Statements {
    /// Statements that are read through `reader`.
    pub fn new(reader: StatementReader) -> Self {
        Self { reader: Arc::new(reader), places: Arc::new(Semaphore::new(UNDER_WAY_PER_CORE)) }
    }
}

/// What a statement says above its entries.
#[derive(Debug)]
struct Heading {
    account: Account,
    owner: User,
    period: Period,
    opening: Money,
    closing: Money,
    issued_at: Timestamp,
    /// How many digits of an amount stand behind its point.
    decimals: usize,
}

impl Services {
    /// The statement of an account that the caller may see. Returns when the document has begun, so that an error up to
    /// then is an answer of its own; a full queue of the CPU pool is one.
    pub async fn statement(
        &self,
        account: Account,
        period: Period,
        format: Format,
        decimals: u8,
    ) -> Result<Document, ServiceError> {
        let due = Instant::now() + LONGEST;
        let place = Arc::clone(&self.statements.places).try_acquire_owned();
        let place = place.map_err(|_| ServiceError::Overloaded("Too many statements are under way."))?;
        let Some(owner) = self.reader.user(account.owner).await? else {
            return Err(StoreError::Corrupt(format!("account {} has no owner", account.id)).into());
        };
        let reader = Arc::clone(&self.statements.reader);
        let wanted = SpanQuery { account_id: account.id, from: period.from, to: period.to };
        let span = reader.span(wanted).await?;
        let heading = Heading {
            decimals: decimals.into(),
            account,
            owner,
            period,
            opening: span.opening,
            closing: span.closing,
            issued_at: now(),
        };
        let mut walk = Walk::new(reader, self.pool.clone(), heading, span, format, place);
        let first = walk.next().await?;
        let rest =
            stream::try_unfold(
                walk,
                |mut walk| async move { Ok(walk.next().await?.map(|piece| (piece, walk))) },
            );
        let pieces = Box::pin(stream::StreamExt::chain(stream::iter(first.map(Ok)), rest));
        Ok(Document { pieces, due })
    }
}

/// Where a document stands.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Lines are being shown.
    Lines,
    /// This piece of what stands behind them is next.
    End(usize),
}

/// A document on its way through an account.
struct Walk {
    reader: Arc<StatementReader>,
    pool: CpuPool,
    heading: Arc<Heading>,
    /// The page of lines that is next.
    page: LineQuery,
    /// The balance after the last line.
    balance: Money,
    draft: Arc<Draft>,
    /// Where each object of the document is, by number.
    offsets: Arc<Vec<u64>>,
    stage: Stage,
    has_begun: bool,
    _place: OwnedSemaphorePermit,
}

impl Walk {
    fn new(
        reader: Arc<StatementReader>,
        pool: CpuPool,
        heading: Heading,
        span: Span,
        format: Format,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let page = LineQuery {
            account_id: heading.account.id,
            first_seq: span.first_seq,
            end_seq: span.end_seq,
            may_lag: span.is_of_replica,
            limit: PAGE_ENTRIES,
        };
        Self {
            reader,
            pool,
            heading: Arc::new(heading),
            page,
            balance: span.opening,
            draft: Arc::new(Draft::new(format)),
            offsets: Arc::default(),
            stage: Stage::Lines,
            has_begun: false,
            _place: place,
        }
    }

    /// The next piece; `None` behind the last.
    async fn next(&mut self) -> Result<Option<Bytes>, ServiceError> {
        loop {
            let piece = match self.stage {
                Stage::Lines => self.show_page().await?,
                Stage::End(part) if part == 0 || part < self.draft.ends(&self.offsets) => {
                    self.end(part).await?
                }
                Stage::End(_) => return Ok(None),
            };
            self.draft = Arc::new(piece.next);
            self.note(&piece.objects);
            if !piece.bytes.is_empty() {
                self.has_begun = true;
                return Ok(Some(piece.bytes.into()));
            }
        }
    }

    /// Reads a page of lines and has them shown.
    async fn show_page(&mut self) -> Result<Piece<Draft>, ServiceError> {
        let lines = self.reader.lines(self.page).await?;
        self.check(&lines)?;
        match lines.last() {
            Some(last) if lines.len() == self.page.limit as usize => self.page.first_seq = last.seq + 1,
            Some(_) | None if self.balance == self.heading.closing => self.stage = Stage::End(0),
            Some(_) | None => return Err(self.broken("its entries end before the closing balance")),
        }
        let (draft, heading) = (Arc::clone(&self.draft), Arc::clone(&self.heading));
        let lines = Arc::new(lines);
        self.make(move || Draft::clone(&draft).lines(&heading, &lines)).await
    }

    async fn end(&mut self, part: usize) -> Result<Piece<Draft>, ServiceError> {
        self.stage = Stage::End(part + 1);
        let (draft, heading, offsets) =
            (Arc::clone(&self.draft), Arc::clone(&self.heading), Arc::clone(&self.offsets));
        self.make(move || Draft::clone(&draft).end(&heading, part, &offsets)).await
    }

    /// Every entry goes on from the balance before it. A store that has lost some, or a replica that has not got them
    /// yet, must not make a document that looks whole.
    fn check(&mut self, lines: &[Line]) -> Result<(), ServiceError> {
        for line in lines {
            if self.balance.checked_add(line.amount) != Some(line.balance) {
                return Err(
                    self.broken(&format!("entry {} does not follow from the balance before it", line.seq))
                );
            }
            self.balance = line.balance;
        }
        Ok(())
    }

    fn broken(&self, what: &str) -> ServiceError {
        StoreError::Corrupt(format!("account {}: {what}", self.heading.account.id)).into()
    }

    /// Has the pool make a piece. A document that has not begun is refused when the queue is full, one that has begun
    /// waits for a place.
    async fn make<F>(&self, job: F) -> Result<Piece<Draft>, ServiceError>
    where
        F: Fn() -> Piece<Draft> + Clone + Send + Sync + 'static,
    {
        let give_up = Instant::now() + QUEUE_PATIENCE;
        loop {
            match self.pool.run(job.clone()).await {
                Err(PoolError::Full) if self.has_begun && Instant::now() < give_up => {
                    sleep(QUEUE_PAUSE).await;
                }
                outcome => return Ok(outcome?),
            }
        }
    }

    fn note(&mut self, objects: &[(u32, u64)]) {
        let offsets = Arc::make_mut(&mut self.offsets);
        for (number, offset) in objects {
            let place = *number as usize;
            if offsets.len() <= place {
                offsets.resize(place + 1, 0);
            }
            offsets[place] = *offset;
        }
    }
}
