//! `loadtest compare` and `loadtest list`: from the command line to text, files and an exit code.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, slice};

use super::{CompareArguments, compare};
use crate::comparison::Comparison;
use crate::report;
use crate::scenario::SCENARIOS;
use crate::subject::SUBJECTS;

/// What a wrong command line ends with, as with clap.
const USAGE: u8 = 2;

/// Runs a comparison: progress to stderr, the table to stdout, JSON and HTML to files. Exits with 1 if there is no
/// comparison, with 2 if it cannot be asked for.
pub fn command(arguments: &CompareArguments) -> ExitCode {
    let options = match arguments.options() {
        Ok(options) => options,
        Err(error) => return told(&error, USAGE),
    };
    let compared = compare(&options, &|line| eprintln!("{line}"));
    let done = match compared {
        Ok(comparison) => write(&comparison, arguments),
        Err(error) => return told(&error, 1),
    };
    done.map_or_else(|error| told(&error, 1), |()| ExitCode::SUCCESS)
}

fn told(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("loadtest: {error}");
    ExitCode::from(code)
}

fn write(comparison: &Comparison, arguments: &CompareArguments) -> io::Result<()> {
    if let Some(path) = &arguments.json {
        to_file(path, &(serde_json::to_string_pretty(comparison)? + "\n"))?;
    }
    if let Some(path) = &arguments.html {
        to_file(path, &report::html::comparison(slice::from_ref(comparison)))?;
    }
    io::stdout().lock().write_all(report::comparison::text(comparison).as_bytes())
}

fn to_file(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The names of all scenarios and subjects, with a sentence on each.
pub fn list() -> String {
    let scenarios = SCENARIOS.iter().map(|scenario| (scenario.name, scenario.about));
    let subjects = SUBJECTS.iter().map(|subject| (subject.name, subject.about));
    let mut text = "Scenarios\n".to_owned();
    rows(&mut text, scenarios);
    text.push_str("\nSubjects\n");
    rows(&mut text, subjects);
    text
}

fn rows<'a>(text: &mut String, rows: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, about) in rows {
        let _ = writeln!(text, "  {name:<WIDTH$}  {about}");
    }
}

/// Of the longest name.
const WIDTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_all_with_a_sentence_each() {
        let list = list();
        let names = SCENARIOS.iter().map(|one| one.name).chain(SUBJECTS.iter().map(|one| one.name));
        for name in names {
            assert!(name.len() <= WIDTH, "{name}");
            let line = list.lines().find(|line| line.split_whitespace().next() == Some(name)).expect(name);
            assert!(line.len() > WIDTH + 20, "{line}");
        }
    }
}
