//! The way of a request without a socket: one client and one connection, answered as a worker answers, on one
//! thread. Everything is as shipped but the engine and the log's sink; the bench endpoints are on.

#![allow(dead_code, reason = "no program uses all of it")]

mod wire;

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::task::{Poll, ready};

use hyper::rt::{Read, ReadBuf, Write as _};
use ringledger::api::{Api, RateLimiter, RecentProblems, Route, routes};
use ringledger::app::build::BUILD;
use ringledger::config::Settings;
use ringledger::models::user::BUILT_IN_OPERATOR;
use ringledger::models::{Actor, Currencies, Role};
use ringledger::runtime::{BusyPoll, CpuPool, CpuThreads, Engine, Kick, Stream};
use ringledger::server::{self, Exchanges};
use ringledger::services::events::{Commits, Followers, Places};
use ringledger::services::{Events, Keyring, PostingLane, Services, SigningKey, Statements, Tickets, Tokens};
use ringledger::store::{Location, Store};
use ringledger::telemetry::access::Sampling;
use ringledger::telemetry::logging::{self, Format, Logging};
use ringledger::telemetry::metrics::{Metrics, Subject};
use ringledger::web::router::Router;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use self::wire::{Client, MemoryStream};

/// Digits that number the sendings of an exchange.
const NUMBER_DIGITS: usize = 12;

/// As long as the reply to [`plaintext`], and made of nothing.
const CANNED_REPLY: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n\
    x-request-id: 01a2053a-6f78-7282-a685-d3162f6f7057\r\ncontent-length: 13\r\n\
    date: Sun, 22 Nov 2026 22:42:31 GMT\r\n\r\nHello, World!";

/// A client, and what answers it.
pub(crate) struct Rig {
    _connection: JoinSet<()>,
    local: LocalSet,
    runtime: Runtime,
    client: Client,
}

/// Requests that are sent at once.
pub(crate) struct Exchange {
    requests: Vec<u8>,
    replies: usize,
    /// Where the number of this sending stands, if no two may be alike.
    number: Option<Range<usize>>,
    sent: u64,
}

/// What the server behind a [`Rig`] needs to run, and the requests that it answers.
pub(crate) struct Ledger {
    token: String,
    accounts: [String; 2],
    _ground: Ground,
}

/// What ends with the server behind a [`Rig`].
pub(crate) struct Ground {
    tokens: Tokens,
    _closing: watch::Sender<bool>,
    _chores: JoinSet<()>,
    _pool: CpuThreads,
    _directory: tempfile::TempDir,
}

impl Rig {
    /// A connection of the server, with a ledger of two accounts.
    pub(crate) fn new() -> (Self, Ledger) {
        let (rig, ground) = Self::routing(routes::router(true));
        let operator = Actor { id: BUILT_IN_OPERATOR, role: Role::Operator };
        let token = ground.tokens.issue(operator, 3_600).expect("a token");
        let accounts = [rig.open_account(&token), rig.open_account(&token)];
        (rig, Ledger { token, accounts, _ground: ground })
    }

    /// A connection of a server with these routes. Each must have the number of one of the server's own.
    pub(crate) fn routing(router: Router<Route>) -> (Self, Ground) {
        // Not the system's temporary directory, which is often memory and has no stable storage to wait for.
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory in target");
        let (closing, closes) = watch::channel(false);
        let (exchanges, pool, tokens) = exchanges(directory.path(), router);
        let exchanges = Rc::new(exchanges);
        let rig = Self::serving(|stream| server::serve(stream, Rc::clone(&exchanges), closes));
        let chores = rig
            .local
            .block_on(&rig.runtime, async { server::chores(&exchanges, Engine::Epoll, BusyPoll::Off) });
        let ground =
            Ground { tokens, _closing: closing, _chores: chores, _pool: pool, _directory: directory };
        (rig, ground)
    }

    /// A connection that gives the same reply to everything: what the rig itself costs.
    pub(crate) fn canned() -> Self {
        Self::serving(repeat_canned)
    }

    fn serving<F: Future<Output = ()> + 'static>(serve: impl FnOnce(MemoryStream) -> F) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let (client, stream) = wire::connect();
        let (local, mut connection) = (LocalSet::new(), JoinSet::new());
        connection.spawn_local_on(serve(stream), &local);
        Self { _connection: connection, local, runtime: runtime.expect("a runtime"), client }
    }

    /// Sends the exchange's requests and awaits their replies, so many times over.
    pub(crate) fn repeat(&self, exchange: &mut Exchange, times: u64) {
        self.local.block_on(&self.runtime, async {
            for _ in 0..times {
                exchange.count();
                self.client.exchange(&exchange.requests, exchange.replies).await;
            }
        });
    }

    /// Sends one request and gives its reply back, whatever it is.
    pub(crate) fn call(&self, request: &str) -> String {
        let exchange = self.client.exchange_for(b"HTTP/1.1 ", request.as_bytes(), 1);
        self.local.block_on(&self.runtime, exchange);
        String::from_utf8_lossy(&self.client.replies()).into_owned()
    }

    /// Opens an account of the caller's that may be overdrawn, and returns its path.
    fn open_account(&self, token: &str) -> String {
        let body = r#"{"currency":"EUR","min_balance":null}"#;
        let reply = self.call(&post("/api/v1/accounts", token, "", body));
        let (_, location) = reply.split_once("\r\nlocation: ").expect("where the account is");
        location.lines().next().expect("a line").to_owned()
    }
}

impl Exchange {
    fn of(request: String) -> Self {
        Self { requests: request.into_bytes(), replies: 1, number: None, sent: 0 }
    }

