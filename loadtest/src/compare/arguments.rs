//! The command line of a comparison, and its defaults. Parses once; what comes out can be run.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use super::{BASE, Options};
use crate::scenario::{SCENARIOS, Scenario};
use crate::subject::{SUBJECTS, Store, StoreError, Subject};

/// Stands for every scenario.
const ALL: &str = "all";

/// `loadtest compare`.
#[derive(Debug, Clone, clap::Args)]
pub struct CompareArguments {
    /// What to measure (see `loadtest list`): a name, several one after the other, or all.
    #[arg(long, value_name = "A,B|all", value_delimiter = ',', required = true)]
    pub scenario: Vec<String>,
    /// Where ledgers are kept.
    #[arg(long, value_enum, default_value = "sqlite")]
    pub store: Store,
    /// Who takes part, in several scenarios where it can [default: depends on the scenario].
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub subjects: Vec<String>,
    /// Whom ratios are taken to.
    #[arg(long, value_name = "NAME", default_value = BASE)]
    pub base: String,
    /// Measurements of each subject, in interleaved order.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = rounds)]
    pub rounds: usize,
    /// How long each takes: 5s, 300ms, 1m.
    #[arg(long, value_name = "D", default_value = "5s", value_parser = duration)]
    pub duration: Duration,
    /// What is offered in scenarios that have a rate [default: half of what the slowest subject reaches].
    #[arg(long, value_name = "R", value_parser = rate)]
    pub rate: Option<f64>,
    /// Writes the comparison there as JSON, too; several as an array.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes it there as one HTML page, too.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Writes SCENARIO-percentiles.svg and SCENARIO-intervals.svg there, too.
    #[arg(long, value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Writes its tables there as Markdown, too.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
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
    /// A subject or a scenario twice.
    #[error("{0} is named twice")]
    Twice(&'static str),
    /// None of the subjects answers what one of several scenarios asks.
    #[error("none of these subjects can take part in {0}")]
    Nobody(&'static str),
    /// The subject keeps its ledger elsewhere.
    #[error("{subject} is for --store {store}", store = store.name())]
    OtherStore {
        /// Who.
        subject: &'static str,
        /// The one that it is for.
        store: Store,
    },
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
    /// A rate for scenarios that have none.
    #[error("none of these scenarios has a rate; there are {known}", known = names(with_rate()))]
    NoRate,
    /// No such store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CompareArguments {
    /// What they ask for: the comparisons in the order of running; at least one.
    pub fn options(&self) -> Result<Vec<Options>, UsageError> {
        self.store.check()?;
        let base = subject(&self.base)?.name;
        let scenarios = self.scenarios()?;
        if self.rate.is_some() && !scenarios.iter().any(|scenario| scenario.has_rate()) {
            return Err(UsageError::NoRate);
        }
        let options = scenarios.iter().map(|&scenario| {
            Ok(Options {
                scenario,
                store: self.store,
                subjects: self.subjects_of(scenario, scenarios.len() > 1)?,
                base,
                rounds: self.rounds,
                duration: self.duration,
                rate_per_s: self.rate.filter(|_| scenario.has_rate()),
                build: !self.no_build,
            })
        });
        options.collect()
    }

    fn scenarios(&self) -> Result<Vec<&'static Scenario>, UsageError> {
        if self.scenario == [ALL] {
            return Ok(SCENARIOS.iter().collect());
        }
        let named = |name: &String| Scenario::named(name).ok_or_else(|| UsageError::Scenario(name.clone()));
        let scenarios = self.scenario.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        match twice(scenarios.iter().map(|scenario| scenario.name)) {
            Some(name) => Err(UsageError::Twice(name)),
            None => Ok(scenarios),
        }
    }

    /// Who takes part in a scenario. A subject that cannot is refused in the only one, and left out of one of several.
    fn subjects_of(&self, scenario: &Scenario, several: bool) -> Result<Vec<&'static Subject>, UsageError> {
        let mut subjects = if self.subjects.is_empty() {
            let defaults = scenario.subjects.iter().filter_map(|name| Subject::named(name));
            defaults.filter(|subject| scenario.admits(subject, self.store)).collect()
        } else {
            self.subjects.iter().map(|name| subject(name)).collect::<Result<Vec<_>, _>>()?
        };
        if let Some(name) = twice(subjects.iter().map(|subject| subject.name)) {
            return Err(UsageError::Twice(name));
        }
        if several {
            subjects.retain(|subject| scenario.admits(subject, self.store));
        }
        match subjects.iter().find(|subject| !scenario.admits(subject, self.store)) {
            Some(Subject { name: subject, only: Some(only), .. }) if *only != self.store => {
                Err(UsageError::OtherStore { subject, store: *only })
            }
            Some(Subject { name: subject, about, .. }) => {
                Err(UsageError::NotAdmitted { subject, scenario: scenario.name, about })
            }
            None if subjects.is_empty() => Err(UsageError::Nobody(scenario.name)),
            None => Ok(subjects),
        }
    }
}

