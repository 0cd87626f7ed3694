//! Settings that change while the server runs: under load, by signal and by file, and what is refused.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::support::books::{Books, Order};
use crate::support::raw::{Connection, Reply, Request};
use crate::support::{Server, SetsAtEnd, new_data, on_both_engines, wait_until};

/// How long a change may take. Far more than it needs, for busy machines.
const PATIENCE: Duration = Duration::from_secs(20);
/// Connections that keep asking.
const LOAD: usize = 4;
const ME: &str = "/api/v1/users/me";

on_both_engines!(
    filter_limit_and_key_change_under_load,
    a_bad_file_changes_nothing_and_says_where,
    bounds_and_deadlines_change_for_open_connections,
    files_are_watched,
    a_file_that_was_refused_is_watched_until_it_is_mended,
    files_that_variables_name_are_watched,
    a_reload_makes_no_key,
);

/// A server with a settings file and a directory of keys.
struct Bench {
    server: Server,
    file: PathBuf,
    keys: PathBuf,
}

impl Bench {
    fn start(engine: &str, settings: &str) -> Self {
        let data = new_data();
        let (file, keys) = (data.path().join("settings.yaml"), data.path().join("keys"));
        std::fs::create_dir(&keys).unwrap();
        write_key(&keys, "1.key", 1);
        std::fs::write(&file, settings).unwrap();
        let arguments = ["--io", engine, "--workers", "2", "--config", file.to_str().unwrap()];
        let server = Server::start_set_in(data, &arguments, &[("auth.key_dir", keys.to_str().unwrap())]);
        Self { server, file, keys }
    }

    /// Writes the file and has it read.
    fn reload(&self, settings: &str) {
        std::fs::write(&self.file, settings).unwrap();
        self.server.reload();
        self.server.wait_for_line("settings reloaded", PATIENCE);
    }

    fn connect(&self) -> Connection {
        Connection::open(self.server.address())
    }
}

fn write_key(directory: &Path, name: &str, byte: u8) {
    let (path, draft) = (directory.join(name), directory.join("draft"));
    std::fs::write(&draft, format!("{byte:02x}").repeat(32)).unwrap();
    std::fs::set_permissions(&draft, Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(draft, path).unwrap();
}

fn me(connection: &mut Connection, token: &str) -> Reply {
    connection.call(Request::get(ME).bearer(token).bytes())
}

/// Clients that transfer and read until they are told to stop; every reply must be a good one.
struct Load<'a> {
    books: &'a Books,
    token: Mutex<String>,
    stop: AtomicBool,
    answered: AtomicU64,
}

impl Load<'_> {
    fn run(&self, address: SocketAddr, client: usize) {
        let mut connection = Connection::open(address);
        for number in 0.. {
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            let token = self.token.lock().unwrap().clone();
            let order = Order { key: format!("{client}-{number}"), debit: 0, credit: 1, amount: 1 };
            let reply = connection.call(self.books.request_of(&token, &order).bytes());
            assert_eq!(reply.status, 201, "{reply:?}");
            let reply = me(&mut connection, &token);
            assert_eq!(reply.status, 200, "{reply:?}");
            self.answered.fetch_add(2, Ordering::Relaxed);
        }
    }

    /// Waits until each client has been answered since.
    fn goes_on(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        wait_until(PATIENCE, || match self.answered.load(Ordering::Relaxed) - before {
            answered if answered >= 50 * LOAD as u64 => Ok(()),
            answered => Err(format!("{answered} requests answered")),
        });
    }
}

