//! Puts the layers on top of each other and checks the result. Knows the order
//! of the layers; what each holds is the layers' affair.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment2::Figment;
use figment2::error::Kind;
use figment2::value::Value;

use super::check::{self, Violation};
use super::choices::IoMode;
use super::entry::{Entry, Origin, leaves, text};
use super::error::{ConfigError, Problem};
use super::settings::Settings;
use super::suggest::nearest;
use super::{file, variables};

/// Flags of the command line that are settings; `None` where not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--workers`
    pub workers: Option<u16>,
    /// `--io`
    pub io: Option<IoMode>,
    /// `--data`
    pub data_dir: Option<PathBuf>,
    /// `--bench-endpoints`
    pub bench_endpoints: Option<bool>,
}

/// Everything that settings are read from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// YAML file; named and not there is a problem.
    pub config_file: Option<PathBuf>,
    /// `.env` file; not there is fine.
    pub dotenv: Option<PathBuf>,
    /// Snapshot of the environment; foreign variables are passed over.
    pub env: Vec<(OsString, OsString)>,
    /// Flags.
    pub flags: Overrides,
}

impl Sources {
    /// The sources of this process: its environment now, and `.env` in its
    /// working directory.
    pub fn of_process(config_file: Option<PathBuf>, flags: Overrides) -> Self {
        Self { config_file, dotenv: Some(PathBuf::from(".env")), env: std::env::vars_os().collect(), flags }
    }
}

impl Sources {
    /// The files that are read, there or not: the layers, and those that variables name.
    pub fn files(&self) -> Vec<PathBuf> {
        let known = leaves(&Settings::default());
        let names = variables::Names::of(known.keys().map(String::as_str));
        let secrets = variables::secret_files(self.dotenv.as_deref(), &self.env, &names);
        self.config_file.iter().chain(&self.dotenv).cloned().chain(secrets).collect()
    }
}

/// Settings that passed every check, and where each came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Of each key that is not at its default.
    origins: BTreeMap<String, Origin>,
}

/// Whether a listing shows passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// As they are.
    Shown,
    /// As `***`.
    Redacted,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Dotted key.
    pub key: String,
    /// As one would write it; `None` where the setting is absent.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Loaded {
    /// Where the setting of `key` comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Every setting, in the order of the keys.
    pub fn table(&self, secrets: Secrets) -> Vec<Row> {
        let row = |(key, value): (String, Value)| Row {
            origin: self.origin(&key),
            value: match (&self.settings.store.url, secrets) {
                (Some(url), Secrets::Shown) if key == "store.url" => Some(url.expose().to_owned()),
                _ => text(&value),
            },
            key,
        };
        leaves(&self.settings).into_iter().map(row).collect()
    }
}

/// Reads all layers of `sources`. On failure the error lists every problem
/// that was found, not just the first.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut problems = Vec::new();
    let known = leaves(&Settings::default());
    let mut entries = gather(sources, &known, &mut problems);
    reject_unknown(&mut entries, &known, &mut problems);
    reject_doubles(&entries, &mut problems);
    let mut effective: BTreeMap<String, Entry> = BTreeMap::new();
    for entry in entries {
        effective.insert(entry.key.clone(), entry);
    }
    reject_mistyped(&mut effective, &mut problems);

    let settings = settle(&effective);
    let loaded =
        Loaded { settings, origins: effective.into_iter().map(|(key, entry)| (key, entry.origin)).collect() };
    problems.extend(blame(&loaded, check::violations(&loaded.settings)));
    if problems.is_empty() {
        problems.extend(blame(&loaded, check::contradictions(&loaded.settings)));
    }
    if problems.is_empty() { Ok(loaded) } else { Err(ConfigError { problems }) }
}

/// The entries of every layer, the weakest layer first.
fn gather(sources: &Sources, known: &BTreeMap<String, Value>, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let names = variables::Names::of(known.keys().map(String::as_str));
    let mut entries = Vec::new();
    if let Some(path) = &sources.config_file {
        entries.extend(file::entries(path, problems));
    }
    if let Some(path) = &sources.dotenv {
        entries.extend(variables::dotenv(path, &names, problems));
    }
    entries.extend(variables::environment(&sources.env, &names, problems));
    entries.extend(flags(&sources.flags, problems));
    entries
}

