//! What the program is told by its operator, and what it has written itself: settings, URLs of databases, ledger files,
//! the log of events.

use std::cell::LazyCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use ringledger::config::{self, Overrides, Secrets, Sources};
use ringledger::models::Event;
use ringledger::services::ledger_file::fuzzing::rewritten;
use ringledger::store::postgres::Target;
use tempfile::NamedTempFile;

thread_local! {
    /// In memory where there is such a directory: a target must be quick.
    static FILE: LazyCell<NamedTempFile> = LazyCell::new(|| {
        NamedTempFile::new_in("/dev/shm").or_else(|_| NamedTempFile::new()).expect("a file for settings")
    });
}

/// Settings that are accepted can be listed; others have a reason. The first byte says where they stand.
pub(crate) fn config(bytes: &[u8]) {
    let Some((place, text)) = bytes.split_first() else { return };
    // Other files are not ours to read here.
    if text.windows(5).any(|word| word.eq_ignore_ascii_case(b"_FILE")) {
        return;
    }
    FILE.with(|file| {
        let mut sources =
            Sources { config_file: None, dotenv: None, env: Vec::new(), flags: Overrides::default() };
        match place % 3 {
            0 => sources.config_file = Some(file.path().to_owned()),
            1 => sources.dotenv = Some(file.path().to_owned()),
            _ => sources.env = variables(text),
        }
        if place % 3 < 2 {
            std::fs::write(file.path(), text).expect("a file in memory");
        }
        match config::load(&sources) {
            Ok(loaded) => assert!(!loaded.table(Secrets::Redacted).is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// The lines `NAME=VALUE`.
fn variables(text: &[u8]) -> Vec<(OsString, OsString)> {
    let pair = |line: &[u8]| {
        let equals = line.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (line[..equals].to_vec(), line[equals + 1..].to_vec());
        Some((OsString::from_vec([b"RINGLEDGER__", &*name].concat()), OsString::from_vec(value)))
    };
    text.split(|&byte| byte == b'\n').filter_map(pair).collect()
}

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
