//! Every setting with its unit, default and meaning. Knows neither where a
//! value comes from nor its bounds (`check`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::choices::{AccessLog, BusyPoll, IoMode, LogFormat, LogLevel};
use super::store_url::StoreUrl;
use super::units::Units;

/// All settings of one process. A key such as `limits.head_bytes` is the path
/// of fields; the same path in capitals, joined by `__` behind `RINGLEDGER__`,
/// is its environment variable.
///
/// Serializing shows `store.url` without its password.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The listening socket.
    pub server: Server,
    /// The listener of those who watch over the server.
    pub admin: Admin,
    /// Where the ledger is kept.
    pub store: Store,
    /// What the ledger counts.
    pub ledger: Ledger,
    /// Users and tokens.
    pub auth: Auth,
    /// Log and access lines.
    pub log: Log,
    /// Cores and I/O.
    pub runtime: Runtime,
    /// The drain on SIGTERM.
    pub shutdown: Shutdown,
    /// Bounds of a request, a connection and the queues.
    pub limits: Limits,
    /// Requests a second of one client; off unless set.
    pub rate_limit: RateLimit,
    /// Who may scrape.
    pub metrics: Metrics,
    /// Who gets spans.
    pub otlp: Otlp,
}

/// `server.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// IP address and port to listen on; port 0 takes a free one.
    /// Default `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Connections that the kernel queues for each core before they are
    /// accepted. Default 1024; the kernel caps it at `net.core.somaxconn`.
    pub backlog: u16,
    /// Milliseconds that a core stops accepting when descriptors or memory
    /// are short. Default 100.
    pub accept_back_off_ms: u32,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), backlog: 1024, accept_back_off_ms: 100 }
    }
}

/// `admin.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// IP address and port where `/metrics`, `/health`, `/ready` and the
    /// dashboard with its data (settings without secrets, recent problems) are
    /// served without a token, by a thread of its own; port 0 takes a free one.
    /// Absent (the default) means nowhere but at `server.listen`. Whoever
    /// reaches it may read: let it be an address of the host or of its
    /// operators' network.
    pub listen: Option<SocketAddr>,
}

/// `store.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// Directory of the signing key and, without `url`, of `ledger.db`.
    /// Default `./data`, made with mode 0700. Flag `--data`.
    pub data_dir: PathBuf,
    /// `postgres://…`; absent (the default) means `ledger.db` in
    /// `data_dir`.
    /// Also read from `DATABASE_URL`.
    pub url: Option<StoreUrl>,
    /// A Postgres standby that may lag behind: histories and `verify` are
    /// read there, everything else at `url`. Default absent.
    pub replica_url: Option<StoreUrl>,
    /// Postgres connections that each core reads through; each carries many
    /// requests at once. Default 2.
    pub connections_per_core: usize,
    /// Milliseconds for connecting to one Postgres server, unless the URL has
    /// `connect_timeout`. Default 2000.
    pub connect_timeout_ms: u64,
    /// Milliseconds that a request waits for a Postgres connection; then 503.
    /// Default 2000.
    pub acquire_timeout_ms: u64,
    /// Milliseconds that a query may take at Postgres; then 503.
    /// Default 5000.
    pub statement_timeout_ms: u64,
    /// Milliseconds that a batch of postings may take at Postgres, with all
    /// that it is tried again; then 503. Default 5000.
    pub commit_timeout_ms: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            url: None,
            replica_url: None,
            connections_per_core: 2,
            connect_timeout_ms: 2000,
            acquire_timeout_ms: 2000,
            statement_timeout_ms: 5000,
            commit_timeout_ms: 5000,
        }
    }
}

/// `ledger.*`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// Units that accounts may count beside the currencies of ISO 4217, such
    /// as `[{code: POINTS, exponent: 0}]`; as a variable, `POINTS:0, MILES:2`.
    /// Default none. A unit that is taken away stays readable; no account is
    /// opened and nothing is transferred in it.
    pub currencies: Units,
}

