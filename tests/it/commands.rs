//! The commands beside `serve`: tokens, users, migrations, completions; usage and exit codes.

use serde_json::{Value, json};

use crate::support::{
    Api, BAD_CONFIGURATION, PASSWORD, Ran, Server, World, add_user, ledger_command, new_data, run,
    run_command,
};

/// Exit code of a command line that cannot be understood.
const USAGE: i32 = 2;

/// Runs `user add` with this text on stdin.
fn add_with(server: &Server, arguments: &[&str], stdin: &str) -> Ran {
    let mut command = ledger_command(server.data());
    command.args(["user", "add"]).args(arguments);
    run_command(command, stdin)
}

#[test]
fn what_cannot_be_understood_ends_with_2() {
    let data = new_data();
    let cases: &[&[&str]] = &[
        &["dance"],
        &["--dance"],
        &["serve", "--dance"],
        &["serve", "--listen", "here"],
        &["serve", "--workers", "0"],
        &["serve", "--workers", "many"],
        &["serve", "--io", "kqueue"],
        &["serve", "extra"],
        &["token"],
        &["token", "--ttl", "60"],
        &["token", "--operator", "--ttl", "0"],
        &["token", "--operator", "--ttl", "-1"],
        &["token", "--operator", "--ttl", "soon"],
        &["token", "--user"],
        &["user"],
        &["user", "add"],
        &["user", "add", "carol"],
        &["user", "add", "--password-stdin"],
        &["migrate", "--dance"],
        &["verify", "--expect", "x"],
        &["verify", "--expect", "1:abc"],
        &["verify", "--expect"],
        &["config"],
        &["config", "dance"],
        &["completions"],
        &["completions", "dance"],
    ];
    for arguments in cases {
        let ran = run(data.path(), arguments);
        assert_eq!(ran.fails(USAGE).stdout, "", "{arguments:?}");
    }
    let made: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

#[test]
fn help_version_and_completions_are_results() {
    let data = new_data();
    let help = run(data.path(), &["--help"]).ok();
    let commands = [
        "serve",
        "token",
        "user",
        "migrate",
        "verify",
        "doctor",
        "health",
        "config",
        "openapi",
        "man",
        "completions",
    ];
    for command in commands {
        assert!(help.contains(command), "{help}");
        let own = run(data.path(), &[command, "--help"]).ok();
        assert!(own.contains("Examples:") || own.contains("Commands:"), "{own}");
    }
    let version = run(data.path(), &["--version"]).ok();
    let features = if cfg!(feature = "otlp") { "features otlp,postgres" } else { "features postgres" };
    assert_eq!(version, format!("ringledger {} (commit unknown, {features})\n", env!("CARGO_PKG_VERSION")));
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(data.path(), &["completions", shell]).ok().contains("ringledger"), "{shell}");
    }
    let made: Vec<_> = std::fs::read_dir(data.path()).unwrap().collect();
    assert!(made.is_empty(), "{made:?}");
}

/// Checks that a command printed one JWT and nothing else; returns it.
#[track_caller]
fn token_of(ran: Ran) -> String {
    let stdout = ran.ok();
    let token = stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no end of line: {stdout:?}"));
    let is_base64url = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    assert!(token.split('.').count() == 3 && token.split('.').all(is_base64url), "{stdout:?}");
    token.to_owned()
}

#[tokio::test]
async fn a_token_can_be_printed_before_there_is_a_ledger() {
    let data = new_data();
    let token = token_of(run(data.path(), &["token", "--operator"]));
    assert!(!data.path().join("ledger.db").exists());
    let server = Server::start_in(data, &[]);
    let me = Api::anonymous(&server).with_token(&token).get("/api/v1/users/me").send().await.json(200);
    assert_eq!((&me["username"], &me["role"]), (&json!("operator"), &json!("operator")));
}

#[tokio::test]
async fn tokens_speak_for_users_and_leave_no_trace() {
    let mut world = World::new().await;
    world.server.terminate();
    assert!(world.server.wait(std::time::Duration::from_secs(20)).success());
    let files = || {
        let read = |name: &str| std::fs::read(world.server.data().join(name)).unwrap_or_default();
        (read("ledger.db"), read("ledger.db-wal"))
    };
    let before = files();
    let print = |arguments: &[&str]| token_of(run(world.server.data(), &[&["token"], arguments].concat()));
    let tokens = [
        (print(&["--user", "alice"]), "alice", "user"),
        (print(&["--user", "ALICE", "--ttl", "60"]), "alice", "user"),
        (print(&["--user", "alice", "--operator"]), "alice", "operator"),
        (print(&["--operator"]), "operator", "operator"),
        (print(&["--user", "operator"]), "operator", "operator"),
    ];
    let unknown = run(world.server.data(), &["token", "--user", "ghost"]);
    assert!(unknown.fails(1).stderr.contains("ghost"), "{unknown:?}");
    assert_eq!(unknown.stdout, "");
    assert!(files() == before, "the store was written to");

    let world = world.after_a_crash();
    for (token, username, role) in tokens {
        let me = world.nobody.with_token(&token).get("/api/v1/users/me").send().await.json(200);
        assert_eq!(me["username"], username);
        // The role of a token is what it may do, whatever the user's own.
        let accounts = world.nobody.with_token(&token).get("/api/v1/accounts").send().await.json(200);
        let sees_all = accounts["data"].as_array().unwrap().len() == 3;
        assert_eq!(sees_all, role == "operator", "{username} as {role}: {accounts}");
    }
}

