//! One value given by one source, and the flat view of nested settings:
//! a list of dotted keys. Knows no setting by name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use figment2::value::{Dict, Map, Value};
use figment2::{Metadata, Profile, Provider, util};
use serde::Serialize;

use super::settings::Settings;

/// Where the value of a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Built in.
    Default,
    /// The YAML file of `--config`.
    File {
        /// As given on the command line.
        path: PathBuf,
        /// Of the key, from 1, where it is known.
        line: Option<usize>,
    },
    /// A variable of a `.env` file; a name that ends in `_FILE` means that the
    /// value was read from the file it names.
    DotEnv {
        /// The `.env` file.
        path: PathBuf,
        /// Name of the variable.
        variable: String,
    },
    /// A variable of the environment; `_FILE` as in `DotEnv`.
    Environment {
        /// Name of the variable.
        variable: String,
    },
    /// A flag of the command line.
    Flag {
        /// With its dashes.
        name: &'static str,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: None } => write!(f, "file {}", path.display()),
            Self::File { path, line: Some(line) } => write!(f, "file {}, line {line}", path.display()),
            Self::DotEnv { path, variable } => write!(f, "file {}, {variable}", path.display()),
            Self::Environment { variable } => write!(f, "environment {variable}"),
            Self::Flag { name } => write!(f, "flag {name}"),
        }
    }
}

/// A value for a key. Text stays text until the setting's own type reads it,
/// so that digits can be a name or a number.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Value,
    pub(super) origin: Origin,
}

impl Entry {
    pub(super) fn new(key: impl Into<String>, value: impl Into<Value>, origin: Origin) -> Self {
        Self { key: key.into(), value: value.into(), origin }
    }
}

impl Provider for Entry {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> figment2::Result<Map<Profile, Dict>> {
        let nested = util::nest(&self.key, self.value.clone()).into_dict();
        Ok(Map::from([(Profile::Default, nested.unwrap_or_default())]))
    }
}

/// The dotted keys and values of `settings`, in the order of the keys. An
/// absent option is there with an empty value.
///
/// # Panics
/// When a path in `settings` is not UTF-8; loaded settings hold none.
pub(super) fn leaves(settings: &impl Serialize) -> BTreeMap<String, Value> {
    let tree = Value::serialize(settings).expect("settings are words, numbers and UTF-8 paths");
    let mut found = BTreeMap::new();
    collect(String::new(), tree, &mut found);
    found
}

/// Every setting as a person would write it, in the order of the keys; absent ones are `None`. Shows no password.
pub fn shown(settings: &Settings) -> Vec<(String, Option<String>)> {
    leaves(settings).into_iter().map(|(key, value)| (key, text(&value))).collect()
}

fn collect(key: String, value: Value, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Dict(_, members) => {
            for (name, member) in members {
                collect(join(&key, &name), member, found);
            }
        }
        leaf => {
            found.insert(key, leaf);
        }
    }
}

/// `section` and `name` as one dotted key.
pub(super) fn join(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
}

/// A leaf as a person would write it; `None` when it is absent.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Empty(..) => None,
        Value::String(_, text) => Some(text.clone()),
        Value::Char(_, letter) => Some(letter.to_string()),
        Value::Bool(_, truth) => Some(truth.to_string()),
        // No setting is negative or a fraction.
        Value::Num(_, number) => number.to_u128().map(|whole| whole.to_string()),
        Value::Dict(..) | Value::Array(..) => Some(format!("{value:?}")),
    }
}
