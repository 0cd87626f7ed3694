//! The connection of the posting lane: made when it is needed, made anew when it is lost, and asked again for a batch
//! whose end nobody saw. What a batch does is [`super::batch`]'s.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::batch::{self, BatchError, Memory};
use super::prepared::prepared;
use super::{Carrier, Dialled, Options, Server, dial, guards, rows};
use crate::models::posting::{Command, Outcome, Unseen};
use crate::models::{Head, Timestamp};
use crate::store::{Clock, StoreError};

/// The first pause before a batch is tried again, and how far pauses grow: short beside what a failover takes, long
/// beside what an attempt costs.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(200),
    Duration::from_millis(500),
];

/// What the lane's session is told first. The planner's choices for arrays of unknown length on tables that were empty
/// when the plans were cached are bad ones (17 ms a batch against 1), so it is left the ones by index. Warnings must
/// come: one tells of a commit that did not wait for its standby. No time limit may end a commit (Postgres 17 has one
/// for transactions).
const SESSION: &str = "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; \
    set enable_hashjoin = off; set enable_mergejoin = off; set jit = off; set client_min_messages = warning; \
    select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'";

/// The end of the log, and whether this session may not go on from there.
const CHECK: &str =
    "select seq, hash, at, current_setting('transaction_read_only') = 'on' from head where id = 1";

/// The first time limit that is up at $1 or at the ledger's time, and the time of the last event. None is up before $2.
const FIRST_DUE: &str = "select at, (select expires_at from transfers
        where status = 'pending' and expires_at is not null and expires_at >= $2
            and expires_at <= greatest($1, at, (select used_at from idempotency order by used_at desc limit 1))
        order by expires_at limit 1)
    from head where id = 1";

/// How long a look for holds that are due leaves a database alone that was just dialled in vain: the lane is held up by
/// each attempt, and commands make their own.
const DIAL_REST: Duration = Duration::from_secs(5);

/// Commits batches. The posting lane owns it.
#[derive(Debug)]
pub struct Writer {
    options: Arc<Options>,
    session: Option<Session>,
    /// Whether the last batch found no way to the store: then the next one tries once and fails quickly.
    down: bool,
    /// When the last dial failed, until one succeeds.
    dialled_in_vain: Option<Instant>,
}

/// The lane's connection.
#[derive(Debug)]
struct Session {
    client: ClientWrapper,
    memory: Memory,
}

impl Writer {
    pub(super) const fn new(options: Arc<Options>) -> Self {
        Self { options, session: None, down: false, dialled_in_vain: None }
    }

    /// Decides and stores a batch; see [`crate::store::Writer::commit`]. Tries again, within the time that a commit
    /// may take, what lost a race or its connection.
    pub async fn commit(
        &mut self,
        commands: &[Command],
        clock: Clock<'_>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let give_up = Instant::now() + self.options.commit_timeout;
        let mut unseen = Unseen::default();
        let mut pauses = PAUSES.into_iter();
        let mut pause = Duration::ZERO;
        loop {
            // Boxed: it has all statements of a batch in it.
            let error = match timeout_at(give_up, Box::pin(self.attempt(commands, clock, &mut unseen))).await
            {
                Ok(Ok(outcomes)) => {
                    self.down = false;
                    return Ok(outcomes);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    // Whatever it waits for, its answer would be taken for that of the next batch.
                    self.session = None;
                    self.down = true;
                    return Err(StoreError::Unavailable("the database took too long for a batch".into()));
                }
            };
            if !self.may_try_again(&error) {
                self.down = matches!(error, AttemptError::Connect(_));
                return Err(error.into());
            }
            tracing::warn!(%error, "a batch is tried again");
            pause = pauses.next().unwrap_or(pause);
            if Instant::now() + pause >= give_up {
                self.down = true;
                return Err(error.into());
            }
            sleep(pause).await;
        }
    }

    /// One attempt. A connection that is not known to be between two transactions is dropped.
    async fn attempt(
        &mut self,
        commands: &[Command],
        clock: Clock<'_>,
        unseen: &mut Unseen,
    ) -> Result<Vec<Outcome>, AttemptError> {
        let Session { client, memory } = self.connected().await?;
        let posted = batch::post(client, memory, commands, clock, unseen).await;
        match &posted {
            Ok(_) | Err(BatchError::Store(_) | BatchError::Unconfirmed) => {}
            Err(BatchError::Unknown(_)) => self.session = None,
            Err(BatchError::NotCommitted(error)) => {
                if error.code().is_none_or(super::ends_session) {
                    self.session = None;
                }
            }
        }
        Ok(posted?)
    }