fn filter_limit_and_key_change_under_load(engine: &str) {
    let bench = Bench::start(engine, "log: {filter: 'info,ringledger::access=off'}\n");
    let server = &bench.server;
    let books = Books::open(server, 2);
    let load = Load {
        books: &books,
        token: Mutex::new(books.token.clone()),
        stop: AtomicBool::new(false),
        answered: AtomicU64::new(0),
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..LOAD)
            .map(|client| {
                let (load, address) = (&load, server.address());
                scope.spawn(move || load.run(address, client))
            })
            .collect();
        let (stop, token) = (SetsAtEnd(&load.stop), &load.token);
        load.goes_on();

        // The log's filter and a limit, by signal.
        bench.reload("log: {filter: info, access: errors}\nrate_limit: {per_second: 1000000}\n");
        load.goes_on();
        let refused = Request::get("/nowhere").field("X-Request-Id", "logged-now").bytes();
        assert_eq!(bench.connect().call(refused).status, 404);
        server.wait_for_line("logged-now", PATIENCE);
        let limited = me(&mut bench.connect(), &books.token);
        assert!(limited.field("ratelimit-policy").is_some_and(|policy| policy.contains("q=1000000")));

        // Another key signs, and the first is accepted still.
        write_key(&bench.keys, "2.key", 2);
        server.wait_for_line("signing keys changed", PATIENCE);
        let of_second = server.operator_token();
        load.goes_on();
        assert_eq!(me(&mut bench.connect(), &books.token).status, 200);
        assert_eq!(me(&mut bench.connect(), &of_second).status, 200);

        // The first goes, once nobody uses its tokens.
        token.lock().unwrap().clone_from(&of_second);
        load.goes_on();
        std::fs::remove_file(bench.keys.join("1.key")).unwrap();
        server.reload();
        server.wait_for_line("signing keys changed", PATIENCE);
        load.goes_on();
        assert_eq!(me(&mut bench.connect(), &books.token).status, 401);
        assert_eq!(me(&mut bench.connect(), &of_second).status, 200);
        drop(stop);
        for client in clients {
            client.join().unwrap();
        }
    });
    server.verify(None);
}

fn a_bad_file_changes_nothing_and_says_where(engine: &str) {
    let bench = Bench::start(engine, "rate_limit:\n  per_second: 1000\n");
    let token = bench.server.operator_token();
    let policy = || {
        let reply = me(&mut bench.connect(), &token);
        reply.field("ratelimit-policy").map(str::to_owned)
    };
    let before = policy();
    assert!(before.as_deref().is_some_and(|policy| policy.contains("q=1000;")), "{before:?}");
    for (text, said) in [
        ("rate_limit:\n  per_second: 5\n\nlog:\n  level: loud\n", ["log.level", "line 5", "loud"]),
        ("rate_limit: {per_second: 5}\nlimits:\n  body_byte: 1\n", ["limits.body_byte", "line 3", "unknown"]),
        ("rate_limit: {per_second: 5}\nlimits: {body_bytes: 1}\n", ["limits.body_bytes", "line 2", "range"]),
        ("rate_limit: {per_second: 5}\nlog: {filter: 'a=b=c'}\n", ["log.filter", "line 2", "too many '='"]),
        ("rate_limit: {per_second: 5}\nlog: [\n", ["settings.yaml", "line", ""]),
    ] {
        std::fs::write(&bench.file, text).unwrap();
        bench.server.reload();
        let line = bench.server.wait_for_line("nothing was changed", PATIENCE);
        assert!(said.iter().all(|said| line.contains(said)), "{text}: {line}");
        assert_eq!(policy(), before, "{text}");
    }
    // A key that cannot be used is as bad.
    std::fs::write(&bench.file, "rate_limit: {per_second: 5}\n").unwrap();
    std::fs::write(bench.keys.join("2.key"), "short").unwrap();
    bench.server.reload();
    let line = bench.server.wait_for_line("nothing was changed", PATIENCE);
    assert!(line.contains("2.key"), "{line}");
    assert_eq!(policy(), before);
}

