//! Runs a scenario against subjects: a fresh process and store for each block, interleaved rounds, medians with
//! intervals. Knows no socket: what a block does is `scenario`'s, how a subject starts is `subject`'s.

mod arguments;
mod build;
mod command;
mod metrics;
mod schedule;
mod signals;
mod tally;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use self::metrics::{Used, Values};
use self::tally::Tally;
use crate::comparison::Comparison;
use crate::environment::{self, Cost};
use crate::probe::{Count, Family, Probe};
use crate::scenario::{self, Cores, Observed, Scenario, ScenarioError, Span, Work};
use crate::subject::{
    self, Binaries, Children, Opened, Running, Site, Store, StoreError, Subject, SubjectError, Told,
};

pub use self::arguments::{CompareArguments, UsageError};
pub use self::build::BuildError;
pub use self::command::{command, list};

/// What every ratio is taken to unless told otherwise.
pub const BASE: &str = "ringledger";

/// Before a block counts: caches, branch predictors, the client's connections.
const WARM_UP: Duration = Duration::from_secs(1);

/// Longest measurement of a ceiling or of system calls; both are steady after a fraction of it.
const SHORT: Duration = Duration::from_secs(2);

/// What to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// In which scenario.
    pub scenario: &'static Scenario,
    /// Where ledgers are kept.
    pub store: Store,
    /// Who takes part; each is admitted to the scenario.
    pub subjects: Vec<&'static Subject>,
    /// Whom ratios are taken to, by name; without ratios if that one takes no part.
    pub base: &'static str,
    /// Measurements of each.
    pub rounds: usize,
    /// How long each takes.
    pub duration: Duration,
    /// What is offered in a scenario that has a rate, instead of half of the slowest subject's ceiling.
    pub rate_per_s: Option<f64>,
    /// Whether to build the subjects first.
    pub build: bool,
}

impl Options {
    /// The command that repeats this.
    fn command(&self, profile: &str) -> String {
        let profile = match profile {
            "dev" => String::new(),
            "release" => " --release".to_owned(),
            other => format!(" --profile {other}"),
        };
        let subjects: Vec<_> = self.subjects.iter().map(|subject| subject.name).collect();
        let base = if self.base == BASE { String::new() } else { format!(" --base {}", self.base) };
        let store = match self.store {
            Store::Sqlite => String::new(),
            Store::Postgres => format!(" --store {}", self.store.name()),
        };
        let rate = self.rate_per_s.map_or_else(String::new, |rate| format!(" --rate {rate}"));
        format!(
            "cargo run{profile} -p loadtest -- compare --scenario {}{store} --subjects {}{base}{rate} --rounds {} \
             --duration {}",
            self.scenario.name,
            subjects.join(","),
            self.rounds,
            humantime::format_duration(self.duration),
        )
    }
}

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A subject's program is missing.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// No store for a subject.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A block failed.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// Client and server need a core each.
    #[error("{scenario} keeps client and server apart and needs two cores; this process may use {allowed}")]
    TooFewCores {
        /// Which scenario.
        scenario: &'static str,
        /// How many cores there are.
        allowed: usize,
    },
    /// Scratch files, limits or signals.
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<SubjectError> for CompareError {
    fn from(error: SubjectError) -> Self {
        Self::Scenario(error.into())
    }
}

/// The place of all processes that comparisons start. To be asked for once: SIGINT and SIGTERM end them and then this
/// process, with 130 and 143.
pub fn children() -> io::Result<Children> {
    let children = Children::default();
    signals::end_children_on_signal(&children)?;
    Ok(children)
}

/// Runs a comparison and tells about its progress line by line. Processes that it started end with it.
pub fn compare(
    options: &Options,
    children: &Children,
    say: &dyn Fn(&str),
) -> Result<Comparison, CompareError> {
    options.store.check()?;
    environment::load_before();
    let allowed = environment::allowed_cores()?;
    let cores = Cores::of(options.scenario.place, &allowed)
        .ok_or(CompareError::TooFewCores { scenario: options.scenario.name, allowed: allowed.len() })?;
    let binaries = build::binaries(options, say)?;
    environment::raise_file_limit();
    Rig { options, cores, binaries, children, say }.run()
}

