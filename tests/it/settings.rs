//! Settings and their layers, and what `serve` says and refuses on its start.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::{Api, BAD_CONFIGURATION, Ran, Server, ledger_command, new_data, run, run_command};

/// How long a server may take to say what it says. Far more than it needs, for busy machines.
const START_TIMEOUT: Duration = Duration::from_secs(20);

fn write(data: &Path, name: &str, text: &str) -> String {
    let path = data.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs with these variables.
fn run_in(data: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command = ledger_command(data);
    command.args(arguments).envs(variables.iter().copied());
    run_command(command, "")
}

/// The line of `config show` for a setting.
#[track_caller]
fn shown(listing: &str, key: &str) -> String {
    let mut lines = listing.lines().filter(|line| line.contains(key));
    let line = lines.next().unwrap_or_else(|| panic!("{key} is not in {listing}"));
    line.to_owned()
}

#[test]
fn every_setting_is_shown_with_its_source() {
    let data = new_data();
    let listing = run(data.path(), &["config", "show"]).ok();
    for (key, default) in [
        ("server.listen", "127.0.0.1:8080"),
        ("auth.open_registration", "true"),
        ("auth.token_ttl_s", "3600"),
        ("log.level", "info"),
        ("log.format", "auto"),
        ("log.access", "all"),
        ("runtime.io", "auto"),
        ("shutdown.drain_delay_ms", "0"),
        ("metrics.public", "true"),
    ] {
        let line = shown(&listing, key);
        assert!(line.contains(default) && line.contains("default"), "{line}");
    }
    for key in ["store.url", "auth.key_file", "log.filter", "runtime.workers", "shutdown.deadline_ms"] {
        shown(&listing, key);
    }
    for section in ["limits.", "rate_limit."] {
        assert!(listing.contains(section), "{listing}");
    }
}

#[test]
fn later_layers_win() {
    let data = new_data();
    let file = write(data.path(), "settings.yaml", "auth:\n  token_ttl_s: 101\nlog: {level: warn}\n");
    let show = |variables: &[(&str, &str)], arguments: &[&str]| {
        let listing = run_in(data.path(), variables, &[&["config", "show"], arguments].concat()).ok();
        shown(&listing, "auth.token_ttl_s")
    };
    let holds = |line: String, value: &str, source: &str| {
        assert!(line.contains(value) && line.contains(source), "want {value} of {source}: {line}");
    };
    let with_file: &[&str] = &["--config", &file];
    let variable = [("RINGLEDGER__AUTH__TOKEN_TTL_S", "303")];
    holds(show(&[], &[]), "3600", "default");
    holds(show(&[], with_file), "101", "settings.yaml");
    write(data.path(), ".env", "RINGLEDGER__AUTH__TOKEN_TTL_S=202\n");
    holds(show(&[], with_file), "202", ".env");
    holds(show(&variable, with_file), "303", "RINGLEDGER__AUTH__TOKEN_TTL_S");
}

#[test]
fn units_are_read_from_a_list_and_from_a_line() {
    let data = new_data();
    let list = "ledger: {currencies: [{code: POINTS, exponent: 0}, {code: MILES, exponent: 3}]}";
    let line = "ledger: {currencies: 'POINTS:0,MILES:3'}";
    for text in [list, line] {
        let file = write(data.path(), "settings.yaml", text);
        let listing = run(data.path(), &["config", "show", "--config", &file]).ok();
        assert!(shown(&listing, "ledger.currencies").contains("POINTS:0, MILES:3"), "{listing}");
    }
    let variable = [("RINGLEDGER__LEDGER__CURRENCIES", "POINTS:0")];
    let listing = run_in(data.path(), &variable, &["config", "show"]).ok();
    assert!(shown(&listing, "ledger.currencies").contains("POINTS:0"), "{listing}");
}

#[test]
fn secrets_come_from_files_and_are_redacted_on_demand() {
    let data = new_data();
    let url = "postgres://ledger:hunter2@db.example/ledger";
    let file = write(data.path(), "url", &format!("{url}\n"));
    for variables in [
        [("DATABASE_URL", url)],
        [("RINGLEDGER__STORE__URL", url)],
        [("DATABASE_URL_FILE", &*file)],
        [("RINGLEDGER__STORE__URL_FILE", &*file)],
    ] {
        let line = shown(&run_in(data.path(), &variables, &["config", "show"]).ok(), "store.url");
        assert!(line.contains(url), "{variables:?}: {line}");
        let redacted = run_in(data.path(), &variables, &["config", "show", "--redacted"]).ok();
        assert!(!redacted.contains("hunter2"), "{redacted}");
        assert!(shown(&redacted, "store.url").contains("db.example"), "{redacted}");
    }
}

#[test]
fn bad_settings_are_named_and_end_with_78() {
    let data = new_data();
    let yaml = |text: &str| write(data.path(), "bad.yaml", text);
    for (text, named) in [
        ("server: {listn: '127.0.0.1:1'}", "listn"),
        ("sever: {listen: '127.0.0.1:1'}", "sever"),
        ("auth: {token_ttl_s: soon}", "auth.token_ttl_s"),
        ("auth: {token_ttl_s: 0}", "auth.token_ttl_s"),
        ("auth: {token_ttl_s: 1.5}", "auth.token_ttl_s"),
        ("runtime: {io: kqueue}", "runtime.io"),
        ("log: {level: loud}", "log.level"),
        ("limits: {body_bytes: -1}", "limits.body_bytes"),
        ("server: {listen: somewhere}", "server.listen"),
        ("ledger: {currencies: [{code: EUR, exponent: 2}]}", "ledger.currencies"),
        ("ledger: {currencies: [{code: PTS}]}", "ledger.currencies"),
        ("ledger: {currencies: PTS}", "ledger.currencies"),
        ("ledger: {currencies: 'PTS:16'}", "ledger.currencies"),
        ("server: [", "bad.yaml"),
    ] {
        let path = yaml(text);
        for command in [&["config", "check"][..], &["config", "show"], &["serve"], &["verify"], &["migrate"]]
        {
            let ran = run(data.path(), &[command, &["--config", &path]].concat());
            assert!(ran.fails(BAD_CONFIGURATION).stderr.contains(named), "{text}: {ran:?}");
        }
    }
    for (variable, value) in [
        ("RINGLEDGER__SERVER__LISTN", "127.0.0.1:1"),
        ("RINGLEDGER__NOTHING", "1"),
        ("RINGLEDGER__AUTH__TOKEN_TTL_S", "soon"),
        ("RINGLEDGER__RUNTIME__IO", "kqueue"),
        ("DATABASE_URL", "mysql://h/d"),
    ] {
        let ran = run_in(data.path(), &[(variable, value)], &["config", "check"]);
        ran.fails(BAD_CONFIGURATION);
        assert!(ran.stderr.contains(variable) || ran.stderr.contains("store.url"), "{ran:?}");
    }
    let absent = run(data.path(), &["config", "check", "--config", "/nowhere/settings.yaml"]);
    assert!(absent.fails(BAD_CONFIGURATION).stderr.contains("/nowhere/settings.yaml"), "{absent:?}");
    // Every problem at once, not one a run.
    let two = yaml("server: {listn: x}\nauth: {token_ttl_s: soon}");
    let ran = run(data.path(), &["config", "check", "--config", &two]);
    assert!(ran.fails(BAD_CONFIGURATION).stderr.contains("listn"), "{ran:?}");
    assert!(ran.stderr.contains("token_ttl_s"), "{ran:?}");

    let good = yaml("server: {listen: '127.0.0.1:1'}\nlog: {filter: 'info,ringledger=debug'}");
    run(data.path(), &["config", "check", "--config", &good]).ok();
    assert!(!data.path().join("ledger.db").exists(), "looking at settings makes no ledger");
}

/// A `serve` that is watched from its first line on.
struct Starting {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Starting {
    fn new(mut command: Command) -> Self {
        let streams = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = streams.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// All lines up to the moment when each of `parts` has been said; parts are compared without case.
    #[track_caller]
    fn says(&self, parts: &[&str]) -> Vec<String> {
        let deadline = Instant::now() + START_TIMEOUT;
        let mut seen: Vec<String> = Vec::new();
        loop {
            let is_said = |part: &&&str| seen.iter().any(|line| line.to_lowercase().contains(**part));
            let Some(unsaid) = parts.iter().find(|part| !is_said(part)) else {
                return seen;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("{unsaid:?} was not said: {seen:#?}");
            };
            seen.push(line);
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_start_tells_address_engine_store_and_cores() {
    let data = new_data();
    for engine in ["uring", "epoll", "auto"] {
        let mut command = ledger_command(data.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--workers", "1", "--io", engine]);
        let starting = Starting::new(command);
        let lines = starting.says(&["listening on http://127.0.0.1:", "ledger.db", "core"]);
        if engine != "auto" {
            assert!(lines.iter().any(|line| line.contains(engine)), "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn without_a_command_it_serves() {
    let data = new_data();
    let below = data.path().join("made/by/serve");
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringledger"));
    command.env_clear().current_dir(data.path()).arg("--data").arg(&below);
    command.args(["--listen", "127.0.0.1:0"]);
    let starting = Starting::new(command);
    starting.says(&["listening on http://127.0.0.1:"]);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&below), 0o700);
    assert!(below.join("ledger.db").exists());
    let keys: Vec<_> = std::fs::read_dir(&below)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_str().unwrap().contains("key"))
        .collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!(mode(&keys[0]), 0o600);
}

#[test]
fn a_busy_address_is_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = new_data();
    let ran = run(data.path(), &["serve", "--listen", &address]);
    assert!(ran.fails(1).stderr.contains(&address), "{ran:?}");
    // An address that is none of this host's is refused as well.
    let ran = run(data.path(), &["serve", "--listen", "192.0.2.1:8080"]);
    assert!(ran.fails(1).stderr.contains("192.0.2.1:8080"), "{ran:?}");
}

#[tokio::test]
async fn a_second_server_on_the_same_address_or_directory_is_refused() {
    let server = Server::start();
    let address = server.address().to_string();
    for engine in ["auto", "epoll"] {
        let elsewhere = new_data();
        let ran = run(elsewhere.path(), &["serve", "--listen", &address, "--io", engine]);
        assert!(ran.fails(1).stderr.contains(&address), "{ran:?}");
    }
    let ran = run(server.data(), &["serve", "--listen", "127.0.0.1:0"]);
    let directory = server.data().to_str().unwrap();
    assert!(ran.fails(1).stderr.contains(directory), "{ran:?}");
    // The first one noticed nothing.
    let api = Api::anonymous(&server);
    api.get("/ready").send().await.json(200);
    // Its directory is free again once it is gone, however it went.
    let (server, _) = server.kill_and_restart();
    Api::anonymous(&server).get("/ready").send().await.json(200);
}
