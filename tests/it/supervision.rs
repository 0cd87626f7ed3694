//! What the service manager is told (`sd_notify(3)`), read from a socket of the test's own.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use throwaway_postgres::Proxy;

use crate::support::books::{Books, Order, expect_created};
use crate::support::postgres::shared_cluster;
use crate::support::raw::{Connection, Request};
use crate::support::{Server, ledger_command, new_data, on_both_engines};

/// By when something must be told.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing is told, of a server that would tell every [`WATCHDOG`] / 2.
const SILENCE: Duration = Duration::from_secs(1);
/// How often the service manager wants a sign of life.
const WATCHDOG: Duration = Duration::from_millis(400);

/// How long a core takes to get to its place, where a test has it take long.
const CORE_DELAY: Duration = Duration::from_millis(1_500);

on_both_engines!(ready_is_told_when_every_core_accepts);

/// A service manager, as far as it is told things.
struct Manager {
    socket: UnixDatagram,
    /// As `NOTIFY_SOCKET` has it.
    name: String,
    _directory: Option<TempDir>,
}

impl Manager {
    fn at_a_path() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, name: path.to_str().unwrap().to_owned(), _directory: Some(directory) }
    }

    /// Without a file (unix(7)), as systemd does it for some.
    fn abstract_one() -> Self {
        let name = format!("ringledger-test-{}", uuid::Uuid::now_v7());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        Self {
            socket: UnixDatagram::bind_addr(&address).unwrap(),
            name: format!("@{name}"),
            _directory: None,
        }
    }

    /// A server that it started.
    fn start(&self, data: TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Server {
        let command = ledger_command(data.path());
        self.start_by(command, data, arguments, variables, &[("shutdown.drain_delay_ms", "500")])
    }

    /// The same by a command of its own.
    fn start_by(
        &self,
        mut command: Command,
        data: TempDir,
        arguments: &[&str],
        variables: &[(&str, &str)],
        settings: &[(&str, &str)],
    ) -> Server {
        command.stdin(Stdio::null()).stdout(Stdio::null()).env("NOTIFY_SOCKET", &self.name);
        command.envs(variables.iter().copied());
        Server::start_by(command, data, arguments, settings)
    }

    /// The next message, if it comes within that time.
    fn told_within(&self, time: Duration) -> Option<Vec<String>> {
        let mut message = [0; 4096];
        self.socket.set_read_timeout(Some(time)).unwrap();
        let length = self.socket.recv(&mut message).ok()?;
        let text = std::str::from_utf8(&message[..length]).unwrap();
        Some(text.lines().map(str::to_owned).collect())
    }

    /// Waits for a message with this line in it.
    #[track_caller]
    fn wait_for(&self, wanted: &str) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
        {
            match self.told_within(left) {
                Some(lines) if lines.iter().any(|line| line == wanted) => return lines,
                Some(_) => {}
                None => break,
            }
        }
        panic!("{wanted} was not told");
    }

    /// Forgets what was told until now.
    fn forget(&self) {
        while self.told_within(Duration::from_millis(1)).is_some() {}
    }
}

fn value<'a>(lines: &'a [String], name: &str) -> &'a str {
    let found = lines.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    found.unwrap_or_else(|| panic!("no {name} in {lines:?}"))
}

#[test]
fn a_manager_at_a_path_is_told_of_a_whole_life() {
    is_told_of_a_whole_life(&Manager::at_a_path());
}

#[test]
fn a_manager_without_a_file_is_told_of_a_whole_life() {
    is_told_of_a_whole_life(&Manager::abstract_one());
}

