//! What handlers share, from the store to running parts and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;

use metrics_exporter_prometheus::PrometheusHandle;
use ringledger::app::location;
use ringledger::config::{Settings, StoreUrl};
use ringledger::models::Actor;
use ringledger::services::posting::LaneThread;
use ringledger::services::tokens::{InvalidToken, KEY_FILE};
use ringledger::services::{PostingLane, SigningKey, Tokens};
use ringledger::store::sqlite::ServerLock;
use ringledger::store::{Store, StoreError};
use thread_local::ThreadLocal;

use crate::Failure;
use crate::cpu::CpuWork;
use crate::error::AppError;
use crate::ledger::{Posting, Reads};
use crate::measure;
use crate::options::{Options, Variant};
use crate::postgres::{Order, PostgresPool};
use crate::sqlite::SqliteReads;
use crate::writer::{self, WriterThread};

/// What handlers share.
pub(crate) struct AppState {
    /// Reads the ledger.
    pub(crate) reads: Reads,
    /// Changes it.
    pub(crate) posting: Posting,
    /// Hashes passwords.
    pub(crate) cpu: CpuWork,
    /// Life of a token in seconds.
    pub(crate) token_ttl_s: u32,
    /// What the process has counted.
    pub(crate) prometheus: PrometheusHandle,
    key: SigningKey,
    /// The library's verifier remembers tokens that it found valid and is one thread's own for that.
    tokens: ThreadLocal<Tokens>,
    draining: AtomicBool,
}

/// How handlers hold it.
pub(crate) type App = Arc<AppState>;

impl AppState {
    /// Who a token speaks for.
    pub(crate) fn verify(&self, token: &[u8]) -> Result<Actor, InvalidToken> {
        self.tokens().verify(token)
    }

    /// A token for `actor`.
    pub(crate) fn issue(&self, actor: Actor) -> Result<String, AppError> {
        Ok(self.tokens().issue(actor, self.token_ttl_s)?)
    }

    fn tokens(&self) -> &Tokens {
        self.tokens.get_or(|| Tokens::new(&self.key.clone().into()))
    }

    /// From now on `/ready` says no.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server has begun to drain.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// A store with a current schema, and the key of its tokens.
pub(crate) struct Opened {
    settings: Settings,
    store: Store,
    key: SigningKey,
    /// Keeps other servers away from a file.
    lock: Option<ServerLock>,
}

/// Opens the store as ringledger does, with its defaults. Not for async code: a database is waited for.
pub(crate) fn open(options: &Options) -> Result<Opened, Failure> {
    let mut settings = Settings::default();
    settings.store.data_dir.clone_from(&options.data);
    settings.store.url = options.database_url.clone().map(StoreUrl::try_from).transpose()?;
    let location = location(&settings)?;
    let lock = location.lock()?;
    let store = Store::open(&location)?;
    let key = SigningKey::read_or_make(&options.data.join(KEY_FILE))?;
    if !store.accept_signing_keys(&[key.fingerprint()])? {
        return Err(Failure::OtherKey);
    }
    Ok(Opened { settings, store, key, lock })
}

/// What serves requests.
pub(crate) struct Started {
    /// What handlers share.
    pub(crate) app: App,
    /// The thread that writes, if one does.
    pub(crate) writer: Writing,
    /// Keeps other servers away from a file.
    pub(crate) lock: Option<ServerLock>,
}

/// Starts what works on an opened store.
pub(crate) fn start(options: &Options, opened: Opened) -> Result<Started, Failure> {
    let Opened { settings, store, key, lock } = opened;
    let cores = available_parallelism()?.get();
    let order = if options.variant == Variant::Unordered { Order::Rows } else { Order::Total };
    let pool = settings
        .store
        .url
        .as_ref()
        .map(|url| PostgresPool::new(url.expose(), options.pool_size.into(), order));
    let pool = pool.transpose()?.map(Arc::new);
    let queue_commands = settings.limits.lane_queue;
    let (posting, writer) = match (&pool, options.variant) {
        (_, Variant::Lane) => {
            let (lane, thread) =
                PostingLane::start(store.writer()?, queue_commands, settings.limits.lane_batch)?;
            (Posting::Lane(lane), Writing::Lane(thread))
        }
        (Some(pool), Variant::Full | Variant::Unordered | Variant::Bare) => {
            (Posting::Pooled(Arc::clone(pool)), Writing::Pooled)
        }
        (None, Variant::Unordered) => return Err(Failure::Unordered),
        (None, Variant::Full | Variant::Bare) => {
            let (queue, thread) = writer::start(store.writer()?, queue_commands)?;
            (Posting::Direct(queue), Writing::Direct(thread))
        }
    };
    let reads = match pool {
        Some(pool) => Reads::Postgres(pool),
        // Reads of cached pages are CPU work: more connections than cores would only take turns.
        None => Reads::Sqlite(SqliteReads::new(store, cores, options.inline_reads)?),
    };
    let app = AppState {
        reads,
        posting,
        cpu: cpu_work(options.cpu_permits, cores),
        token_ttl_s: settings.auth.token_ttl_s,
        prometheus: measure::start()?,
        key,
        tokens: ThreadLocal::new(),
        draining: AtomicBool::new(false),
    };
    Ok(Started { app: Arc::new(app), writer, lock })
}

fn cpu_work(permits: Option<usize>, cores: usize) -> CpuWork {
    match permits {
        Some(0) => CpuWork::unlimited(),
        Some(permits) => CpuWork::new(permits),
        None => CpuWork::new(cores),
    }
}

/// What writes.
pub(crate) enum Writing {
    /// A thread, with one transaction for each request.
    Direct(WriterThread),
    /// The requests themselves.
    Pooled,
    /// A thread, with one transaction for all that wait.
    Lane(LaneThread),
}

/// Ends the work in order once nothing is in flight. What the deadline has cut off keeps the store open to the end of
/// the process, which it survives.
pub(crate) fn close(app: App, writer: Writing) -> Result<(), StoreError> {
    let Some(app) = Arc::into_inner(app) else { return Ok(()) };
    // The last handle to the writer's queue, and to the pool.
    drop(app);
    match writer {
        Writing::Direct(thread) => {
            let panicked = |_| Err(StoreError::Unavailable("the writer panicked".into()));
            thread.join().unwrap_or_else(panicked)
        }
        Writing::Pooled => Ok(()),
        Writing::Lane(thread) => thread.join(),
    }
}
