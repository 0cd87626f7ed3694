//! A ledger as a file: it moves as a whole, or not at all.

use ringledger::models::{Account, Head, Transfer};
use ringledger::services::audit::{AuditError, Audited, Invariant, audit};
use ringledger::services::ledger_file::{ImportError, export, import};
use ringledger::store::audit::Source;
use ringledger::store::{Store, StoreError};

use crate::store::kinds;
use crate::store::ledger::{Ledger, replay_of, second};

/// The ledger behind `store` as a file.
pub(crate) fn exported(store: &Store) -> String {
    let mut file = Vec::new();
    let exported = export(&store.audit().unwrap(), &mut file, |_| ()).unwrap();
    assert_eq!(exported.head, store.audit().unwrap().head().unwrap());
    String::from_utf8(file).unwrap()
}

/// Reads a file into `store`.
pub(crate) fn imported(store: &Store, file: &str) -> Result<Audited, ImportError> {
    import(store.importer().unwrap(), file.as_bytes(), |_| ())
}

/// All that people see of a ledger.
#[track_caller]
pub(crate) fn content(ledger: &Ledger) -> (Head, Vec<Account>, Vec<Transfer>) {
    let mut transfers = Vec::new();
    let source = ledger.store.audit().unwrap();
    let collected = source.each_event(|event| -> Result<(), StoreError> {
        transfers.extend(event.transfer);
        Ok(())
    });
    collected.unwrap();
    (ledger.audit().head, ledger.accounts(), transfers)
}

pub(crate) fn every_kind_of_event_moves_to_another_place(mut ledger: Ledger) {
    kinds::write(&mut ledger);
    let file = exported(&ledger.store);
    let mut other = ledger.elsewhere();
    let audited = imported(&other.store, &file).unwrap();
    assert_eq!((audited.head.seq, audited.accounts), (kinds::EVENTS, kinds::ACCOUNTS));
    assert_eq!(content(&other), content(&ledger));
    assert_eq!(exported(&other.store), file);
    // It goes on where the first one stopped.
    other.clock = second(20);
    let accounts = other.accounts();
    assert_eq!(other.pay(accounts[0].id, accounts[1].id, 1).seq, kinds::EVENTS + 1);
    other.audit();
}

pub(crate) fn users_names_and_keys_move_along(mut ledger: Ledger) {
    let alice = ledger.user("alice");
    let (bank, purse) = (ledger.bank(), ledger.purse_of(alice));
    let payment = ledger.payment(bank, purse, 10);
    let first = ledger.decide(payment.clone());
    let mut poor = ledger.payment(purse, bank, 1_000);
    poor.actor = alice;
    let refused = ledger.decide(poor.clone());
    let mut other = ledger.elsewhere();
    imported(&other.store, &exported(&ledger.store)).unwrap();
    let found = other.read(other.reader.credentials("ALICE")).unwrap();
    assert_eq!((found.user.id, found.password_hash.as_deref()), (alice.id, Some("hash of alice")));
    // What was sent before the move and is sent again after it is a replay.
    other.clock = ledger.clock;
    assert_eq!(other.decide(payment), replay_of(&first));
    assert_eq!(other.decide(poor), replay_of(&refused));
    assert_eq!(other.audit().head, ledger.audit().head);
}

pub(crate) fn an_empty_ledger_moves(ledger: Ledger) {
    let file = exported(&ledger.store);
    assert_eq!(file.lines().count(), 3, "first line, built-in operator, last line: {file}");
    let other = ledger.elsewhere();
    assert_eq!(imported(&other.store, &file).unwrap().head.seq, 0);
    assert_eq!(exported(&other.store), file);
}

/// The number of the line that an import must name, and a word of what it must say.
#[track_caller]
fn assert_refused(store: &Store, file: &str, line: usize, word: &str) {
    match imported(store, file) {
        Err(ImportError::Line { line: named, problem }) => {
            let said = problem.to_string();
            assert!(named == line as u64 && said.contains(word), "line {named}: {said}, not {line}: {word}");
        }
        other => panic!("{other:?}, not line {line}: {word}"),
    }
    let rows = store.audit().unwrap().row_counts().unwrap();
    let left = (rows.users, rows.accounts, rows.transfers, rows.entries, rows.keys);
    assert_eq!(left, (1, 0, 0, 0, 0), "something was left behind");
}