#[tokio::test]
async fn users_can_be_added_beside_a_running_server() {
    let server = Server::start();
    let api = Api::anonymous(&server);
    add_user(server.data(), "carol", &[]).ok();
    add_user(server.data(), "root", &["--operator"]).ok();
    for (name, role) in [("carol", "user"), ("root", "operator")] {
        // The end of the line on stdin is no part of the password.
        let body = json!({"username": name, "password": PASSWORD});
        let token = api.post("/api/v1/tokens", &body).send().await.json(200);
        let api = api.with_token(token["access_token"].as_str().unwrap());
        let me = api.get("/api/v1/users/me").send().await.json(200);
        assert_eq!((&me["username"], &me["role"]), (&json!(name), &json!(role)));
    }
    for (name, password) in [
        ("carol", PASSWORD),
        ("CAROL", PASSWORD),
        ("operator", PASSWORD),
        ("a b", PASSWORD),
        ("-", PASSWORD),
        ("dave", "short\n"),
        ("dave", ""),
        ("dave", &"p".repeat(1_025)),
    ] {
        let ran = add_with(&server, &["--password-stdin", "--", name], password);
        ran.fails(1);
        assert!(password.len() < 6 || !ran.stderr.contains(password), "{ran:?}");
    }
    add_with(&server, &["dave", "--password-stdin"], "12345678").ok();
}