    /// Writes the number of this sending.
    fn count(&mut self) {
        self.sent += 1;
        if let Some(place) = self.number.clone() {
            write!(&mut self.requests[place], "{:0NUMBER_DIGITS$}", self.sent).expect("room for the digits");
        }
    }
}

impl Ledger {
    /// An account, read with a token that is known after the first time.
    pub(crate) fn account(&self) -> Exchange {
        let (path, token) = (&self.accounts[0], &self.token);
        Exchange::of(format!("GET {path} HTTP/1.1\r\n{}\r\n", usual_fields(token)))
    }

    /// A transfer, each time under a key of its own.
    pub(crate) fn transfer(&self) -> Exchange {
        let [debit, credit] = self.accounts.each_ref().map(|path| {
            let (_, id) = path.rsplit_once('/').expect("an account's path");
            id
        });
        let body = format!(
            r#"{{"debit_account":"{debit}","credit_account":"{credit}","amount":1999,"currency":"EUR","#
        ) + r#""description":"Invoice 2026-0117","reference":"2026-0117"}"#;
        let digits = "0".repeat(NUMBER_DIGITS);
        let key = format!("idempotency-key: {}-{digits}\r\n", Uuid::now_v7());
        let request = post("/api/v1/transfers", &self.token, &key, &body);
        let end = request.find(&key).expect("the field") + key.len() - "\r\n".len();
        Exchange { number: Some(end - NUMBER_DIGITS..end), ..Exchange::of(request) }
    }
}

/// What needs nothing but its head.
pub(crate) fn plaintext() -> Exchange {
    let text = "GET /plaintext HTTP/1.1\r\nhost: localhost:8080\r\naccept: text/plain\r\n\
        user-agent: bench\r\n\r\n";
    Exchange::of(text.to_owned())
}

/// So many of that at once.
pub(crate) fn pipelined(depth: usize) -> Exchange {
    let one = plaintext();
    Exchange { requests: one.requests.repeat(depth), replies: depth, ..one }
}

fn usual_fields(token: &str) -> String {
    format!(
        "host: localhost:8080\r\naccept: application/json\r\nuser-agent: bench\r\n\
         authorization: Bearer {token}\r\n"
    )
}

fn post(path: &str, token: &str, fields: &str, body: &str) -> String {
    let usual = usual_fields(token);
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\n{usual}{fields}content-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
}

/// What one worker answers with, as `app` makes it.
fn exchanges(directory: &Path, router: Router<Route>) -> (Exchanges, CpuThreads, Tokens) {
    let settings = Settings::default();
    let location = Location::Sqlite { directory: directory.to_owned() };
    let store = Store::open(&location).expect("a fresh store");
    let writer = store.writer().expect("a writer");
    let (lane, _ends_by_itself) =
        PostingLane::start(writer, settings.limits.lane_queue, settings.limits.lane_batch).expect("a lane");
    let (pool, threads) =
        CpuPool::start(NonZeroUsize::MIN, settings.limits.cpu_queue, |_| ()).expect("a pool");
    let key = Keyring::from(SigningKey::read_or_make(&directory.join("key")).expect("a key"));
    let tokens = Tokens::new(&key);
    let log = log();
    let rows = routes::labels(true);
    let (_metrics, mut tallies) = Metrics::new(Subject {
        build: BUILD,
        rows,
        cores: vec!["0".to_owned()],
        results: &[],
        dropped_lines: log.dropped(),
    });
    let reader = Rc::new(store.reader().expect("a reader"));
    let (_, mut commits) = Commits::new(1);
    let commits = commits.pop().expect("the one core's");
    let limits = &settings.limits;
    let places = Places::new(limits.sockets_per_core, limits.sockets_per_user, Followers::default());
    let turns = Rc::default();
    let encode = ringledger::api::events::encode;
    let events = Rc::new(Events::new(Rc::clone(&reader), commits, places, Rc::clone(&turns), encode));
    let api = Api {
        router,
        services: Services {
            reader,
            lane,
            pool,
            statements: Statements::new(
                store.statement_readers(1).expect("a reader of statements").remove(0),
            ),
            tokens: tokens.clone(),
            tickets: Tickets::new(&key),
            events,
            turns,
        },
        rate_limiter: Arc::new(RateLimiter::off()),
        currencies: Currencies::default(),
        open_registration: settings.auth.open_registration,
        token_ttl_s: settings.auth.token_ttl_s,
        metrics: None,
        metrics_public: settings.metrics.public.into(),
        is_admin: false,
        about: RefCell::default(),
        recent: RecentProblems::for_cores(1).remove(0),
        draining: false.into(),
    };
    let tally = tallies.pop().expect("what the one core counts with");
    let exchanges = Exchanges::new(api, settings.limits, log.access_lines(0, Sampling::All), tally);
    (exchanges, threads, tokens)
}

/// The log of the process; nobody reads what it writes.
pub(crate) fn log() -> &'static Logging {
    static LOG: OnceLock<Logging> = OnceLock::new();
    LOG.get_or_init(|| logging::start_to(io::sink(), Format::Json, "info", None, || ()).expect("a log"))
}

/// Writes the canned reply for each read, until the client leaves.
async fn repeat_canned(mut stream: MemoryStream) {
    let kicker = stream.kicker();
    let mut room = [0; 1024];
    poll_fn(|cx| {
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            let read = ready!(Pin::new(&mut stream).poll_read(cx, buffer.unfilled()));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
            let written = Pin::new(&mut stream).poll_write(cx, CANNED_REPLY);
            assert!(matches!(written, Poll::Ready(Ok(length)) if length == CANNED_REPLY.len()));
            assert!(matches!(kicker.kick(cx), Poll::Ready(Ok(()))));
        }
    })
    .await;
}
