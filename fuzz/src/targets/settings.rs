//! What the program is told by its operator: a settings file, `.env`, the environment, single values.

use std::cell::LazyCell;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use ringledger::config::fuzzing::{self, Layer};
use ringledger::config::{self, Secrets, Sources};
use tempfile::NamedTempFile;

/// What the rest of an input is, as its first byte says: a digit in the kept ones.
enum Place {
    File,
    DotEnv,
    Environment,
    Value,
}

impl Place {
    /// The place, and the bytes for it. Those that would name other files, which are not ours to read here, are none.
    fn of(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (first, rest) = bytes.split_first()?;
        let place = match first % 4 {
            0 => Self::File,
            1 => Self::DotEnv,
            2 => Self::Environment,
            _ => Self::Value,
        };
        let names_files = rest.windows(5).any(|word| word.eq_ignore_ascii_case(b"_FILE"));
        (!names_files || matches!(place, Self::File | Self::Value)).then_some((place, rest))
    }
}

/// Each layer is taken apart, or has a reason not to be; a value that is accepted is accepted as it is listed.
pub(crate) fn config(bytes: &[u8]) {
    let Some((place, rest)) = Place::of(bytes) else { return };
    match (place, std::str::from_utf8(rest)) {
        (Place::File, Ok(text)) => assert_lines(&fuzzing::yaml(text), text),
        (Place::DotEnv, Ok(text)) => assert_told(&fuzzing::dotenv(text)),
        (Place::Environment, _) => assert_told(&fuzzing::variables(&variables(rest))),
        (Place::Value, Ok(text)) => assert_listed(text),
        (Place::File | Place::DotEnv | Place::Value, Err(_)) => {}
    }
}

/// What is given is a setting, a section without a value, or a problem.
fn assert_told(layer: &Layer) {
    assert!(layer.problems.iter().all(|problem| !problem.is_empty()));
    assert!(layer.settings <= layer.keys.len());
}

/// A key of plain words stands in the line that is told for it, which is asserted where lines have one meaning and words
/// one spelling.
fn assert_lines(layer: &Layer, text: &str) {
    assert_told(layer);
    let is_plain = text.is_ascii() && !text.contains(['\r', '\\', '|', '>']);
    let lines: Vec<_> = text.split('\n').collect();
    for (key, line) in layer.keys.iter().filter_map(|(key, line)| Some((key, (*line)?))) {
        let last = key.rsplit('.').next().unwrap_or_default();
        // One that goes over several lines has blanks.
        let has_words = key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte));
        if is_plain && has_words {
            let found = line.checked_sub(1).and_then(|place| lines.get(place));
            assert!(
                found.is_some_and(|found| found.contains(last)),
                "{key} is not in line {line}: {found:?}"
            );
        }
    }
}

/// The first byte says which setting.
fn assert_listed(text: &str) {
    let Some(first) = text.chars().next() else { return };
    let place = first as usize % fuzzing::settings();
    let (key, listed) = fuzzing::value(place, &text[first.len_utf8()..]);
    if let Some(listed) = listed {
        assert_eq!(fuzzing::value(place, &listed).1.as_ref(), Some(&listed), "{key}");
    }
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

thread_local! {
    /// In memory where there is such a directory.
    static FILE: LazyCell<NamedTempFile> = LazyCell::new(|| {
        NamedTempFile::new_in("/dev/shm").or_else(|_| NamedTempFile::new()).expect("a file for settings")
    });
}

/// The same inputs as a start of the program reads them, by files and with all that is checked only then: settings that
/// are accepted can be listed; others have a reason. Whether they are accepted. A single value has no such way.
pub(crate) fn whole(bytes: &[u8]) -> Option<bool> {
    let (place, text) = Place::of(bytes)?;
    FILE.with(|file| {
        std::fs::write(file.path(), text).expect("a file in memory");
        let path = Some(file.path().to_owned());
        let sources = match place {
            Place::File => Sources { config_file: path, ..Sources::default() },
            Place::DotEnv => Sources { dotenv: path, ..Sources::default() },
            Place::Environment => Sources { env: variables(text), ..Sources::default() },
            Place::Value => return None,
        };
        let loaded = config::load(&sources);
        match &loaded {
            Ok(loaded) => assert!(!loaded.table(Secrets::Redacted).is_empty()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        Some(loaded.is_ok())
    })
}