fn bounds_and_deadlines_change_for_open_connections(engine: &str) {
    let bench = Bench::start(engine, "");
    let books = Books::open(&bench.server, 0);
    let mut connection = bench.connect();
    let name = "n".repeat(1500);
    let large = books.account_request().json(format!(r#"{{"currency":"EUR","name":"{name}"}}"#)).bytes();
    assert_eq!(connection.call(&large).status, 422, "a name so long is none");
    bench.reload(
        "limits: {body_bytes: 1024, idle_timeout_ms: 200, lane_queue: 9}\nstore: {connect_timeout_ms: 11}\n",
    );
    // Each core goes over to them on its own.
    wait_until(PATIENCE, || match connection.call(&large).status {
        413 => Ok(()),
        status => {
            connection = bench.connect();
            Err(format!("{status} and not 413"))
        }
    });
    let mut idle = bench.connect();
    assert_eq!(idle.call(Request::get("/health").bytes()).status, 200);
    idle.assert_closed();
}

fn files_are_watched(engine: &str) {
    let bench = Bench::start(engine, "log: {level: info}\n");
    let token = bench.server.operator_token();
    std::fs::write(&bench.file, "rate_limit: {per_second: 77}\nshutdown: {deadline_ms: 77}\n").unwrap();
    let told = bench.server.wait_for_line("rate_limit.per_second", PATIENCE);
    assert!(told.contains("setting changed") && told.contains("77"), "{told}");
    let restart = bench.server.wait_for_line("it needs a restart", PATIENCE);
    assert!(restart.contains("shutdown.deadline_ms"), "{restart}");
    wait_until(PATIENCE, || match me(&mut bench.connect(), &token).field("ratelimit-policy") {
        Some(policy) if policy.contains("q=77;") => Ok(()),
        policy => Err(format!("{policy:?}")),
    });
    // The dashboard tells what is in force.
    wait_until(PATIENCE, || {
        let data =
            bench.connect().call(Request::get("/dashboard/data").bearer(&token).bytes()).json()["about"]
                .take();
        let shown =
            |key: &str, value: &str| data["settings"].as_array().unwrap().contains(&json!([key, value]));
        assert!(shown("shutdown.deadline_ms", "10000"), "{data}");
        if shown("rate_limit.per_second", "77") { Ok(()) } else { Err(data.to_string()) }
    });
    std::fs::write(&bench.file, "rate_limit: {per_second: many}\n").unwrap();
    let line = bench.server.wait_for_line("nothing was changed", PATIENCE);
    assert!(line.contains("line 1"), "{line}");
}

/// A server with this in its settings file.
fn serve_with_file(engine: &str, data: TempDir, text: &str) -> (Server, PathBuf) {
    let file = data.path().join("settings.yaml");
    std::fs::write(&file, text).unwrap();
    let arguments = ["--io", engine, "--workers", "1", "--config", file.to_str().unwrap()];
    (Server::start_in(data, &arguments), file)
}

fn a_file_that_was_refused_is_watched_until_it_is_mended(engine: &str) {
    let data = new_data();
    let key_file = |name: &str| format!("auth: {{key_file: {}}}\n", data.path().join(name).display());
    let (of_first, of_second) = (key_file("first"), key_file("second"));
    write_key(data.path(), "first", 1);
    let (server, file) = serve_with_file(engine, data, &of_first);
    std::fs::write(&file, of_second).unwrap();
    let line = server.wait_for_line("nothing was changed", PATIENCE);
    assert!(line.contains("second"), "{line}");
    write_key(server.data(), "second", 2);
    server.wait_for_line("signing keys changed", PATIENCE);
}

fn files_that_variables_name_are_watched(engine: &str) {
    let data = new_data();
    let rate = data.path().join("rate");
    std::fs::write(&rate, "50\n").unwrap();
    let named = [("rate_limit.per_second_file", rate.to_str().unwrap())];
    let server = Server::start_set_in(data, &["--io", engine, "--workers", "1"], &named);
    std::fs::write(&rate, "70\n").unwrap();
    let line = server.wait_for_line("rate_limit.per_second", PATIENCE);
    assert!(line.contains("setting changed") && line.contains("70"), "{line}");
}

fn a_reload_makes_no_key(engine: &str) {
    let data = new_data();
    let key = data.path().join("signing.key");
    let server = Server::start_in(data, &["--io", engine, "--workers", "1"]);
    let token = server.operator_token();
    // As a replacement begins: the old one is gone, the new one is not there yet.
    std::fs::remove_file(&key).unwrap();
    server.reload();
    let line = server.wait_for_line("nothing was changed", PATIENCE);
    assert!(line.contains("signing.key"), "{line}");
    assert_eq!(me(&mut Connection::open(server.address()), &token).status, 200);
    assert!(!key.exists());
}