fn flags(flags: &Overrides, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let data_dir = flags.data_dir.as_deref().and_then(|path| {
        let text = path.to_str();
        if text.is_none() {
            problems.push(not_utf8(path));
        }
        text.map(str::to_owned)
    });
    let given = [
        ("server.listen", "--listen", flags.listen.map(|listen| listen.to_string())),
        ("runtime.workers", "--workers", flags.workers.map(|workers| workers.to_string())),
        ("runtime.io", "--io", flags.io.map(|io| io.to_string())),
        ("store.data_dir", "--data", data_dir),
        ("runtime.bench_endpoints", "--bench-endpoints", flags.bench_endpoints.map(|on| on.to_string())),
    ];
    let entry =
        |(key, name, value): (&str, _, Option<String>)| Some(Entry::new(key, value?, Origin::Flag { name }));
    given.into_iter().filter_map(entry).collect()
}

fn not_utf8(path: &Path) -> Problem {
    Problem::Value {
        key: "store.data_dir".to_owned(),
        found: format!("{} is not UTF-8", path.display()),
        allowed: "a UTF-8 path".to_owned(),
        origin: Origin::Flag { name: "--data" },
    }
}

/// Keeps the entries whose key is a setting. A known key or section without a
/// value, as in `log:`, says nothing and is dropped.
pub(super) fn reject_unknown(
    entries: &mut Vec<Entry>,
    known: &BTreeMap<String, Value>,
    problems: &mut Vec<Problem>,
) {
    entries.retain(|entry| {
        let is_absent = matches!(entry.value, Value::Empty(..));
        if known.contains_key(&entry.key) {
            return !is_absent;
        }
        let below = entry.key.clone() + ".";
        if !known.keys().any(|key| key.starts_with(&below)) {
            problems.push(Problem::Unknown {
                name: entry.key.clone(),
                near: nearest(&entry.key, known.keys().map(String::as_str), ".").map(str::to_owned),
                origin: entry.origin.clone(),
            });
        } else if !is_absent {
            problems.push(Problem::Section { key: entry.key.clone(), origin: entry.origin.clone() });
        }
        false
    });
}

fn reject_doubles(entries: &[Entry], problems: &mut Vec<Problem>) {
    for (index, entry) in entries.iter().enumerate() {
        let is_same = |other: &Entry| other.key == entry.key && other.origin == entry.origin;
        if entries[..index].iter().any(is_same) {
            problems.push(Problem::Twice { key: entry.key.clone(), origin: entry.origin.clone() });
        }
    }
}

/// Keeps the entries that their setting's type can read. Each is read alone on
/// top of the defaults, so that one wrong value hides no other.
fn reject_mistyped(entries: &mut BTreeMap<String, Entry>, problems: &mut Vec<Problem>) {
    entries.retain(|_, entry| match merge([&*entry]) {
        Ok(_) => true,
        Err(kind) => {
            problems.push(mistyped(entry, &kind));
            false
        }
    });
}

fn settle(entries: &BTreeMap<String, Entry>) -> Settings {
    merge(entries.values()).expect("values that were each read alone, of different keys")
}

/// The defaults, which the types of the settings bring, with `entries` on top.
/// Text becomes a number or a truth value where the setting is one.
pub(super) fn merge<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Result<Settings, Kind> {
    entries
        .into_iter()
        .fold(Figment::new(), |figment, entry| figment.merge(entry.clone()))
        .extract_lossy()
        .map_err(|error| error.kind)
}

fn mistyped(entry: &Entry, kind: &Kind) -> Problem {
    let found = match kind {
        Kind::InvalidType(found, _) | Kind::InvalidValue(found, _) => format!("found {found}"),
        Kind::UnknownVariant(found, _) => format!("found {found:?}"),
        other => other.to_string(),
    };
    Problem::Value {
        key: entry.key.clone(),
        found,
        allowed: check::allowed(&entry.key),
        origin: entry.origin.clone(),
    }
}

/// The violations with the sources that brought them.
fn blame(loaded: &Loaded, violations: Vec<Violation>) -> impl Iterator<Item = Problem> {
    violations.into_iter().map(|violation| Problem::Value {
        key: violation.key.to_owned(),
        found: violation.found,
        allowed: violation.allowed,
        origin: loaded.origin(violation.key),
    })
}