/// `auth.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Whether anyone may create a user over HTTP. Default true.
    pub open_registration: bool,
    /// Life of a new token in seconds. Default 3600.
    pub token_ttl_s: u32,
    /// File of the signing key; absent (the default) means `key_dir` or one in
    /// the data directory, made at the first start. Reloadable, what it holds
    /// too.
    pub key_file: Option<PathBuf>,
    /// Directory of signing keys, in place of one file: tokens of all its
    /// `*.key` are accepted, and the last of them by name signs. Default
    /// absent. Reloadable, what it holds too.
    pub key_dir: Option<PathBuf>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { open_registration: true, token_ttl_s: 3600, key_file: None, key_dir: None }
    }
}

/// `log.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// Least severe event that is logged. Default `info`. Reloadable.
    pub level: LogLevel,
    /// Directive list such as `info,ringledger_ledger=debug`: a level for all
    /// else, and levels for modules, the longest name that fits counting.
    /// Where set, it takes the place of `level`. Default absent. Reloadable.
    pub filter: Option<String>,
    /// How a line is written. Default `auto`.
    pub format: LogFormat,
    /// Which requests leave an access line. Default `all`. Reloadable.
    pub access: AccessLog,
    /// Milliseconds from a request's head to its reply that make it slow: then
    /// a line tells where the time went. Default 1000. Reloadable.
    pub slow_ms: u64,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: LogLevel::default(),
            filter: None,
            format: LogFormat::default(),
            access: AccessLog::default(),
            slow_ms: 1000,
        }
    }
}

/// `runtime.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Runtime {
    /// Worker threads, one pinned to a core each; absent (the default) means
    /// one for every core that the process may use, less one where
    /// `busy_poll` is `always`.
    pub workers: Option<u16>,
    /// What carries the sockets. Default `auto`.
    pub io: IoMode,
    /// Whether an idle worker spins instead of sleeping: `off`, `adaptive`
    /// (for `busy_poll_us` after the last arrival) or `always`. Spinning
    /// takes more than half off the latency of a lone request and uses the
    /// whole core for it, so it is right only where cores are the process's
    /// own. `always` never takes every core of the machine. Default `off`.
    pub busy_poll: BusyPoll,
    /// Microseconds that `adaptive` spins after the last arrival. Default 100:
    /// a client in the same network has answered by then.
    pub busy_poll_us: u32,
    /// Whether `/plaintext`, `/json` and `/cpu` answer. Default false: `/cpu`
    /// burns a core for anyone who asks.
    pub bench_endpoints: bool,
}

impl Default for Runtime {
    fn default() -> Self {
        Self {
            workers: None,
            io: IoMode::default(),
            busy_poll: BusyPoll::default(),
            busy_poll_us: 100,
            bench_endpoints: false,
        }
    }
}

/// `shutdown.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Shutdown {
    /// Milliseconds that requests in flight get once the listener is closed.
    /// Default 10000.
    pub deadline_ms: u64,
    /// Milliseconds between `/ready` turning 503 and the listener closing, for
    /// load balancers to look away. Default 0.
    pub drain_delay_ms: u64,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { deadline_ms: 10_000, drain_delay_ms: 0 }
    }
}