pub(crate) fn a_file_that_was_changed_is_refused_and_leaves_nothing(mut ledger: Ledger) {
    kinds::write(&mut ledger);
    let file = exported(&ledger.store);
    let lines: Vec<&str> = file.lines().collect();
    let last = lines.len();
    let place = |start: &str| lines.iter().position(|line| line.starts_with(start)).unwrap();
    let (user, account) = (place(r#"{"user""#), place(r#"{"account""#));
    let (event, key) = (place(r#"{"event""#), place(r#"{"key""#));
    let other = ledger.elsewhere();
    let joined = |lines: &[&str]| lines.join("\n") + "\n";
    let refused = |file: &str, line, word| assert_refused(&other.store, file, line, word);
    let replaced = |at: usize, from: &str, to: &str| {
        assert!(lines[at].contains(from), "{from} is not in {}", lines[at]);
        let changed = lines[at].replacen(from, to, 1);
        joined(&[&lines[..at], &[changed.as_str()], &lines[at + 1..]].concat())
    };

    // Cut off.
    for kept in 1..last {
        refused(&joined(&lines[..kept]), kept, "ends here");
    }
    refused(&file[..file.len() - 1], last, "ends here");
    refused("", 0, "ends here");
    // Something is missing, stands twice or elsewhere.
    for at in user..last - 1 {
        let shorter = joined(&[&lines[..at], &lines[at + 1..]].concat());
        if (event..key - 1).contains(&at) {
            refused(&shorter, at + 1, "is followed by");
        } else if !(account..event).contains(&at) {
            refused(&shorter, last - 1, "the first line says");
        }
    }
    let without_bank = joined(&[&lines[..account], &lines[account + 1..]].concat());
    refused(&without_bank, event, "does not exist");
    let swapped = |a: usize, b: usize| {
        let mut lines = lines.clone();
        lines.swap(a, b);
        joined(&lines)
    };
    refused(&swapped(event, event + 1), event + 1, "is followed by");
    refused(&swapped(account, account + 1), last, "changed");
    refused(&swapped(key, key + 1), key + 2, "order of their use");
    refused(&swapped(account, event), account + 2, "the order is");
    refused(&joined(&[&lines[..], &lines[event..=event]].concat()), last + 1, "behind the last line");
    refused(&joined(&[&lines[..=account], &lines[account..]].concat()), event + 2, "cannot be stored");
    // Changed.
    refused(&replaced(event, r#""amount":100"#, r#""amount":101"#), event + 1, "hash");
    refused(&replaced(event, "4711", "4712"), event + 1, "hash");
    refused(&replaced(event, "1.50", "1.5"), event + 1, "hash");
    refused(&replaced(event, r#""pending":true"#, r#""pending":1"#), event + 1, "at byte");
    refused(&replaced(event, r#""type":"created""#, r#""type":"voided""#), event + 1, "type");
    refused(&replaced(event, r#"{"event""#, r#"{"more":1,"event""#), event + 1, "at byte");
    refused(&replaced(account, r#""currency":"EUR""#, r#""currency":"USD""#), event + 1, "currency");
    refused(&replaced(account, r#""min_balance":null"#, r#""min_balance":-9000"#), last, "changed");
    refused(&replaced(user, r#""username":"operator""#, r#""username":"root""#), last, "changed");
    refused(&replaced(user, r#""role":"operator""#, r#""role":"user""#), last, "built-in operator");
    refused(&replaced(0, r#""ringledger":1"#, r#""ringledger":2"#), 1, "version 2");
    refused(&replaced(0, r#""keys":"#, r#""keys":1"#), last, "keys");
    refused(&replaced(0, r#""head":"12:"#, r#""head":"13:"#), last, "events");
    refused(&replaced(last - 1, r#""lines":"#, r#""lines":1"#), last, "lines");
    refused("{}\n", 1, "ringledger");
    refused("no json\n", 1, "at byte");
    // The whole file is still good.
    imported(&other.store, &file).unwrap();
}

pub(crate) fn a_file_made_with_care_is_audited_all_the_same(mut ledger: Ledger) {
    kinds::write(&mut ledger);
    let file = exported(&ledger.store);
    let other = ledger.elsewhere();
    // The hash over the bytes is made anew after the floor of an account is raised above its balance.
    let changed = file.replacen(r#""min_balance":0"#, r#""min_balance":1000"#, 1);
    let found = imported(&other.store, &resealed(&changed));
    let named = matches!(found, Err(ImportError::Audit(AuditError::Broken { invariant: Invariant::I5, .. })));
    assert!(named, "{found:?}");
    let nobody = file.replacen(
        r#""owner":"01900000-0000-7000-8000-000000000001""#,
        r#""owner":"01900000-0000-7000-8000-0000000000ff""#,
        1,
    );
    let found = imported(&other.store, &resealed(&nobody));
    assert!(matches!(found, Err(ImportError::Ownerless(_))), "{found:?}");
    audit(&other.store.audit().unwrap(), None, |_| ()).unwrap();
    assert_eq!(other.accounts(), []);
}

/// The file with a last line that fits the bytes before it.
fn resealed(file: &str) -> String {
    use sha2::{Digest, Sha256};
    let end = file.trim_end().rfind('\n').unwrap() + 1;
    let (before, last) = file.split_at(end);
    let (kept, _) = last.split_once(r#""sha256":"#).unwrap();
    let digest = const_hex::encode(Sha256::digest(before));
    format!("{before}{kept}\"sha256\":\"{digest}\"}}}}\n")
}

pub(crate) fn a_place_with_something_in_it_is_refused(mut ledger: Ledger) {
    let mut other = ledger.elsewhere();
    let purse = ledger.purse();
    let file = exported(&ledger.store);
    assert!(matches!(imported(&ledger.store, &file), Err(ImportError::NotEmpty(_))));
    assert_eq!(ledger.accounts()[0].id, purse);
    other.user("alice");
    assert!(matches!(imported(&other.store, &file), Err(ImportError::NotEmpty(_))));
    let more = ledger.elsewhere();
    imported(&more.store, &file).unwrap();
    assert!(matches!(imported(&more.store, &file), Err(ImportError::NotEmpty(_))));
}
