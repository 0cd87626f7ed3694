//! `doctor`: a read-only look at what this host does to latency and capacity. Each group of checks is a file of its
//! own and sees the host only through [`host::Host`] or through what was measured; what a finding weighs is decided in
//! `finding` by the profile. Changes nothing, needs no privilege, touches neither store nor sockets.

mod cgroup;
mod cpu;
mod finding;
mod host;
mod interrupts;
mod latency;
mod limits;
mod memory;
mod network;
mod report;
mod rings;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use self::finding::{Check, Group, Level, Weight, worst};
use self::host::Host;
use self::report::Style;
use super::{failed, print};
use crate::app::AppFailure;
use crate::cli::{Doctor, Profile};
use crate::config::{ConfigError, Settings};
use crate::runtime::{self, RingReport, cores};

/// Exit code when the worst finding is a warning, and when it is a blocker.
const WARNINGS: u8 = 1;
const BLOCKER: u8 = 2;

const SETTINGS: Check = Check {
    name: "settings",
    wanted: "valid",
    why: "the service does not start with others; what follows is judged by the built-in ones",
    how: "ringledger config check",
    source: "README.md, Settings",
    weight: Weight::Blocker,
};

/// Prints the report. Settings that are not valid are a finding among others.
pub(super) fn run(
    command: &Doctor,
    settings: Result<&Settings, &ConfigError>,
) -> Result<ExitCode, AppFailure> {
    let host = Host::default();
    let profile = command.profile.unwrap_or_else(|| likely_profile(&host));
    let report = runtime::inspect_rings();
    let built_in = Settings::default();
    let mut groups = look(&host, settings.unwrap_or(&built_in), &report);
    groups.insert(0, valid(settings));
    groups.push(latency::check(latency::measure()));
    let text = if command.json {
        report::json(&groups, profile).map_err(failed)?
    } else {
        report::table(&groups, profile, Style { colours: colours(), all: command.all })
    };
    print(format_args!("{}", text.trim_end()))?;
    Ok(match worst(&groups, profile) {
        Level::Ok | Level::Note => ExitCode::SUCCESS,
        Level::Warning => ExitCode::from(WARNINGS),
        Level::Blocker => ExitCode::from(BLOCKER),
    })
}

/// What needs no measuring.
fn look(host: &Host, settings: &Settings, report: &RingReport) -> Vec<Group> {
    let workers = settings.runtime.workers.map_or_else(|| cores::allowed().len(), usize::from).max(1);
    vec![
        rings::check(host, settings, report),
        limits::check(host, settings, workers, report.setup.is_ok()),
        cgroup::check(host, workers),
        cpu::check(host, settings),
        interrupts::check(host),
        network::check(host, settings),
        memory::check(host),
    ]
}

fn valid(settings: Result<&Settings, &ConfigError>) -> Group {
    let finding = match settings {
        Ok(_) => SETTINGS.found("valid", true),
        // Each problem is a line of its own.
        Err(error) => SETTINGS.found(error.to_string().replace('\n', "; "), false),
    };
    Group { title: "settings", findings: vec![finding] }
}

/// Where nobody says what this host is: inside of a container it is one, else the least demanding.
fn likely_profile(host: &Host) -> Profile {
    if rings::container_engine(host).is_some() { Profile::Container } else { Profile::Dev }
}

/// Only where somebody looks, and did not ask for none (no-color.org).
fn colours() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !unwanted && !dumb
}