fn is_told_of_a_whole_life(manager: &Manager) {
    let data = new_data();
    let file = data.path().join("settings.yaml");
    std::fs::write(&file, "log:\n  level: info\n").unwrap();
    let mut server = manager.start(data, &["--config", file.to_str().unwrap()], &[]);
    let ready = manager.wait_for("READY=1");
    let told = format!("serving on http://{} by ", server.address());
    assert!(value(&ready, "STATUS").starts_with(&told), "{ready:?}");
    assert_eq!(Connection::open(server.address()).call(Request::get("/ready").bytes()).status, 200);
    let mut last = 0;
    for _ in 0..2 {
        server.reload();
        let begun: u64 = value(&manager.wait_for("RELOADING=1"), "MONOTONIC_USEC").parse().unwrap();
        assert!(begun > last, "{begun} is before {last}");
        last = begun;
        let done = manager.wait_for("READY=1");
        assert_eq!(value(&done, "STATUS"), "serving; the settings were reloaded");
    }
    std::fs::write(&file, "log:\n  level: loud\n").unwrap();
    server.reload();
    manager.wait_for("RELOADING=1");
    let refused = manager.wait_for("READY=1");
    assert!(value(&refused, "STATUS").contains("not valid"), "{refused:?}");
    server.terminate();
    manager.wait_for("STOPPING=1");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

#[test]
fn signs_of_life_end_while_the_lane_is_stuck() {
    let manager = Manager::abstract_one();
    let limit = WATCHDOG.as_micros().to_string();
    let mut server = manager.start(new_data(), &[], &[("WATCHDOG_USEC", &limit)]);
    let books = Books::open(&server, 2);
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    // Whoever writes to the file keeps the lane from doing so.
    let writer = rusqlite::Connection::open(server.data().join("ledger.db")).unwrap();
    writer.execute_batch("begin immediate").unwrap();
    let mut client = Connection::open(server.address());
    let order = Order { key: "1".to_owned(), debit: 0, credit: 1, amount: 1 };
    client.send(books.request(&order).bytes());
    server.wait_for_line("a thread is stuck", PATIENCE);
    manager.forget();
    assert_eq!(manager.told_within(SILENCE), None);
    writer.execute_batch("rollback").unwrap();
    expect_created(&client.reply());
    manager.wait_for("WATCHDOG=1");
    // It is alive as long as it drains.
    server.terminate();
    manager.wait_for("STOPPING=1");
    manager.wait_for("WATCHDOG=1");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}

/// However long its settings let it wait: only a thread that hangs is a reason to begin anew.
#[test]
fn a_lane_that_waits_for_its_database_is_alive() {
    let proxy = Proxy::before(shared_cluster()).unwrap();
    let url = shared_cluster().url_by(proxy.port(), &shared_cluster().database().unwrap());
    let (manager, data) = (Manager::abstract_one(), new_data());
    let limit = WATCHDOG.as_micros().to_string();
    let settings = [
        ("store.url", &*url),
        ("store.commit_timeout_ms", "60000"),
        ("store.statement_timeout_ms", "60000"),
        ("limits.request_timeout_ms", "120000"),
    ];
    let command = ledger_command(data.path());
    let server = manager.start_by(command, data, &[], &[("WATCHDOG_USEC", &limit)], &settings);
    let books = Books::open(&server, 2);
    let mut client = Connection::open(server.address());
    proxy.stall();
    let order = Order { key: "1".to_owned(), debit: 0, credit: 1, amount: 1 };
    client.send(books.request(&order).bytes());
    manager.forget();
    let begin = Instant::now();
    while begin.elapsed() < SILENCE {
        manager.wait_for("WATCHDOG=1");
    }
    let log = server.log_lines();
    assert!(!log.iter().any(|line| line.contains("a thread is stuck")), "{log:#?}");
    proxy.pass();
    expect_created(&client.reply());
}

/// A core that is not there yet would have callers wait.
fn ready_is_told_when_every_core_accepts(engine: &str) {
    let (manager, data) = (Manager::abstract_one(), new_data());
    let program = ledger_command(data.path()).get_program().to_owned();
    let mut command = Command::new("strace");
    // As a grandchild, so that signals go to the server. Each worker pins itself first, and nobody else does.
    let delay = format!("inject=sched_setaffinity:delay_enter={}", CORE_DELAY.as_micros());
    command.args(["-D", "-f", "-q", "-o", "/dev/null", "-e", "trace=sched_setaffinity", "-e", &delay]);
    command.arg(program).env_clear().current_dir(data.path()).arg("--data").arg(data.path());
    let begin = Instant::now();
    let server = manager.start_by(command, data, &["--io", engine, "--workers", "2"], &[], &[]);
    manager.wait_for("READY=1");
    assert!(begin.elapsed() >= CORE_DELAY, "{:?}", begin.elapsed());
    assert_eq!(Connection::open(server.address()).call(Request::get("/ready").bytes()).status, 200);
}

#[test]
fn a_manager_that_does_not_listen_is_no_hindrance() {
    let manager = Manager::at_a_path();
    std::fs::remove_file(&manager.name).unwrap();
    let mut server = manager.start(new_data(), &[], &[]);
    assert_eq!(Connection::open(server.address()).call(Request::get("/health").bytes()).status, 200);
    server.terminate();
    assert_eq!(server.wait(PATIENCE).code(), Some(0));
}
