//! Names the commit that a release is built from: what `RINGLEDGER_COMMIT` says, as where the tree has no history, or
//! what git does. Other builds do not ask, since each commit would have them built again.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=RINGLEDGER_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let named = std::env::var("RINGLEDGER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = named.or_else(|| if release { of_history() } else { None });
    println!("cargo::rustc-env=RINGLEDGER_COMMIT={}", commit.unwrap_or_else(|| "unknown".to_owned()));
}

fn of_history() -> Option<String> {
    // A file that is missing would have every build begin anew.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
