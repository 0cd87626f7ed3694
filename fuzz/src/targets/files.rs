//! URLs of databases, and what the program has written itself: ledger files, the log of events.

use ringledger::models::Event;
use ringledger::services::ledger_file::fuzzing::rewritten;
use ringledger::store::postgres::Target;

/// A URL is understood or refused, and what is told of it has no password.
pub(crate) fn postgres_url(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let lower = text.to_ascii_lowercase();
    // Certificates are files, and not ours to read here; nor is their parameter's name in an escape.
    if ["ssl", "%73", "%53", "%6c", "%4c"].iter().any(|word| lower.contains(word)) {
        return;
    }
    match Target::parse(text) {
        Ok(target) => assert!(target.describe().starts_with("Postgres at ")),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What `import` accepts, `export` writes, and that is read as the same.
pub(crate) fn ledger_line(bytes: &[u8]) {
    if bytes.contains(&b'\n') {
        return;
    }
    let Some(written) = rewritten(bytes) else { return };
    let written = written.unwrap_or_else(|error| panic!("accepted and not to be written: {error}"));
    assert!(!written.contains(&b'\n'));
    let again = rewritten(&written).expect("what was written is read").expect("and written again");
    assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&written));
}

/// An encoding that is read is the only one of its event.
pub(crate) fn event(bytes: &[u8]) {
    if let Ok(event) = Event::decode(bytes) {
        assert_eq!(event.encode(), bytes);
    }
}
