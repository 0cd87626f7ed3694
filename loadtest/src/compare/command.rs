//! `loadtest compare` and `loadtest list`: from the command line to text, files and an exit code.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use super::{CompareArguments, Options, compare};
use crate::comparison::Comparison;
use crate::report;
use crate::scenario::SCENARIOS;
use crate::subject::{Children, SUBJECTS};

/// What a wrong command line ends with, as with clap.
const USAGE: u8 = 2;
/// What a comparison that failed ends with.
const FAILURE: u8 = 1;

/// Runs comparisons: progress to stderr, each table to stdout as it comes, the rest to files, which hold all that there
/// is after each. Exits with 1 if one failed, with 2 if they cannot be asked for.
pub fn command(arguments: &CompareArguments) -> ExitCode {
    let options = match arguments.options() {
        Ok(options) => options,
        Err(error) => return told(&error, USAGE),
    };
    match super::children() {
        Ok(children) => run_all(arguments, &options, &children),
        Err(error) => told(&error, FAILURE),
    }
}

/// One that fails does not keep the others from running.
fn run_all(arguments: &CompareArguments, options: &[Options], children: &Children) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    let mut done = Vec::new();
    for one in options {
        match compare(one, children, &|line| eprintln!("{line}")) {
            Ok(comparison) => done.push(comparison),
            Err(error) => {
                code = told(&error, FAILURE);
                continue;
            }
        }
        if let Err(error) = write(&done, options.len() > 1, arguments) {
            return told(&error, FAILURE);
        }
    }
    code
}

fn told(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("loadtest: {error}");
    ExitCode::from(code)
}

/// Shows the last comparison, and writes the files of all. JSON is an array if several were asked for.
fn write(done: &[Comparison], several: bool, arguments: &CompareArguments) -> io::Result<()> {
    let Some(last) = done.last() else { return Ok(()) };
    io::stdout().lock().write_all(report::comparison::text(last).as_bytes())?;
    if let Some(path) = &arguments.json {
        let json =
            if several { serde_json::to_string_pretty(done) } else { serde_json::to_string_pretty(last) };
        to_file(path, &(json? + "\n"))?;
    }
    if let Some(path) = &arguments.html {
        to_file(path, &report::html::comparison(done))?;
    }
    if let Some(path) = &arguments.markdown {
        to_file(path, &report::comparison::markdown(done))?;
    }
    arguments.svg.as_deref().map_or(Ok(()), |directory| drawings(last, directory))
}

/// What can be drawn of the comparison, for pages that show images.
fn drawings(comparison: &Comparison, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory).map_err(|error| in_file(directory, &error))?;
    let headline = report::html::headline(comparison);
    let drawings = [
        ("percentiles", report::html::svg_percentiles(comparison)),
        ("intervals", headline.and_then(|metric| report::html::svg_intervals(comparison, metric))),
    ];
    for (kind, drawing) in drawings {
        if let Some(drawing) = drawing {
            to_file(&directory.join(format!("{}-{kind}.svg", comparison.scenario)), &drawing)?;
        }
    }
    Ok(())
}

fn to_file(path: &Path, text: &str) -> io::Result<()> {
    fs::write(path, text).map_err(|error| in_file(path, &error))
}

fn in_file(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
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