    fn may_try_again(&self, error: &AttemptError) -> bool {
        match error {
            AttemptError::Connect(_) => !self.down,
            AttemptError::Batch(BatchError::Store(_)) => false,
            AttemptError::Batch(BatchError::Unknown(_) | BatchError::Unconfirmed) => true,
            AttemptError::Batch(error @ BatchError::NotCommitted(_)) => {
                error.lost_a_race() || self.session.is_none()
            }
        }
    }

    async fn connected(&mut self) -> Result<&Session, AttemptError> {
        let session = match self.session.take().filter(|session| !session.client.is_closed()) {
            Some(session) => session,
            None => self.connect_noting().await.map_err(AttemptError::Connect)?,
        };
        Ok(self.session.insert(session))
    }

    /// Takes note of an attempt in vain, also if it is given up from outside.
    async fn connect_noting(&mut self) -> Result<Session, StoreError> {
        self.dialled_in_vain = Some(Instant::now());
        let session = self.connect().await;
        self.dialled_in_vain = session.is_err().then(Instant::now);
        session
    }

    /// Plain sockets of this thread's runtime: what a batch waits for is the commit, and a ring gains it nothing
    /// (measured; see ARCHITECTURE.md).
    async fn connect(&self) -> Result<Session, StoreError> {
        let options = &self.options;
        let limit = options.target.share_of(options.commit_timeout / 2).min(options.connect_timeout);
        let Dialled { client, place, warned, .. } = dial(&options.target, Carrier::Tokio, limit).await?;
        // After a failover it is another server than at the start.
        Server::of(&client).await?;
        client.batch_execute(&guards(options.commit_timeout)).await?;
        client.batch_execute(SESSION).await?;
        tracing::info!(%place, "the posting lane is connected");
        Ok(Session { client, memory: Memory::new(warned) })
    }

    /// The `seq` of the last event when this session last stored a batch; 0 before.
    pub fn last_seq(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.memory.last_seq())
    }

    /// The end of the log, as this connection sees it.
    pub async fn head(&mut self) -> Result<Head, StoreError> {
        let limit = self.options.statement_timeout;
        if let Ok(head) = timeout(limit, self.ask_head()).await {
            return head;
        }
        self.session = None;
        Err(StoreError::Unavailable("the database took too long for a check".into()))
    }

    /// The first time limit that is up; see [`crate::store::Writer::first_due`].
    pub async fn first_due(&mut self, clock: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let is_open = self.session.as_ref().is_some_and(|session| !session.client.is_closed());
        if !is_open && self.dialled_in_vain.is_some_and(|at| at.elapsed() < DIAL_REST) {
            return Err(StoreError::Unavailable("the database was not reached just now".into()));
        }
        let limit = self.options.statement_timeout;
        if let Ok(due) = timeout(limit, self.ask_first_due(clock)).await {
            return due;
        }
        self.session = None;
        Err(StoreError::Unavailable("the database took too long to name the first hold that ends".into()))
    }

    /// What has ended leaves dead rows in the index, which are walked over again and again while a long snapshot keeps
    /// them. So a look begins where the one before has found nothing: a later hold ends after the last event of then.
    async fn ask_first_due(&mut self, clock: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let Session { client, memory } = self.connected().await?;
        let statement = prepared(client, FIRST_DUE).await?;
        let row = client.query_one(&statement, &[&clock, &memory.no_expiry_before()]).await?;
        let (last_event, due): (Timestamp, Option<Timestamp>) = (rows::get(&row, 0)?, rows::get(&row, 1)?);
        memory.remember_no_expiry_before(due.map_or(last_event, |due| due.min(last_event)));
        Ok(due)
    }

    async fn ask_head(&mut self) -> Result<Head, StoreError> {
        let client = &self.connected().await?.client;
        let statement = prepared(client, CHECK).await?;
        let row = client.query_one(&statement, &[]).await?;
        if rows::get(&row, 3)? {
            self.session = None;
            return Err(StoreError::Unavailable("the database takes no writes".into()));
        }
        rows::head(&row)
    }
}

/// Why an attempt has no outcomes.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    /// There is no connection.
    #[error(transparent)]
    Connect(StoreError),
    /// The batch failed.
    #[error(transparent)]
    Batch(#[from] BatchError),
}

impl From<AttemptError> for StoreError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Connect(error) => error,
            AttemptError::Batch(error) => error.into(),
        }
    }
}
