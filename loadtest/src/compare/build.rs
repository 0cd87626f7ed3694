//! Finds the subjects' programs beside this one, and has cargo build them first, with the same profile.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::{collections::BTreeSet, env};

use super::Options;
use crate::subject::{Binaries, Program};

/// Why a program is not there.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// This program is not where cargo puts it, so neither are the others.
    #[error(
        "{0} is not in a target directory of cargo; start loadtest with `cargo run --release -p loadtest`"
    )]
    NotInTarget(PathBuf),
    /// cargo cannot be run.
    #[error("cannot run {command}: {source}")]
    Cargo {
        /// What was run.
        command: String,
        /// What the system says.
        source: io::Error,
    },
    /// It failed.
    #[error("{command} failed ({status})")]
    Failed {
        /// What was run.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// Nothing was to be built, and it is not there.
    #[error("no program {path}; `{command}` builds it")]
    Missing {
        /// Where it should be.
        path: PathBuf,
        /// What builds it.
        command: String,
    },
    /// Where this program is.
    #[error("cannot find this program's own file: {0}")]
    Own(io::Error),
}

/// The programs of all subjects (and ringledger, which makes the tokens), built if need be.
pub(super) fn binaries(options: &Options, say: &dyn Fn(&str)) -> Result<Binaries, BuildError> {
    let own = env::current_exe().map_err(BuildError::Own)?;
    let binaries = Binaries::beside(&own).ok_or_else(|| BuildError::NotInTarget(own.clone()))?;
    let programs: BTreeSet<_> =
        options.subjects.iter().map(|subject| subject.program()).chain([Program::Ringledger]).collect();
    if options.build {
        for program in &programs {
            build(*program, &binaries, say)?;
        }
    }
    for program in &programs {
        let path = binaries.path(*program);
        if !path.is_file() {
            let command = command_line(*program, &binaries);
            return Err(BuildError::Missing { path, command });
        }
    }
    Ok(binaries)
}

/// Builds one program by itself: together, each would get the features that any of them asks of a library, and
/// ringledger not be the one that is shipped (tokio's second scheduler alone made its idle connections a tenth larger).
fn build(program: Program, binaries: &Binaries, say: &dyn Fn(&str)) -> Result<(), BuildError> {
    let command = command_line(program, binaries);
    say(&format!("building: {command}"));
    // cargo names itself to what it runs; the target directory is given, since it may be set by a flag or a variable
    // of the shell that this program was built in.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(arguments(program, binaries))
        .arg("--target-dir")
        .arg(binaries.target_dir())
        .current_dir(workspace())
        .status()
        .map_err(|source| BuildError::Cargo { command: command.clone(), source })?;
    if status.success() { Ok(()) } else { Err(BuildError::Failed { command, status }) }
}

/// The workspace that this program was built in.
fn workspace() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

fn command_line(program: Program, binaries: &Binaries) -> String {
    format!("cargo {}", arguments(program, binaries).join(" "))
}

fn arguments(program: Program, binaries: &Binaries) -> [&str; 5] {
    ["build", "--profile", binaries.profile(), "-p", program.name()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_has_the_profile_of_this_program() {
        let line = |own: &str| {
            command_line(Program::Floor, &Binaries::beside(Path::new(own)).expect("a target directory"))
        };
        assert_eq!(line("/w/target/release/loadtest"), "cargo build --profile release -p floor");
        assert_eq!(line("/w/target/debug/loadtest"), "cargo build --profile dev -p floor");
    }
}
