//! The layers of `.env` and of the environment: which variable is which
//! setting. Reads variables, never sets one.
//!
//! `RINGLEDGER__SECTION__KEY` is `section.key`, `DATABASE_URL` is `store.url`,
//! and either with `_FILE` behind it names a file that holds the value. An
//! empty variable counts as not set, as compose files pass on what is absent.
//! Names with a single underscore are not ours: Kubernetes makes such ones
//! (`RINGLEDGER_PORT`) for a service of that name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::entry::{Entry, Origin};
use super::error::Problem;
use super::file::read_text;
use super::suggest::nearest;

const PREFIX: &str = "RINGLEDGER__";
const DATABASE_URL: &str = "DATABASE_URL";
const FILE_SUFFIX: &str = "_FILE";

/// What a variable stands for.
enum Target<'a> {
    /// The setting of this key.
    Setting(&'a str),
    /// A file with the value of this key; `plain` is the variable that would
    /// hold the value itself.
    SecretFile { key: &'a str, plain: &'a str },
    /// A name behind our prefix that no setting has.
    Unknown,
}

/// The variables of all settings.
pub(super) struct Names<'a>(BTreeMap<String, &'a str>);

impl<'a> Names<'a> {
    /// The names that belong to `keys`.
    pub(super) fn of(keys: impl Iterator<Item = &'a str>) -> Self {
        let named = keys.map(|key| (PREFIX.to_owned() + &key.replace('.', "__").to_ascii_uppercase(), key));
        Self(named.chain([(DATABASE_URL.to_owned(), "store.url")]).collect())
    }

    /// Exact names come first: `auth.key_file` ends like a secret file.
    fn target(&self, variable: &str) -> Target<'_> {
        if let Some(key) = self.0.get(variable) {
            return Target::Setting(key);
        }
        let plain = variable.strip_suffix(FILE_SUFFIX);
        match plain.and_then(|plain| self.0.get_key_value(plain)) {
            Some((plain, key)) => Target::SecretFile { key, plain },
            None => Target::Unknown,
        }
    }

    fn near(&self, variable: &str) -> Option<String> {
        nearest(variable, self.0.keys().map(String::as_str), "__").map(str::to_owned)
    }
}

fn is_ours(variable: &str) -> bool {
    variable.starts_with(PREFIX) || variable.strip_suffix(FILE_SUFFIX).unwrap_or(variable) == DATABASE_URL
}

/// The entries of the `.env` file at `path`; none when there is no such file.
pub(super) fn dotenv(path: &Path, names: &Names<'_>, problems: &mut Vec<Problem>) -> Vec<Entry> {
    match parse_dotenv(path) {
        Ok(variables) => of_dotenv(path, variables, names, problems),
        Err(problem) => {
            problems.push(problem);
            Vec::new()
        }
    }
}

/// The entries of what stands in a `.env` file. `path` is what messages name.
pub(super) fn of_dotenv(
    path: &Path,
    variables: Vec<(String, String)>,
    names: &Names<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    let origin = |variable: &str| Origin::DotEnv { path: path.to_owned(), variable: variable.to_owned() };
    let ours = variables.into_iter().filter(|(name, _)| is_ours(name));
    entries(ours.collect(), names, origin, problems)
}

fn parse_dotenv(path: &Path) -> Result<Vec<(String, String)>, Problem> {
    let text = match read_text(path) {
        Ok(text) => text,
        Err(reason) if reason.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(reason) => {
            return Err(Problem::Unreadable {
                path: path.to_owned(),
                reason,
                origin: Origin::File { path: path.to_owned(), line: None },
            });
        }
    };
    variables_in(&text).map_err(|reason| Problem::Syntax { path: path.to_owned(), reason })
}

/// The variables of the text of a `.env` file, or what is wrong with it.
pub(super) fn variables_in(text: &str) -> Result<Vec<(String, String)>, String> {
    // Editors of another system mark UTF-8 with this sign; the library takes it for a name.
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let variables: dotenvy::Result<Vec<_>> = dotenvy::from_read_iter(bare.as_bytes()).collect();
    variables.map_err(|error| dotenv_reason(&error))
}

