//! What a person writes into settings, taken apart without a file and without the settings as a whole, for the targets of
//! `fuzz/`. No part of the interface.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;

use figment2::value::Value;

use super::entry::{Entry, Origin, leaves, text};
use super::error::Problem;
use super::load::{merge, reject_unknown};
use super::settings::Settings;
use super::variables::{Names, environment, of_dotenv, variables_in};
use super::{check, file};

static KNOWN: LazyLock<BTreeMap<String, Value>> = LazyLock::new(|| leaves(&Settings::default()));
static NAMES: LazyLock<Names<'static>> = LazyLock::new(|| Names::of(KNOWN.keys().map(String::as_str)));

/// What messages call a text that comes from no file.
const NOWHERE: &str = "settings";

/// What a layer gives: each key with its line, where it has one, and everything that is wrong with it.
pub struct Layer {
    /// Dotted keys, with their lines from 1.
    pub keys: Vec<(String, Option<usize>)>,
    /// Those of the keys that are settings.
    pub settings: usize,
    /// As they are printed.
    pub problems: Vec<String>,
}

impl Layer {
    fn new(mut entries: Vec<Entry>, mut problems: Vec<Problem>) -> Self {
        let line = |origin: &Origin| match origin {
            Origin::File { line, .. } => *line,
            Origin::Default | Origin::DotEnv { .. } | Origin::Environment { .. } | Origin::Flag { .. } => {
                None
            }
        };
        let keys = entries.iter().map(|entry| (entry.key.clone(), line(&entry.origin))).collect();
        reject_unknown(&mut entries, &KNOWN, &mut problems);
        let problems = problems.iter().map(ToString::to_string).collect();
        Self { keys, settings: entries.len(), problems }
    }
}

/// A YAML file.
pub fn yaml(text: &str) -> Layer {
    match file::entries_in(Path::new(NOWHERE), text) {
        Ok(entries) => Layer::new(entries, Vec::new()),
        Err(problem) => Layer::new(Vec::new(), vec![problem]),
    }
}

/// A `.env` file. Reads the files that variables name.
pub fn dotenv(text: &str) -> Layer {
    let path = Path::new(NOWHERE);
    match variables_in(text) {
        Ok(variables) => {
            let mut problems = Vec::new();
            let entries = of_dotenv(path, variables, &NAMES, &mut problems);
            Layer::new(entries, problems)
        }
        Err(reason) => Layer::new(Vec::new(), vec![Problem::Syntax { path: path.to_owned(), reason }]),
    }
}

/// Variables of the environment. Reads the files that they name.
pub fn variables(snapshot: &[(OsString, OsString)]) -> Layer {
    let mut problems = Vec::new();
    let entries = environment(snapshot, &NAMES, &mut problems);
    Layer::new(entries, problems)
}

/// How many settings there are.
pub fn settings() -> usize {
    KNOWN.len()
}

/// Text as the value of a setting, which has a place in the order of the keys: its key, and the value as it is listed.
/// `None` where it is not allowed.
///
/// # Panics
/// When there is no such place.
pub fn value(place: usize, given: &str) -> (&'static str, Option<String>) {
    let key = KNOWN.keys().nth(place).expect("a place below `settings`");
    let entry = Entry::new(key.as_str(), given, Origin::Default);
    let settings = merge([&entry]).ok().filter(|settings| check::violations(settings).is_empty());
    (key, settings.and_then(|settings| text(leaves(&settings).get(key)?)))
}
