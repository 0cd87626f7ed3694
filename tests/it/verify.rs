//! `verify`: it passes a ledger that is whole, and names what is broken in one that is not.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{FUNDS, LAST_SEQ, Ran, World, ledger_command, new_data, run, run_command};

/// How long a server without work may take to end. Far more than it needs, for busy machines.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// Transfers of the sample ledger beyond those that made the world.
const PAYMENTS: u64 = 4;

/// `SEQ:HASH` as its parts.
#[track_caller]
fn head_of(ran: Ran) -> (u64, String) {
    let stdout = ran.ok();
    let head = stdout.strip_suffix('\n').unwrap_or_else(|| panic!("no end of line: {stdout:?}"));
    let (seq, hash) = head.split_once(':').unwrap_or_else(|| panic!("no head: {stdout:?}"));
    let is_hex = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
    assert!(hash.len() == 64 && hash.bytes().all(is_hex), "{stdout:?}");
    (seq.parse().unwrap(), hash.to_owned())
}

/// Checks that an audit failed and returns the invariant that it named.
#[track_caller]
fn broken(ran: &Ran) -> String {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let text = format!("{} {}", ran.stdout, ran.stderr);
    let mut words = text.split(|character: char| !character.is_ascii_alphanumeric());
    let is_invariant = |word: &&str| ["I1", "I2", "I3", "I4", "I5", "I6"].contains(word);
    words.find(is_invariant).unwrap_or_else(|| panic!("no invariant is named: {ran:?}")).to_owned()
}

fn verify(data: &Path, flags: &[&str]) -> Ran {
    run(data, &[&["verify"], flags].concat())
}

/// A ledger with a history: payments, and one that was refused.
async fn sample() -> World {
    let mut world = World::new().await;
    for number in 1..=PAYMENTS {
        let key = format!("key-{number}");
        world.alice.api.transfer_as(&key, &world.payment(100)).send().await.json(201);
    }
    let refused = world.alice.api.transfer_as("refused", &world.payment(FUNDS)).send().await;
    refused.problem(422, "insufficient_funds");
    world.server.terminate();
    assert!(world.server.wait(END_TIMEOUT).success());
    world
}

/// A copy of the ledger that `sql` was done to.
fn tampered(original: &Path, sql: &str) -> TempDir {
    let copy = new_data();
    for entry in std::fs::read_dir(original).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let database = Connection::open(copy.path().join("ledger.db")).unwrap();
    // What stands in the way of a clumsy hand does not stop a cunning one.
    database.pragma_update(None, "ignore_check_constraints", true).unwrap();
    database.execute_batch(sql).unwrap();
    assert!(database.total_changes() > 0, "nothing was changed by {sql}");
    copy
}

#[test]
fn an_empty_ledger_holds() {
    let data = new_data();
    run(data.path(), &["migrate"]).ok();
    assert_eq!(head_of(verify(data.path(), &[])).0, 0);
}

#[tokio::test]
async fn a_ledger_is_audited_while_it_serves_and_after() {
    let world = World::new().await;
    let data = world.server.data().to_owned();
    let (seq, hash) = head_of(verify(&data, &[]));
    assert_eq!(seq, LAST_SEQ);
    let earlier = format!("{seq}:{hash}");
    world.alice.api.transfer(&world.payment(1)).send().await.json(201);
    world.alice.api.transfer(&world.payment(FUNDS)).send().await.problem(422, "insufficient_funds");
    let (seq, later_hash) = head_of(verify(&data, &[]));
    assert_eq!(seq, LAST_SEQ + 1, "a refusal takes no number");
    let later = format!("{seq}:{later_hash}");
    // A head of the past is as good as the present one.
    for known in [&earlier, &later] {
        assert_eq!(head_of(verify(&data, &["--expect", known])), (seq, later_hash.clone()));
    }
    let zeros = "0".repeat(64);
    for unknown in [
        format!("{}:{later_hash}", seq - 1),
        format!("{seq}:{hash}"),
        format!("{}:{later_hash}", seq + 1),
        format!("{seq}:{zeros}"),
        format!("1:{zeros}"),
    ] {
        assert_eq!(broken(&verify(&data, &["--expect", &unknown])), "I1", "{unknown}");
    }
    // Upper-case digits are the same number.
    verify(&data, &["--expect", &later.to_uppercase()]).ok();
    let world = world.after_a_crash();
    assert_eq!(head_of(verify(world.server.data(), &["--expect", &later])), (seq, later_hash));
}

