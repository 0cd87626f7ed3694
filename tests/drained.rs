//! Structured concurrency: once a server has drained, nothing of it is left. No thread, no descriptor, and so no ring
//! with an operation in it, since such a ring is leaked rather than closed.
//!
//! The server runs in this process, so that the kernel can be asked what is there after it. A program of its own, since
//! other tests would open and close things meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

#[path = "it/support/raw.rs"]
#[allow(dead_code, reason = "most of it is for other tests")]
mod raw;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Debug;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use raw::{Connection, Request};
use ringledger::app::{self, Source, Start};
use ringledger::config::{self, Overrides, Settings, Sources};
use ringledger::models::user::BUILT_IN_OPERATOR;
use ringledger::models::{Actor, Role};
use ringledger::services::Tokens;
use ringledger::telemetry::logging::{self, Format, Logging};
use throwaway_postgres::{Cluster, ClusterOptions};

/// Ends a case that hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long what has ended may still be seen. Jobs of the CPU pool run when nobody else wants a core, so on a busy machine
/// they outlast the drain, which gives them up: then the process would end, and here they end by themselves.
const VANISHES_WITHIN: Duration = Duration::from_mins(2);
/// So long that a connection has been parked.
const PARKED_AFTER: Duration = Duration::from_millis(1_200);
/// How long one life of the server may take. Its parts have bounds of their own.
const LIFE_WITHIN: Duration = Duration::from_mins(2);
/// What cuts off those who never end.
const DEADLINE_MS: u32 = 1_000;

/// Everything of this process that a server could leave behind, counted by what it is.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    threads: BTreeMap<String, usize>,
    descriptors: BTreeMap<String, usize>,
}

impl Holdings {
    fn now() -> Self {
        Self {
            threads: counted("/proc/self/task", |path| fs::read_to_string(path.join("comm")).ok()),
            descriptors: counted("/proc/self/fd", |path| {
                fs::read_link(path).ok().map(|target| target.to_string_lossy().into_owned())
            }),
        }
    }

    fn rings(&self) -> usize {
        let is_ring = |name: &&String| name.contains("io_uring");
        self.descriptors.keys().filter(is_ring).count()
    }
}

/// What `name` says of each entry of a directory, without the numbers that no two have in common.
fn counted(directory: &str, name: impl Fn(&Path) -> Option<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map_while(Result::ok) {
        if let Some(name) = name(&entry.path()) {
            let kind: String = name.trim().chars().filter(|c| !c.is_ascii_digit()).collect();
            *counts.entry(kind).or_default() += 1;
        }
    }
    counts
}