fn subject(name: &str) -> Result<&'static Subject, UsageError> {
    Subject::named(name).ok_or_else(|| UsageError::Subject(name.to_owned()))
}

fn with_rate() -> impl Iterator<Item = &'static str> {
    SCENARIOS.iter().filter(|scenario| scenario.has_rate()).map(|scenario| scenario.name)
}

/// The first name that comes a second time.
fn twice(names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let mut seen = BTreeSet::new();
    names.into_iter().find(|name| !seen.insert(*name))
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn rounds(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&rounds| rounds > 0).ok_or_else(|| "at least 1".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0).ok_or_else(|| "above 0".to_owned())
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
        several(line).map(|mut options| options.remove(0))
    }

    fn several(line: &str) -> Result<Vec<Options>, String> {
        let words = ["compare"].into_iter().chain(line.split_whitespace());
        let parsed = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        parsed.compare.options().map_err(|error| error.to_string())
    }

    #[test]
    fn a_scenario_alone_is_enough() {
        let options = options("--scenario mixed").expect("options");
        let names: Vec<_> = options.subjects.iter().map(|subject| subject.name).collect();
        assert_eq!(names, ["ringledger", "ringledger-epoll", "axum", "axum-blocking"]);
        assert_eq!((options.rounds, options.duration, options.build), (5, Duration::from_secs(5), true));
    }

    #[test]
    fn several_scenarios_run_in_the_order_given_and_all_in_that_of_the_list() {
        let names = |line| {
            let options = several(line).expect(line);
            options.iter().map(|options| options.scenario.name).collect::<Vec<_>>()
        };
        assert_eq!(names("--scenario mixed,hot"), ["mixed", "hot"]);
        assert_eq!(names("--scenario all"), SCENARIOS.each_ref().map(|scenario| scenario.name));
        assert_eq!(several("--scenario hot,hot").map(drop), Err("hot is named twice".to_owned()));
    }

    #[test]
    fn in_several_scenarios_a_subject_takes_part_where_it_can() {
        let options = several("--scenario ping1,hot --subjects axum,floor").expect("options");
        let names: Vec<Vec<_>> = options
            .iter()
            .map(|options| options.subjects.iter().map(|subject| subject.name).collect())
            .collect();
        assert_eq!(names, [vec!["axum", "floor"], vec!["axum"]]);
        let nobody = several("--scenario ping1,hot --subjects floor").map(drop);
        assert_eq!(nobody, Err("none of these subjects can take part in hot".to_owned()));
    }

    #[test]
    fn ratios_are_taken_to_whom_one_likes() {
        assert_eq!(options("--scenario ping1").map(|options| options.base), Ok("ringledger"));
        let base = options("--scenario ping1 --base floor").map(|options| options.base);
        assert_eq!(base, Ok("floor"));
        assert!(options("--scenario ping1 --base nginx").is_err());
    }

    #[test]
    fn a_rate_is_for_scenarios_that_have_one() {
        let options = several("--scenario hot,transfer-rate --rate 3000").expect("options");
        let rates: Vec<_> = options.iter().map(|options| options.rate_per_s).collect();
        assert_eq!(rates, [None, Some(3_000.0)]);
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
            refused("--scenario hot --subjects axum-unordered"),
            "axum-unordered is for --store postgres"
        );
        assert!(refused("--scenario hot --rounds 0").contains("at least 1"));
        assert_eq!(
            refused("--scenario hot --rate 100"),
            "none of these scenarios has a rate; there are rate, transfer-rate"
        );
        assert!(refused("--scenario transfer-rate --rate=-1").contains("above 0"));
    }
}