#[tokio::test]
async fn a_report_can_be_read_by_programs() {
    let world = sample().await;
    let data = world.server.data();
    let (seq, hash) = head_of(verify(data, &[]));
    let report = verify(data, &["--json"]).ok();
    let json: Value = serde_json::from_str(&report).unwrap();
    assert!(json.is_object() && report.trim_end().lines().count() == 1, "{report}");
    assert!(report.contains(&hash) && report.contains(&seq.to_string()), "{report}");
    let store = format!("SQLite at {}", data.join("ledger.db").display());
    assert_eq!((&json["store"], &json["replica"]), (&store.as_str().into(), &false.into()));
    // Also where the directory is named from where one is.
    let mut command = std::process::Command::new(ledger_command(data).get_program());
    command.env_clear().current_dir(data).args(["verify", "--data", "."]);
    let ran = run_command(command, "");
    assert_eq!(ran.stderr, format!("reading {store}\n"));

    let copy = tampered(data, "update head set seq = seq + 1");
    let ran = verify(copy.path(), &["--json"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let json: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(json.is_object() && ran.stdout.contains("I6"), "{ran:?}");
    let store = format!("SQLite at {}", copy.path().join("ledger.db").display());
    assert_eq!(json["store"], store.as_str());
}

/// What is done to a ledger, and the invariants one of which must be named. Where an event tells more than
/// one table, more than one is broken and the first that is met will do.
const TAMPERINGS: &[(&str, &[&str])] = &[
    // accounts
    ("update accounts set balance = balance + 1 where name is null and balance > 0", &["I3", "I4"]),
    ("update accounts set balance = balance + iif(balance < 0, -2, 1)", &["I4"]),
    ("update accounts set held = held + 1 where balance > 0", &["I4"]),
    ("update accounts set min_balance = balance + 1 where balance > 0", &["I5"]),
    ("update accounts set currency = 'USD' where balance < 0", &["I3", "I4"]),
    ("delete from accounts where balance > 0", &["I3", "I4", "I1", "I6"]),
    (
        "insert into accounts select '01900000-0000-7000-8000-0000000000ff', owner, name, currency, 5, 0, 0, 1,
         created_at from accounts limit 1",
        &["I3", "I4"],
    ),
    // entries
    ("update entries set amount = amount + 1 where seq = 3", &["I4", "I1", "I6"]),
    ("update entries set balance = balance + 1 where seq = 3", &["I4", "I1", "I6"]),
    ("update entries set balance = balance + 1 where seq = 6", &["I4", "I1", "I6"]),
    ("delete from entries where seq = 3", &["I4", "I1", "I6"]),
    ("delete from entries where seq = 6 and amount > 0", &["I4", "I1", "I6"]),
    ("update entries set seq = 99 where seq = 6", &["I4", "I1", "I6"]),
    ("update entries set created_at = created_at + 1 where seq = 4", &["I4", "I1", "I6"]),
    (
        "insert into entries select account_id, 7, transfer_id, 0, balance, created_at from entries
         where seq = 6",
        &["I4", "I1", "I6"],
    ),
    // transfers
    ("update transfers set amount = amount + 1 where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set posted_amount = 1 where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set credit_account = debit_account where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set status = 'voided' where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set status = 'pending', posted_amount = null where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set description = 'gift' where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set metadata = '{}' where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set created_at = created_at - 1 where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set reversed_by = id where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set reverses = id where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set expires_at = created_at where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set reference = 'r' where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set currency = 'USD' where seq = 3", &["I1", "I4", "I6"]),
    ("update transfers set created_by = id where seq = 3", &["I1", "I2", "I4", "I6"]),
    ("update transfers set id = '01900000-0000-7000-8000-0000000000ff' where seq = 3", &["I1", "I4", "I6"]),
    ("delete from transfers where seq = 3", &["I1"]),
    (
        "insert into transfers select 7, '01900000-0000-7000-8000-0000000000ff', status, debit_account,
         credit_account, amount, posted_amount, currency, description, metadata, reference, expires_at, reverses,
         reversed_by, created_by, 'key-7', created_at, hold from transfers where seq = 6",
        &["I1", "I4", "I6"],
    ),
    // idempotency
    ("update transfers set idempotency_key = 'key-1' where seq = 4", &["I1", "I2", "I6"]),
    ("update idempotency set seq = 5 where key = 'key-1'", &["I2"]),
    ("update idempotency set seq = 99 where key = 'key-1'", &["I2"]),
    // events
    ("update events set body = substr(body, 1, length(body) - 1) where seq = 3", &["I6"]),
    ("update events set body = zeroblob(length(body)) where seq = 3", &["I6"]),
    ("update events set body = (select body from events where seq = 4) where seq = 3", &["I6"]),
    ("update events set hash = zeroblob(32) where seq = 3", &["I6"]),
    ("update events set hash = zeroblob(32) where seq = 6", &["I6"]),
    ("delete from events where seq = 1", &["I6"]),
    ("delete from events where seq = 3", &["I6"]),
    ("delete from events where seq = 6", &["I6"]),
    ("delete from events", &["I6"]),
    ("insert into events select 7, body, hash from events where seq = 6", &["I6"]),
    ("update events set seq = 7 where seq = 6", &["I6"]),
    // head
    ("update head set seq = seq + 1", &["I6"]),
    ("update head set seq = seq - 1", &["I6"]),
    ("update head set hash = zeroblob(32)", &["I6"]),
    ("update head set seq = 5, hash = (select hash from events where seq = 5)", &["I6"]),
    ("delete from head", &["I6"]),
];

#[tokio::test]
async fn every_tampering_is_named() {
    let world = sample().await;
    let (seq, _) = head_of(verify(world.server.data(), &[]));
    assert_eq!(seq, LAST_SEQ + PAYMENTS, "the cases speak of these numbers");
    let mut missed = Vec::new();
    for (sql, invariants) in TAMPERINGS {
        let copy = tampered(world.server.data(), sql);
        let ran = verify(copy.path(), &[]);
        if ran.code != Some(1) {
            missed.push(format!("{sql}: {ran:?}"));
            continue;
        }
        let named = broken(&ran);
        if !invariants.contains(&&*named) {
            missed.push(format!("{sql}: {named} and not one of {invariants:?}: {ran:?}"));
        }
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), TAMPERINGS.len());
}

#[tokio::test]
async fn a_history_that_was_cut_off_with_care_does_not_hold_the_head_of_before() {
    let world = sample().await;
    let (seq, hash) = head_of(verify(world.server.data(), &[]));
    // The last transfer is taken out of every table, as if it had never been.
    let copy = tampered(
        world.server.data(),
        "update accounts set version = version - 1, balance = balance - (
             select amount from entries where account_id = accounts.id and seq = 6)
         where id in (select account_id from entries where seq = 6);
         delete from entries where seq = 6;
         delete from transfers where seq = 6;
         delete from idempotency where seq = 6;
         delete from events where seq = 6;
         update head set seq = 5, hash = (select hash from events where seq = 5),
             at = (select created_at from transfers where seq = 5);",
    );
    assert_eq!(head_of(verify(copy.path(), &[])).0, seq - 1, "without a witness it looks whole");
    assert_eq!(broken(&verify(copy.path(), &["--expect", &format!("{seq}:{hash}")])), "I1");
}

#[test]
fn what_is_no_ledger_is_not_made_one() {
    let data = new_data();
    verify(data.path(), &[]).fails(1);
    assert!(!data.path().join("ledger.db").exists());
    std::fs::write(data.path().join("ledger.db"), "not a database at all, whatever its name".repeat(100))
        .unwrap();
    verify(data.path(), &[]).fails(1);
}