/// `limits.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Request target in bytes; longer is 414. Default 8192.
    pub target_bytes: usize,
    /// Request line and fields in bytes; longer is 431. Default 16384.
    pub head_bytes: usize,
    /// Header fields of a request; more is 431. Default 64.
    pub fields: usize,
    /// Body in bytes; longer is 413. Default 65536. Reloadable.
    pub body_bytes: usize,
    /// Body of a batch of transfers in bytes; longer is 413. Default 4194304. Reloadable.
    pub batch_body_bytes: usize,
    /// Milliseconds from the first byte of a head, or from the start of a
    /// connection, to the end of the head; then the connection is closed.
    /// Default 10000. Reloadable.
    pub head_timeout_ms: u64,
    /// Milliseconds that a body may take to arrive, with another second for
    /// each 16 KiB of it, and that it may pause; then 408. Default 10000.
    /// Reloadable.
    pub body_timeout_ms: u64,
    /// Milliseconds that a connection may rest between requests; then it is
    /// closed. Default 75000. Reloadable.
    pub idle_timeout_ms: u64,
    /// Milliseconds without progress of a write; then the connection is
    /// closed. Default 10000.
    pub write_timeout_ms: u64,
    /// Milliseconds that a handler may take, from the end of the request to
    /// the start of the reply; then 503. Default 30000. Reloadable.
    pub request_timeout_ms: u64,
    /// The same for a batch of transfers. Default 60000. Reloadable.
    pub batch_timeout_ms: u64,
    /// Batches of transfers under way on one core, from the end of their body
    /// until their reply is taken, which may have several MiB each; beyond it
    /// 503. Bodies that are arriving may have as many times
    /// `batch_body_bytes` together; beyond it 503 too. Default 16.
    pub batches_per_core: usize,
    /// Commands that wait for the posting lane; beyond it 503. Default 8192.
    pub lane_queue: usize,
    /// Commands that the posting lane commits together at most, a batch of
    /// transfers counting as that many: the bound of one commit's time, and with it of what a newcomer waits for.
    /// Default 4096.
    pub lane_batch: usize,
    /// Jobs that wait for the CPU pool; beyond it 503. Default 256.
    pub cpu_queue: usize,
    /// Requests under way on one core; beyond it 503 at once. Default 4096.
    pub in_flight_per_core: usize,
    /// Open connections of one core; beyond it a new one is closed at once.
    /// Default 16384.
    pub connections_per_core: usize,
    /// WebSockets of one core that follow events; beyond it 503. Default 8192,
    /// so that readers leave half of the connections to requests.
    pub sockets_per_core: usize,
    /// WebSockets with which one user follows events, on all cores of the
    /// process; beyond it 429. Default 1024.
    pub sockets_per_user: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            target_bytes: 8192,
            head_bytes: 16_384,
            fields: 64,
            body_bytes: 65_536,
            batch_body_bytes: 4 * 1024 * 1024,
            head_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            idle_timeout_ms: 75_000,
            write_timeout_ms: 10_000,
            request_timeout_ms: 30_000,
            batch_timeout_ms: 60_000,
            batches_per_core: 16,
            lane_queue: 8192,
            lane_batch: 4096,
            cpu_queue: 256,
            in_flight_per_core: 4096,
            connections_per_core: 16_384,
            sockets_per_core: 8192,
            sockets_per_user: 1024,
        }
    }
}

/// `rate_limit.*`: a token bucket for each client.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimit {
    /// Requests a second that refill the bucket; absent (the default) means no
    /// rate limit. Reloadable.
    pub per_second: Option<u32>,
    /// Requests that a rested client may send at once; absent means
    /// `per_second`. Reloadable.
    pub burst: Option<u32>,
}

/// `metrics.*`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Whether `/metrics` answers without a token on the public listener.
    /// Default true. Reloadable.
    pub public: bool,
    /// Whether requests are counted and `/metrics` is there. Default true; it
    /// costs less than 3 % of the CPU time of the smallest request.
    pub enabled: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { public: true, enabled: true }
    }
}

/// `otlp.*`, of a program that is built with the feature `otlp`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    /// Base URL of an OpenTelemetry collector that takes OTLP over HTTP, such
    /// as `http://127.0.0.1:4318`. Absent (the default) means that no spans
    /// are sent.
    pub endpoint: Option<String>,
    /// Of a hundred traces that begin here, how many are sent; one that a
    /// caller has begun is sent if the caller says so. Default 1: a span for
    /// each request costs more than most requests.
    pub sample_percent: u32,
}

impl Default for Otlp {
    fn default() -> Self {
        Self { endpoint: None, sample_percent: 1 }
    }
}