/// The library's message quotes the line, which may hold a secret. One of our
/// own names before the `=` does not.
fn dotenv_reason(error: &dotenvy::Error) -> String {
    let name = match error {
        dotenvy::Error::LineParse(line, _) => line.split_once('=').map(|(name, _)| name.trim()),
        _ => None,
    };
    match name.filter(|name| is_ours(name)) {
        Some(name) => format!("the line of {name} is not NAME=value; quote values with blanks"),
        None => "a line is not NAME=value".to_owned(),
    }
}

/// The entries of a snapshot of the environment.
pub(super) fn environment(
    snapshot: &[(OsString, OsString)],
    names: &Names<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    let origin = |variable: &str| Origin::Environment { variable: variable.to_owned() };
    let mut variables = Vec::new();
    for (name, value) in snapshot {
        let Some(name) = name.to_str().filter(|name| is_ours(name)) else {
            continue;
        };
        match value.to_str() {
            Some(value) => variables.push((name.to_owned(), value.to_owned())),
            None => problems.push(Problem::Value {
                key: name.to_owned(),
                found: "is not UTF-8".to_owned(),
                allowed: "UTF-8 text".to_owned(),
                origin: origin(name),
            }),
        }
    }
    entries(variables, names, origin, problems)
}

/// The files that variables of `.env` and of the environment name.
pub(super) fn secret_files(
    dotenv: Option<&Path>,
    snapshot: &[(OsString, OsString)],
    names: &Names<'_>,
) -> Vec<PathBuf> {
    // One that cannot be read names none; whoever loads it says so.
    let of_file = dotenv.and_then(|path| parse_dotenv(path).ok()).unwrap_or_default();
    let text =
        |(name, value): &(OsString, OsString)| Some((name.to_str()?.to_owned(), value.to_str()?.to_owned()));
    of_file
        .into_iter()
        .chain(snapshot.iter().filter_map(text))
        .filter(|(name, value)| !value.is_empty() && matches!(names.target(name), Target::SecretFile { .. }))
        .map(|(_, path)| path.into())
        .collect()
}

/// One layer's variables as entries. Sorted by name, so that
/// `RINGLEDGER__STORE__URL` wins over the less specific `DATABASE_URL`.
fn entries(
    mut variables: Vec<(String, String)>,
    names: &Names<'_>,
    origin: impl Fn(&str) -> Origin,
    problems: &mut Vec<Problem>,
) -> Vec<Entry> {
    variables.sort();
    let mut entries = Vec::new();
    for (variable, value) in &variables {
        let origin = origin(variable);
        match names.target(variable) {
            Target::Unknown => {
                problems.push(Problem::Unknown {
                    name: variable.clone(),
                    near: names.near(variable),
                    origin,
                });
            }
            Target::Setting(_) | Target::SecretFile { .. } if value.is_empty() => {}
            Target::Setting(key) => entries.push(Entry::new(key, value.clone(), origin)),
            Target::SecretFile { plain, .. } if is_set(&variables, plain) => {
                problems.push(Problem::Exclusive { variable: plain.to_owned() });
            }
            Target::SecretFile { key, .. } => match read_secret(value, &origin) {
                Ok(secret) => entries.push(Entry::new(key, secret, origin)),
                Err(problem) => problems.push(problem),
            },
        }
    }
    entries
}

fn is_set(variables: &[(String, String)], variable: &str) -> bool {
    variables.iter().any(|(name, value)| name == variable && !value.is_empty())
}

/// The content of a secret file without the line end that editors add.
fn read_secret(path: &str, origin: &Origin) -> Result<String, Problem> {
    match read_text(Path::new(path)) {
        Ok(text) => Ok(text.trim_end_matches(['\r', '\n']).to_owned()),
        Err(reason) => Err(Problem::Unreadable { path: PathBuf::from(path), reason, origin: origin.clone() }),
    }
}
