//! The command line of a comparison, and its defaults. Parses once; what comes out can be run.

use std::path::PathBuf;
use std::time::Duration;

use super::Options;
use crate::scenario::{SCENARIOS, Scenario};
use crate::subject::{SUBJECTS, Store, StoreError, Subject};

/// `loadtest compare`.
#[derive(Debug, Clone, clap::Args)]
pub struct CompareArguments {
    /// What to measure (see `loadtest list`).
    #[arg(long, value_name = "NAME")]
    pub scenario: String,
    /// Where ledgers are kept.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub store: Store,
    /// Who takes part [default: depends on the scenario].
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub subjects: Vec<String>,
    /// Measurements of each subject, in interleaved order.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds)]
    pub rounds: usize,
    /// How long each takes: 5s, 300ms, 1m.
    #[arg(long, value_name = "D", default_value = "5s", value_parser = duration)]
    pub duration: Duration,
    /// Writes the comparison there as JSON, too.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes it there as one HTML page, too.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Takes the subjects' programs as they are, without building them first.
    #[arg(long)]
    pub no_build: bool,
}

/// What is wrong with a command line that clap accepts.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// No such scenario.
    #[error("no scenario is called {0:?}; there are {known}", known = names(SCENARIOS.iter().map(|one| one.name)))]
    Scenario(String),
    /// No such subject.
    #[error("no subject is called {0:?}; there are {known}", known = names(SUBJECTS.iter().map(|one| one.name)))]
    Subject(String),
    /// A subject twice.
    #[error("{0} is named twice")]
    Twice(&'static str),
    /// The subject does not answer what is asked.
    #[error("{subject} cannot take part in {scenario}: {subject} is {about}")]
    NotAdmitted {
        /// Who.
        subject: &'static str,
        /// Where.
        scenario: &'static str,
        /// What it is.
        about: &'static str,
    },
    /// No such store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CompareArguments {
    /// What they ask for.
    pub fn options(&self) -> Result<Options, UsageError> {
        self.store.check()?;
        let scenario =
            Scenario::named(&self.scenario).ok_or_else(|| UsageError::Scenario(self.scenario.clone()))?;
        let named: Vec<&str> = match self.subjects.as_slice() {
            [] => scenario.subjects.to_vec(),
            given => given.iter().map(String::as_str).collect(),
        };
        Ok(Options {
            scenario,
            store: self.store,
            subjects: subjects(scenario, &named)?,
            rounds: self.rounds,
            duration: self.duration,
            build: !self.no_build,
        })
    }
}

fn subjects(scenario: &Scenario, names: &[&str]) -> Result<Vec<&'static Subject>, UsageError> {
    let mut subjects = Vec::<&Subject>::new();
    for name in names {
        let subject = Subject::named(name).ok_or_else(|| UsageError::Subject((*name).to_owned()))?;
        if subjects.iter().any(|other| other.name == subject.name) {
            return Err(UsageError::Twice(subject.name));
        }
        if !scenario.admits(subject) {
            return Err(UsageError::NotAdmitted {
                subject: subject.name,
                scenario: scenario.name,
                about: subject.about,
            });
        }
        subjects.push(subject);
    }
    Ok(subjects)
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn rounds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&rounds| rounds > 0).ok_or_else(|| "at least 1".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if duration < Duration::from_millis(1) { Err("at least 1ms".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        compare: CompareArguments,
    }

    fn options(line: &str) -> Result<Options, String> {
        let words = ["compare"].into_iter().chain(line.split_whitespace());
        let parsed = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        parsed.compare.options().map_err(|error| error.to_string())
    }

    #[test]
    fn a_scenario_alone_is_enough() {
        let options = options("--scenario mixed").expect("options");
        let names: Vec<_> = options.subjects.iter().map(|subject| subject.name).collect();
        assert_eq!(names, ["ringledger", "axum", "axum-blocking"]);
        assert_eq!((options.rounds, options.duration, options.build), (5, Duration::from_secs(5), true));
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("300ms"), Ok(Duration::from_millis(300)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["", "5", "s", "-1s", "0ms"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_run_is_refused_in_plain_words() {
        let refused = |line: &str| options(line).map(drop).expect_err(line);
        assert!(refused("--scenario sprint").contains("there are ping1, plaintext,"));
        assert!(refused("--scenario ping1 --subjects nginx").contains("there are ringledger, "));
        assert_eq!(refused("--scenario ping1 --subjects axum,axum"), "axum is named twice");
        assert_eq!(
            refused("--scenario hot --subjects ringledger,floor"),
            "floor cannot take part in hot: floor is a raw epoll loop that gives one canned reply"
        );
        assert_eq!(
            refused("--scenario hot --store postgres"),
            "ringledger has no Postgres store yet; --store sqlite works"
        );
        assert!(refused("--scenario hot --rounds 0").contains("at least 1"));
    }
}