/// The log, line by line.
struct Lines(mpsc::Sender<String>, Vec<u8>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1.extend_from_slice(bytes);
        while let Some(end) = self.1.iter().position(|&byte| byte == b'\n') {
            let line = self.1.drain(..=end).collect::<Vec<_>>();
            // The test may not listen any more.
            let _ = self.0.send(String::from_utf8_lossy(&line).into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn after_a_drain_no_thread_descriptor_or_ring_is_left() {
    let (told, lines) = mpsc::channel();
    let lines = Mutex::new(lines);
    let logging = logging::start_to(Lines(told, Vec::new()), Format::Json, "info", None, || ()).unwrap();
    let cluster = Cluster::start(&ClusterOptions::new()).unwrap_or_else(|error| panic!("{error}"));
    let url = cluster.url(&cluster.database().unwrap());
    let threads = Holdings::now().threads;
    for (engine, postgres) in [("uring", None), ("epoll", None), ("uring", Some(&*url))] {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let sources = sources(data.path(), engine, postgres);
        // What is made once in a process and kept, such as the pipe of signals, is made in the first life.
        live(&sources, &logging, &lines);
        assert_left(&threads, || Holdings::now().threads);
        let before = Holdings::now();
        assert_eq!(before.rings(), 0, "{before:#?}");
        live(&sources, &logging, &lines);
        assert_left(&before, Holdings::now);
    }
}

#[track_caller]
fn assert_left<T: PartialEq + Debug>(before: &T, now: impl Fn() -> T) {
    let deadline = Instant::now() + VANISHES_WITHIN;
    while now() != *before && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(now(), *before);
}

fn sources(data: &Path, engine: &str, postgres: Option<&str>) -> Sources {
    let deadline_ms = DEADLINE_MS.to_string();
    let mut settings = vec![
        ("SERVER__LISTEN", "127.0.0.1:0"),
        ("RUNTIME__IO", engine),
        ("RUNTIME__BENCH_ENDPOINTS", "true"),
        ("SHUTDOWN__DEADLINE_MS", &deadline_ms),
        ("ADMIN__LISTEN", "127.0.0.1:0"),
    ];
    settings.extend(postgres.map(|url| ("STORE__URL", url)));
    let variable = |(name, value): (&str, &str)| (format!("RINGLEDGER__{name}").into(), value.into());
    Sources {
        config_file: None,
        dotenv: None,
        env: settings.into_iter().map(variable).collect(),
        flags: Overrides { data_dir: Some(data.to_owned()), ..Overrides::default() },
    }
}

/// A server from its start to its end, with a client of each kind at the time of the drain.
fn live(sources: &Sources, logging: &Logging, lines: &Mutex<mpsc::Receiver<String>>) {
    let settings = config::load(sources).unwrap().settings;
    let load = || config::load(sources).map(|loaded| loaded.settings).map_err(|error| error.to_string());
    let (served, (found, wanted)) = (&settings, mpsc::channel());
    thread::scope(|scope| {
        let (_lives, life) = mpsc::channel::<Infallible>();
        scope.spawn(move || end_if_longer(&life));
        let clients = scope.spawn(move || {
            let _ends = EndsServer;
            let address = wanted.recv_timeout(PATIENCE).unwrap();
            Clients::connect(address, &operator_token(served))
        });
        let log = scope.spawn(move || {
            let (lines, mut log) = (lines.lock().unwrap(), Vec::new());
            loop {
                let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no end in {log:#?}"));
                if let Some(address) = address_in(&line) {
                    found.send(address).unwrap();
                }
                let is_end = line.contains("\"stopped\"");
                log.push(line);
                if is_end {
                    return log;
                }
            }
        });
        let start = Start::begin(Vec::new()).unwrap();
        app::serve(start, served, Source { load: &load, files: &Vec::new }, logging).unwrap();
        clients.join().unwrap().assert_over();
        for line in log.join().unwrap() {
            let is_bad = ["panicked", "outlived", "\"ERROR\""].iter().any(|word| line.contains(word));
            assert!(!is_bad, "{line}");
        }
    });
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("\"listening on http://")?;
    rest.split_once('"')?.0.parse().ok()
}

fn operator_token(settings: &Settings) -> String {
    let actor = Actor { id: BUILT_IN_OPERATOR, role: Role::Operator };
    Tokens::new(&app::keyring(settings).unwrap()).issue(actor, 60).unwrap()
}

/// Has the server drain when it goes, as an operating system does: also when the clients have failed, since the test would
/// else wait for the server.
struct EndsServer;

impl Drop for EndsServer {
    fn drop(&mut self) {
        if thread::panicking() {
            tell("a client failed; the server is told to end");
        }
        let pid = std::process::id().to_string();
        let ran = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(ran.is_ok_and(|status| status.success()) || thread::panicking(), "no signal was sent");
    }
}

/// Ends the test when the server does not end, which runs in this process. What keeps the other end is dropped then.
fn end_if_longer(life: &mpsc::Receiver<Infallible>) {
    if matches!(life.recv_timeout(LIFE_WITHIN), Err(mpsc::RecvTimeoutError::Timeout)) {
        tell("the server did not end in time");
        std::process::exit(1);
    }
}

/// Past what the test runner keeps until the end of a test, which may not come.
fn tell(what: &str) {
    let _ = writeln!(io::stderr(), "{what}");
}

/// One connection in each state that a drain may find.
struct Clients(Vec<(&'static str, Connection)>);

impl Clients {
    fn connect(address: SocketAddr, token: &str) -> Self {
        let mut clients = Vec::new();
        let mut client = |name, bytes: &[u8], answered: bool| {
            let mut connection = Connection::open(address);
            connection.send(bytes);
            if answered {
                assert!(connection.reply().status < 300, "{name}");
            }
            clients.push((name, connection));
        };
        let health = Request::get("/health").bytes();
        client("parked", &health, true);
        thread::sleep(PARKED_AFTER);
        client("resting", &health, true);
        client("silent", b"", false);
        client("in a head", b"GET /health HTTP/1.1\r\nHost: l", false);
        let account = Request::post("/api/v1/accounts").bearer(token);
        client("done", &account.json(r#"{"currency":"EUR"}"#).bytes(), true);
        let body = Request::post("/api/v1/accounts").bearer(token).field("Content-Type", "application/json");
        client("in a body", &body.field("Content-Length", "100").head(), false);
        client("in a job", &Request::get("/cpu?ms=100").bytes(), false);
        let login = Request::post("/api/v1/tokens").json(r#"{"username":"nobody","password":"wrong horse"}"#);
        client("in a login", &login.bytes(), false);
        client("following", &handshake("/api/v1/events", token), true);
        client("following from the start", &handshake("/api/v1/events?after=0", token), true);
        client("echoing", &handshake("/ws-echo", token), true);
        let document = Request::get("/openapi.json").bytes();
        client("not reading", &document.repeat(200), false);
        Self(clients)
    }

    /// All were ended; whoever had left bytes unread may have been reset.
    fn assert_over(self) {
        for (name, mut connection) in self.0 {
            let deadline = Instant::now() + PATIENCE;
            while matches!(connection.skip(), Ok(1..)) {
                assert!(Instant::now() < deadline, "the client {name} is still served");
            }
        }
    }
}

fn handshake(target: &str, token: &str) -> Vec<u8> {
    let request = Request::get(target).bearer(token).field("Connection", "upgrade");
    let request = request.field("Upgrade", "websocket").field("Sec-WebSocket-Version", "13");
    request.field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").bytes()
}