/// The one JSON object that a command printed.
#[track_caller]
fn object_of(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

#[test]
fn settings_are_told_to_machines() {
    let data = new_data();
    let ran = run(data.path(), &["config", "show", "--json"]);
    let settings = object_of(&ran)["settings"].as_array().unwrap().clone();
    let setting = |key: &str| settings.iter().find(|setting| setting["key"] == key).unwrap();
    assert_eq!(
        setting("server.listen"),
        &json!({"key": "server.listen", "value": "127.0.0.1:8080", "source": "default"})
    );
    assert_eq!(setting("store.data_dir")["source"], "flag --data");
    assert_eq!(setting("admin.listen")["value"], Value::Null);
    assert_eq!(run(data.path(), &["config", "show"]).ok().lines().count(), settings.len());
}

#[test]
fn problems_of_settings_are_told_to_machines() {
    let data = new_data();
    let valid = run(data.path(), &["config", "check", "--json"]);
    assert_eq!((object_of(&valid), valid.code), (json!({"ok": true, "problems": []}), Some(0)));
    let file = data.path().join("settings.yaml");
    std::fs::write(&file, "server: {listne: x}\nlog: {level: loud}\n").unwrap();
    let file = file.to_str().unwrap();
    let ran = run(data.path(), &["config", "check", "--json", "--config", file]);
    let report = object_of(ran.fails(BAD_CONFIGURATION));
    assert_eq!(report["ok"], false);
    assert_eq!(report["problems"].as_array().unwrap().len(), 2, "{report}");
    let told = run(data.path(), &["config", "check", "--config", file]);
    for problem in report["problems"].as_array().unwrap() {
        assert!(told.fails(BAD_CONFIGURATION).stderr.contains(problem.as_str().unwrap()), "{told:?}");
    }
}

#[test]
fn migrations_are_told_to_machines() {
    let data = new_data();
    let first = |arguments: &[&str]| object_of(&run(data.path(), arguments))["migrations"][0].clone();
    assert_eq!(
        first(&["migrate", "--status", "--json"]),
        json!({"version": 1, "name": "ledger", "applied_at": null})
    );
    let applied = first(&["migrate", "--json"]);
    assert!(applied["applied_at"].as_str().unwrap().ends_with('Z'), "{applied}");
    assert_eq!(first(&["migrate", "--status", "--json"]), applied);
}

#[test]
fn health_is_told_to_machines() {
    let mut server = Server::start();
    for (path, ok, status) in [("/ready", true, 200), ("/nothing", false, 404)] {
        let url = server.url(path);
        let ran = run(server.data(), &["health", "--json", "--url", &url]);
        assert_eq!(object_of(&ran), json!({"ok": ok, "url": url, "status": status}));
        assert_eq!(ran.code, Some(i32::from(!ok)));
    }
    server.kill();
    let url = server.url("/ready");
    let ran = run(server.data(), &["health", "--json", "--url", &url]);
    let report = object_of(ran.fails(1));
    assert_eq!((&report["ok"], &report["url"]), (&json!(false), &json!(url)));
    assert!(report["error"].is_string(), "{report}");
}

#[test]
fn who_asks_for_json_gets_an_object_of_every_failure() {
    let data = new_data();
    let (missing, settings) = (data.path().join("missing.jsonl"), data.path().join("settings.yaml"));
    std::fs::write(&settings, "log: {level: loud}\n").unwrap();
    let (missing, settings) = (missing.to_str().unwrap(), settings.to_str().unwrap());
    let cases: &[(&[&str], i32, &str)] = &[
        (&["verify"], 1, "ledger.db"),
        (&["export", "--output", missing], 1, "ledger.db"),
        (&["import", "--input", missing], 1, "missing.jsonl"),
        (&["migrate", "--data", "/dev/null/data"], 1, "/dev/null/data"),
        (&["verify", "--config", settings], BAD_CONFIGURATION, "log.level"),
        (&["config", "show", "--config", settings], BAD_CONFIGURATION, "log.level"),
        (&["health", "--config", settings], BAD_CONFIGURATION, "log.level"),
    ];
    for (arguments, code, said) in cases {
        let ran = run(data.path(), &[*arguments, &["--json"]].concat());
        let report = object_of(ran.fails(*code));
        assert_eq!(report["ok"], false, "{arguments:?}");
        let error = report["error"].as_str().unwrap();
        assert!(error.contains(said) && ran.stderr.contains(error), "{arguments:?}: {ran:?}");
        assert_eq!(run(data.path(), arguments).fails(*code).stdout, "", "{arguments:?}");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let data = new_data();
    run(data.path(), &["man", "pages/man1"]).ok();
    let page = |name: &str| {
        let path = data.path().join("pages/man1").join(format!("{name}.1"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let whole = page("ringledger");
    assert!(whole.starts_with(".ie") && whole.contains(".TH ringledger 1"), "{whole}");
    for command in ["serve", "token", "user-add", "migrate", "verify", "export", "import", "config-show"] {
        let page = page(&format!("ringledger-{command}"));
        assert!(page.contains(".SH OPTIONS"), "{page}");
    }
    run(data.path(), &["man", "/dev/null/pages"]).fails(1);
}

#[test]
fn migrations_are_listed_and_applied() {
    let data = new_data();
    let before = run(data.path(), &["migrate", "--status"]).ok();
    run(data.path(), &["migrate"]).ok();
    assert!(data.path().join("ledger.db").exists());
    let after = run(data.path(), &["migrate", "--status"]).ok();
    for listing in [&before, &after] {
        assert!(listing.contains("ledger"), "the first migration is not in {listing:?}");
    }
    assert_ne!(before, after, "what is applied looks like what is not");
    // Again there is nothing to do.
    run(data.path(), &["migrate"]).ok();
    assert_eq!(run(data.path(), &["migrate", "--status"]).ok(), after);
}

#[test]
fn a_ledger_of_a_newer_program_is_left_alone() {
    let data = new_data();
    run(data.path(), &["migrate"]).ok();
    let database = rusqlite::Connection::open(data.path().join("ledger.db")).unwrap();
    let newer =
        "insert into schema_migrations (version, name, digest, applied_at) values (9999, 'n', 'd', 0)";
    database.execute(newer, ()).unwrap();
    drop(database);
    for command in [&["serve", "--listen", "127.0.0.1:0"][..], &["migrate"]] {
        run(data.path(), command).fails(1);
    }
}

#[test]
fn of_two_starts_on_one_address_one_is_refused() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let address = port.to_string();
    for _ in 0..5 {
        let data = [new_data(), new_data()];
        let mut servers = data.each_ref().map(|data| {
            let mut command = ledger_command(data.path());
            command.args(["serve", "--listen", &address]).stderr(std::process::Stdio::null());
            command.spawn().unwrap()
        });
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let refused = loop {
            let ended = servers.iter_mut().find_map(|server| server.try_wait().unwrap());
            if ended.is_some() || std::time::Instant::now() > deadline {
                break ended;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        for server in &mut servers {
            let _ = server.kill();
            server.wait().unwrap();
        }
        assert_eq!(refused.and_then(|status| status.code()), Some(1));
    }
}

#[test]
fn a_long_read_of_others_holds_up_neither_posting_nor_the_end() {
    let mut server = Server::start();
    let reader = rusqlite::Connection::open(server.data().join("ledger.db")).unwrap();
    reader.execute_batch("begin; select * from head").unwrap();
    let begin = std::time::Instant::now();
    add_user(server.data(), "carol", &[]).ok();
    server.terminate();
    assert!(server.wait(std::time::Duration::from_secs(10)).success());
    // SQLite's own patience with a busy database is 5 s.
    assert!(begin.elapsed() < std::time::Duration::from_secs(4), "{:?}", begin.elapsed());
    drop(reader);
}