/// What a measurement may look at.
struct Scene<'a> {
    /// The subject's process.
    server: u32,
    /// The first process of the database server, if there is one.
    database: Option<u32>,
    /// For files.
    scratch: &'a Path,
}

/// What came of a load on a fresh subject.
struct Taken<T> {
    observed: Observed<T>,
    /// The subject's I/O engine, if it tells.
    engine: Option<String>,
    /// What the store tells of itself.
    store: Told,
}

/// All that a block needs.
struct Rig<'a> {
    options: &'a Options,
    cores: Cores,
    binaries: Binaries,
    children: &'a Children,
    say: &'a dyn Fn(&str),
}

impl Rig<'_> {
    fn run(&self) -> Result<Comparison, CompareError> {
        let cost = Cost::begin();
        let rate_per_s = self.rate()?;
        let mut tally = Tally::new(self.options);
        if let Some(rate_per_s) = rate_per_s {
            tally.tell([("offered rate", format!("{rate_per_s:.0} requests/s"))]);
        }
        for (round, order) in
            schedule::rounds(self.options.subjects.len(), self.options.rounds).iter().enumerate()
        {
            for &index in order {
                self.block(index, round, rate_per_s, &mut tally)?;
            }
        }
        // The rounds are worth having without it.
        if let Err(error) = self.count_syscalls(rate_per_s, &mut tally) {
            tally.warn(format!("system calls are not counted: {error}"));
        }
        let mut environment = environment::of_host(&self.cores);
        environment.extend(tally.told());
        environment.insert("binaries".to_owned(), format!("profile {}", self.binaries.profile()));
        if self.options.scenario.work == Work::Idle {
            tally.warn_all(scenario::idle_note());
        }
        if self.binaries.profile() == "dev" {
            tally.warn(
                "programs without optimisation: these figures say nothing; use `cargo run --release`"
                    .to_owned(),
            );
        }
        tally.warn_all(cost.end(&mut environment));
        Ok(tally.comparison(environment, self.options.command(self.binaries.profile())))
    }

    /// What is offered in a scenario that has a rate: what was asked for, else half of what the slowest subject reaches.
    fn rate(&self) -> Result<Option<f64>, CompareError> {
        if !self.options.scenario.has_rate() || self.options.rate_per_s.is_some() {
            return Ok(self.options.rate_per_s);
        }
        let mut slowest = f64::INFINITY;
        for subject in &self.options.subjects {
            let taken = self.observe(subject, None, self.short(), |_| || ())?;
            let ceiling = metrics::rate_per_s(&taken.observed.main);
            (self.say)(&format!("ceiling of {}: {ceiling:.0} requests/s", subject.name));
            slowest = slowest.min(ceiling);
        }
        Ok(Some(slowest / 2.0))
    }

    /// One measurement of one subject.
    fn block(
        &self,
        index: usize,
        round: usize,
        rate_per_s: Option<f64>,
        tally: &mut Tally<'_>,
    ) -> Result<(), CompareError> {
        let subject = self.options.subjects[index];
        let values = match self.options.scenario.work {
            Work::Idle => scenario::measure_idle(&self.start(subject, &self.bench()?)?)?,
            Work::Start => self.starts(subject)?,
            Work::Closed { .. }
            | Work::HalfOfCeiling { .. }
            | Work::Mixed
            | Work::Read
            | Work::Transfer { .. }
            | Work::Batch { .. } => {
                let span = Span { warm_up: WARM_UP, measured: self.options.duration };
                let Taken { observed, engine, store } =
                    self.observe(subject, rate_per_s, span, |scene| use_of(&scene))?;
                tally.engine(index, engine);
                tally.tell(store);
                let mut values =
                    metrics::values(&observed.main, observed.beside.as_ref(), &observed.watched?);
                if let Some(transfers) = self.options.scenario.transfers_a_request() {
                    metrics::count_transfers(&mut values, &observed.main, transfers);
                }
                if let Some(heavy) = observed.beside {
                    tally.saw_beside(index, heavy.errors);
                }
                tally.saw(index, observed.main);
                values
            }
        };
        (self.say)(&metrics::progress(round, self.options.rounds, subject.name, &values));
        tally.add(index, round, values);
        Ok(())
    }

    fn starts(&self, subject: &'static Subject) -> Result<Values, CompareError> {
        let mut bench = self.bench()?;
        scenario::measure_start(|fresh| {
            if fresh {
                bench = self.bench()?;
            }
            self.start(subject, &bench)
        })
    }

    /// System calls, in a run of its own for each subject: tracing slows it down.
    fn count_syscalls(&self, rate_per_s: Option<f64>, tally: &mut Tally<'_>) -> Result<(), CompareError> {
        if !self.options.scenario.is_load() {
            return Ok(());
        }
        for (index, subject) in self.options.subjects.iter().enumerate() {
            (self.say)(&format!("system calls of {}", subject.name));
            let Taken { observed, .. } = self.observe(subject, rate_per_s, self.short(), |scene| {
                let count = Count::begin(scene.server, scene.scratch);
                || count.and_then(Count::end)
            })?;
            match observed.watched {
                Ok(calls) => {
                    let replies = metrics::replies(&observed.main, observed.beside.as_ref());
                    tally.add_once(index, "server.syscalls_per_request", metrics::each(calls, replies));
                }
                Err(reason) => {
                    tally.warn(format!("system calls are not counted: {reason}"));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn short(&self) -> Span {
        Span { warm_up: WARM_UP, measured: SHORT.min(self.options.duration) }
    }

    /// Puts the scenario's load on a fresh subject. `watch` begins once it is warm, and what it returns ends that.
    fn observe<T: Send, E: FnOnce() -> T>(
        &self,
        subject: &'static Subject,
        rate_per_s: Option<f64>,
        span: Span,
        watch: impl FnOnce(Scene<'_>) -> E + Send,
    ) -> Result<Taken<T>, CompareError> {
        let bench = self.bench()?;
        let running = self.start(subject, &bench)?;
        let load =
            scenario::prepare(self.options.scenario, &running, &self.site(&bench), &self.cores, rate_per_s)?;
        let database = bench.store.database.as_ref();
        let scene = Scene {
            server: running.pid,
            database: database.map(|one| one.pid),
            scratch: bench.scratch.path(),
        };
        let observed = scenario::observe(&load, &running, span, || watch(scene));
        // The cause of what else went wrong.
        running.require_alive()?;
        let store = database.map(|one| one.told.clone()).unwrap_or_default();
        Ok(Taken { observed: observed?, engine: running.engine(), store })
    }

    fn start(&self, subject: &'static Subject, bench: &Bench) -> Result<Running, CompareError> {
        Ok(subject::start(subject, &self.site(bench), self.children)?)
    }

    /// A scratch directory with an empty store in it.
    fn bench(&self) -> Result<Bench, CompareError> {
        let scratch = self.children.scratch()?;
        let store = self.options.store.open(scratch.path(), self.children)?;
        Ok(Bench { scratch, store })
    }

    fn site<'a>(&'a self, bench: &'a Bench) -> Site<'a> {
        Site {
            binaries: &self.binaries,
            store: &bench.store,
            cores: &self.cores.server,
            scratch: bench.scratch.path(),
        }
    }
}

/// What a process gets for itself.
struct Bench {
    scratch: Arc<TempDir>,
    store: Opened,
}

/// What subject and database use from now until the result is called.
fn use_of(scene: &Scene<'_>) -> impl FnOnce() -> io::Result<Used> + use<> {
    let (server, database) = (Probe::begin(scene.server), scene.database.map(Family::begin));
    || {
        let server = server?.end()?;
        let database_cpu = database.map(|family| family?.end()).transpose()?;
        Ok(Used { server, database_cpu })
    }
}
