//! The layer of the YAML file, and the bounded reading of small text files.
//! Knows no setting by name.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use figment2::providers::{Format, Yaml};
use figment2::value::Value;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

use super::entry::{Entry, Origin, join};
use super::error::Problem;
use super::lines;

/// Bytes of a configuration, `.env` or secret file: protects the start from a
/// path that names a device or a database.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// The whole text of a small file.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|bytes| bytes <= MAX_FILE_BYTES) {
        Ok(text)
    } else {
        Err(io::Error::other(format!("larger than {MAX_FILE_BYTES} bytes")))
    }
}

/// The entries of the YAML file at `path`, named by `--config`. An empty file
/// gives none.
pub(super) fn entries(path: &Path, problems: &mut Vec<Problem>) -> Vec<Entry> {
    parse(path).unwrap_or_else(|problem| {
        problems.push(problem);
        Vec::new()
    })
}

fn parse(path: &Path) -> Result<Vec<Entry>, Problem> {
    let text = read_text(path).map_err(|reason| Problem::Unreadable {
        path: path.to_owned(),
        reason,
        origin: Origin::Flag { name: "--config" },
    })?;
    entries_in(path, &text)
}

/// The entries of the text of a YAML file. `path` is what messages name.
pub(super) fn entries_in(path: &Path, text: &str) -> Result<Vec<Entry>, Problem> {
    let syntax = |reason: String| Problem::Syntax { path: path.to_owned(), reason };
    match Yaml::from_str::<Option<Node>>(text).map_err(|error| syntax(error.to_string()))? {
        None => Ok(Vec::new()),
        Some(Node::Leaf(_)) => Err(syntax("is not a mapping of sections".to_owned())),
        Some(Node::Members(members)) => {
            let lines = lines::of_keys(text);
            let origin = |key: &str| Origin::File { path: path.to_owned(), line: lines.get(key).copied() };
            let mut entries = Vec::new();
            flatten("", members, &origin, &mut entries);
            Ok(entries)
        }
    }
}

fn flatten(section: &str, members: Members, origin: &impl Fn(&str) -> Origin, entries: &mut Vec<Entry>) {
    for (name, node) in members.0 {
        let key = join(section, &name);
        match node {
            Node::Members(members) => flatten(&key, members, origin, entries),
            Node::Leaf(value) => {
                let origin = origin(&key);
                entries.push(Entry::new(key, value, origin));
            }
        }
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged, expecting = "keys must be words, values plain")]
enum Node {
    Members(Members),
    Leaf(Value),
}

/// The members of a mapping as written. A map type would silently drop the
/// first of two equal keys.
struct Members(Vec<(String, Node)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Members(members))
    }
}
