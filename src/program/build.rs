//! Names the version, the optional features and the commit that a release is built from: what `RINGLEDGER_COMMIT` says, as
//! where the tree has no history, or what git does, with `-dirty` where something was changed since. Other builds do not ask,
//! since each commit would have them built again.

use std::path::Path;
use std::process::Command;

/// What the program is built from, from the top of the tree on. A new file is found by the one that names it.
const BUILT_FROM: [&str; 6] =
    [".cargo", "Cargo.lock", "Cargo.toml", "build.rs", "rust-toolchain.toml", "src"];

fn main() {
    println!("cargo::rerun-if-env-changed=RINGLEDGER_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let named = std::env::var("RINGLEDGER_COMMIT").ok().filter(|commit| !commit.is_empty());
    let commit = named.or_else(|| if release { of_history() } else { None });
    let commit = commit.unwrap_or_else(|| "unknown".to_owned());
    let features = features();
    let shown =
        if features.is_empty() { "no optional features".to_owned() } else { format!("features {features}") };
    println!("cargo::rustc-env=RINGLEDGER_COMMIT={commit}");
    println!("cargo::rustc-env=RINGLEDGER_FEATURES={features}");
    let version = std::env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=RINGLEDGER_VERSION={version} (commit {commit}, {shown})");
}

/// The features of Cargo.toml that are on, with commas between.
fn features() -> String {
    let name = |variable: String| Some(variable.strip_prefix("CARGO_FEATURE_")?.to_lowercase());
    let mut names: Vec<_> = std::env::vars().filter_map(|(variable, _)| name(variable)).collect();
    names.retain(|name| name != "default");
    names.sort();
    names.join(",")
}

fn of_history() -> Option<String> {
    let top = git(&["rev-parse", "--show-toplevel"])?;
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    let sources = BUILT_FROM.map(|path| format!("{top}/{path}"));
    // A file that is missing would have every build begin anew.
    for path in log.iter().chain(&sources).filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let asked = [
        &["status", "--porcelain", "--untracked-files=no", "--"][..],
        &sources.each_ref().map(String::as_str),
    ];
    let is_changed = git(&asked.concat()).is_none_or(|changes| !changes.is_empty());
    Some(if is_changed { commit + "-dirty" } else { commit })
}

/// What git prints, unless it fails.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
