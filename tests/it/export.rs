//! `export` and `import`: a ledger moves between stores as a whole, and its callers notice nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::postgres::{serve_on, shared_cluster};
use crate::support::{Api, FUNDS, PASSWORD, Ran, Server, World, ledger_command, new_data, run, run_command};

/// How long a server without work may take to end. Far more than it needs, for busy machines.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a command on the ledger in a database.
fn run_on(url: &str, arguments: &[&str], stdin: &str) -> Ran {
    let data = new_data();
    let mut command = ledger_command(data.path());
    command.env("DATABASE_URL", url).args(arguments);
    run_command(command, stdin)
}

/// Runs `import` on a directory.
fn import_into(data: &Path, file: &str, flags: &[&str]) -> Ran {
    let mut command = ledger_command(data);
    command.arg("import").args(flags);
    run_command(command, file)
}

/// A ledger with a history whose server has ended: payments, and one that was refused.
async fn sample() -> World {
    let mut world = World::new().await;
    for key in ["first", "second"] {
        world.alice.api.transfer_as(key, &world.payment(100)).send().await.json(201);
    }
    let refused = world.alice.api.transfer_as("refused", &world.payment(FUNDS)).send().await;
    refused.problem(422, "insufficient_funds");
    world.server.terminate();
    assert!(world.server.wait(END_TIMEOUT).success());
    world
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A path in a directory that holds nothing else.
fn new_file() -> (TempDir, PathBuf) {
    let place = new_data();
    let path = place.path().join("ledger.jsonl");
    (place, path)
}

#[tokio::test]
async fn a_ledger_moves_from_sqlite_to_postgres_and_back() {
    let world = sample().await;
    let head = run(world.server.data(), &["verify"]).ok();
    let file = run(world.server.data(), &["export"]).ok();
    let url = shared_cluster().url(&shared_cluster().database().unwrap());
    assert_eq!(run_on(&url, &["import"], &file).ok(), head);
    assert_eq!(run_on(&url, &["verify"], "").ok(), head);

    // Who was known is known, and what was sent before the move is a replay after it.
    let server = serve_on(&url);
    let login = json!({"username": "alice", "password": PASSWORD});
    let token = Api::anonymous(&server).post("/api/v1/tokens", &login).send().await.json(200);
    let alice = Api::anonymous(&server).with_token(token["access_token"].as_str().unwrap());
    let balance = |account: &str| {
        let request = alice.get(&format!("/api/v1/accounts/{account}"));
        async move { request.send().await.json(200)["balance"].as_i64().unwrap() }
    };
    assert_eq!(balance(&world.alice.account).await, FUNDS - 200);
    alice.transfer_as("first", &world.payment(100)).send().await.json(201);
    let refused = alice.transfer_as("refused", &world.payment(FUNDS)).send().await;
    refused.problem(422, "insufficient_funds");
    assert_eq!(balance(&world.alice.account).await, FUNDS - 200);
    alice.transfer_as("third", &world.payment(1)).send().await.json(201);
    drop(server);

    let head = run_on(&url, &["verify"], "").ok();
    let back = new_data();
    let file = run_on(&url, &["export"], "").ok();
    assert_eq!(import_into(back.path(), &file, &[]).ok(), head);
    assert_eq!(run(back.path(), &["verify"]).ok(), head);
    let server = Server::start_in(back, &[]);
    let operator = Api::anonymous(&server).with_token(&server.operator_token());
    let account = operator.get(&format!("/api/v1/accounts/{}", world.bob.account)).send().await.json(200);
    assert_eq!((&account["balance"], &account["owner"]), (&json!(FUNDS + 201), &json!(world.bob.id)));
}

#[tokio::test]
async fn a_file_is_its_owners_alone_and_stands_there_when_it_is_whole() {
    let world = sample().await;
    let data = world.server.data();
    let (place, path) = new_file();
    let file = path.to_str().unwrap();
    // One that everybody may read is replaced, not written to.
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let head = run(data, &["export", "--output", file]).ok();
    assert_eq!(head, run(data, &["verify"]).ok());
    assert_eq!(mode(&path), 0o600);
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(run(data, &["export"]).ok(), written);
    assert!(written.lines().all(|line| serde_json::from_str::<Value>(line).unwrap().is_object()));

    // A ledger that is damaged gives no file.
    let database = rusqlite::Connection::open(data.join("ledger.db")).unwrap();
    database.execute("update events set body = zeroblob(40) where seq = 3", ()).unwrap();
    drop(database);
    let failed = run(data, &["export", "--output", file]);
    assert!(failed.fails(1).stderr.contains("event 3"), "{failed:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), written);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "a part of a file was left behind");
    let nowhere = place.path().join("nowhere/ledger.jsonl");
    run(data, &["export", "--output", nowhere.to_str().unwrap()]).fails(1);
    let empty = new_data();
    run(empty.path(), &["export"]).fails(1);
    assert!(!empty.path().join("ledger.db").exists());
}

#[tokio::test]
async fn reports_can_be_read_by_programs() {
    let world = sample().await;
    let (_place, path) = new_file();
    let file = path.to_str().unwrap();
    let head = run(world.server.data(), &["verify"]).ok();
    let exported = run(world.server.data(), &["export", "--output", file, "--json"]).ok();
    let exported: Value = serde_json::from_str(&exported).unwrap();
    assert_eq!((&exported["ok"], &exported["head"]), (&json!(true), &json!(head.trim())));
    assert_eq!(
        (&exported["accounts"], &exported["users"], &exported["keys"]),
        (&json!(3), &json!(3), &json!(5))
    );
    let new = new_data();
    let imported = run(new.path(), &["import", "--input", file, "--json"]).ok();
    let imported: Value = serde_json::from_str(&imported).unwrap();
    assert_eq!((&imported["ok"], &imported["head"]), (&json!(true), &exported["head"]));
    assert_eq!((&imported["events"], &imported["entries"]), (&json!(4), &json!(8)));
    let names_store = |said: &Value| said["store"].as_str().unwrap().contains(new.path().to_str().unwrap());
    assert!(names_store(&imported), "{imported}");
    let again = run(new.path(), &["import", "--input", file, "--json"]);
    let again_said: Value = serde_json::from_str(&again.fails(1).stdout).unwrap();
    assert_eq!((&again_said["ok"], &again_said["line"]), (&json!(false), &Value::Null));
    assert!(names_store(&again_said), "{again_said}");
    let lines = fs::read_to_string(&path).unwrap().replace(r#""seq":3"#, r#""seq":4"#);
    let broken = import_into(new_data().path(), &lines, &["--json"]);
    let said: Value = serde_json::from_str(&broken.fails(1).stdout).unwrap();
    // The first line, three users and three accounts stand before the events.
    assert_eq!((&said["ok"], &said["line"]), (&json!(false), &json!(10)), "{said}");
}

#[tokio::test]
async fn what_cannot_be_imported_leaves_an_empty_ledger() {
    let world = sample().await;
    let file = run(world.server.data(), &["export"]).ok();
    let new = new_data();
    let cut = &file[..file.len() / 2];
    let ran = import_into(new.path(), cut, &[]);
    assert!(ran.fails(1).stderr.contains("line "), "{ran:?}");
    let ran = import_into(new.path(), "", &[]);
    assert!(ran.fails(1).stderr.contains("ends here"), "{ran:?}");
    let newer = file.replacen(r#""ringledger":1"#, r#""ringledger":2,"more":true"#, 1);
    let ran = import_into(new.path(), &newer, &[]);
    assert!(ran.fails(1).stderr.contains("version 2"), "{ran:?}");
    assert!(run(new.path(), &["verify"]).ok().starts_with("0:"));
    run(new.path(), &["import", "--input", "no/such/file"]).fails(1);
    import_into(new.path(), &file, &[]).ok();
    let ran = import_into(new.path(), &file, &[]);
    assert!(ran.fails(1).stderr.contains("not empty"), "{ran:?}");
}

#[tokio::test]
async fn an_export_is_of_one_moment_while_the_ledger_serves() {
    let world = World::new().await;
    let data = world.server.data();
    world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    let file = run(data, &["export"]).ok();
    world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    let new = new_data();
    assert!(import_into(new.path(), &file, &[]).ok().starts_with("3:"));
    // Nothing is imported beneath a server.
    let server = Server::start();
    let ran = import_into(server.data(), &file, &[]);
    assert!(ran.fails(1).stderr.contains("in use"), "{ran:?}");
}

#[test]
fn words_that_mean_nothing_end_with_2() {
    let data = new_data();
    for arguments in [
        &["export", "--json"][..],
        &["export", "ledger.jsonl"],
        &["export", "--output"],
        &["import", "ledger.jsonl"],
        &["import", "--input"],
    ] {
        run(data.path(), arguments).fails(2);
    }
    for command in ["export", "import"] {
        assert!(run(data.path(), &[command, "--help"]).ok().contains("Examples:"), "{command}");
    }
}
