//! In which line of a YAML file each key stands, for messages. The decoder itself keeps no places.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

use super::entry::join;

/// The line of each dotted key, from 1; of one that comes twice, the last. What cannot be parsed ends the walk: the
/// decoder tells of it.
pub(super) fn of_keys(text: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    let mut open: Vec<Level> = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        match event {
            Event::MappingStart(..) => {
                // Keys inside of a list are its setting's own affair.
                let in_list = open.last().is_some_and(|level| matches!(level.expects, Expects::Nothing));
                let section = begun(&mut open);
                open.push(Level { section, expects: if in_list { Expects::Nothing } else { Expects::Key } });
            }
            Event::SequenceStart(..) => {
                let section = begun(&mut open);
                open.push(Level { section, expects: Expects::Nothing });
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
            }
            Event::Scalar(name, ..) => {
                if let Some(level) = open.last_mut() {
                    level.scalar(&name, span.start.line(), &mut lines);
                }
            }
            Event::Alias(_) => {
                if let Some(level) = open.last_mut() {
                    level.alias();
                }
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => {}
        }
    }
    lines
}

/// A mapping or a list that is not closed yet.
struct Level {
    /// Its own key.
    section: String,
    expects: Expects,
}

enum Expects {
    Key,
    /// The value of this key.
    Value(String),
    /// It is a list, or in one.
    Nothing,
}

impl Level {
    fn scalar(&mut self, name: &str, line: usize, lines: &mut BTreeMap<String, usize>) {
        match self.expects {
            Expects::Key => {
                let key = join(&self.section, name);
                lines.insert(key.clone(), line);
                self.expects = Expects::Value(key);
            }
            Expects::Value(_) => self.expects = Expects::Key,
            Expects::Nothing => {}
        }
    }

    /// What it stands for is not followed, so a key that is one has no name and no line.
    fn alias(&mut self) {
        match self.expects {
            Expects::Key => self.expects = Expects::Value(join(&self.section, "*")),
            Expects::Value(_) => self.expects = Expects::Key,
            Expects::Nothing => {}
        }
    }
}

/// The key whose value begins.
fn begun(open: &mut [Level]) -> String {
    let Some(level) = open.last_mut() else { return String::new() };
    match std::mem::replace(&mut level.expects, Expects::Key) {
        Expects::Value(key) => key,
        Expects::Key => level.section.clone(),
        Expects::Nothing => {
            level.expects = Expects::Nothing;
            level.section.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_block_and_flow_style() {
        let text = "# a comment\nlog:\n  level: info\n\n  filter: |\n    level: x\nserver: {listen: a,\n backlog: 3}\n\
                    ledger:\n  currencies:\n    - {code: PTS, exponent: 0}\n    - code: X\nauth: {}\nstore: ~\nrate_limit:\n  burst: 4\n";
        let lines = of_keys(text);
        let found: Vec<_> = lines.iter().map(|(key, line)| (key.as_str(), *line)).collect();
        assert_eq!(
            found,
            [
                ("auth", 13),
                ("ledger", 9),
                ("ledger.currencies", 10),
                ("log", 2),
                ("log.filter", 5),
                ("log.level", 3),
                ("rate_limit", 15),
                ("rate_limit.burst", 16),
                ("server", 7),
                ("server.backlog", 8),
                ("server.listen", 7),
                ("store", 14),
            ]
        );
    }

    #[test]
    fn an_alias_in_the_place_of_a_key_moves_no_line() {
        let lines = of_keys("log:\n  filter: &name level\n  *name : info\n  slow_ms: 5\n");
        let found: Vec<_> = lines.iter().map(|(key, line)| (key.as_str(), *line)).collect();
        assert_eq!(found, [("log", 1), ("log.filter", 2), ("log.slow_ms", 4)]);
    }

    #[test]
    fn what_comes_before_an_error_has_its_line() {
        let lines = of_keys("log: {level: info}\nserver: [");
        assert_eq!(lines.get("log.level"), Some(&1));
        assert!(of_keys("").is_empty());
    }
}
