//! Names the version, the optional features and the commit that a release is built from: what `RINGLEDGER_COMMIT` says, as
//! where the tree has no history, or what git does, with `-dirty` where something was changed since. Other builds do not ask, since each commit would have them built again.
//! Also says how binaries are linked.

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
    if has_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    if release && links_by_lld() {
        // Functions that are the same to the byte become one: 0.07 MB less.
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
    }
}

/// Whether rustc brings the linker of this target, which is LLD: so on x86-64 from Rust 1.90 on, unless another is asked for.
fn links_by_lld() -> bool {
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_named = std::env::var_os("RUSTC_LINKER").is_some()
        || ["linker", "-fuse-ld"].iter().any(|flag| flags.contains(flag));
    !is_named && std::env::var("TARGET").is_ok_and(|target| target == "x86_64-unknown-linux-gnu")
}

/// The features of Cargo.toml that are on, with commas between.
fn features() -> String {
    let name = |variable: String| Some(variable.strip_prefix("CARGO_FEATURE_")?.to_lowercase());
    let mut names: Vec<_> = std::env::vars().filter_map(|(variable, _)| name(variable)).collect();
    names.retain(|name| name != "default");
    names.sort();
    names.join(",")
}

/// Packed relocations take 0.2 MB less. Loaders know them from glibc 2.36 on, and a binary wants a glibc that is no older
/// than the one it was linked with.
fn has_packed_relocations() -> bool {
    let is_native = std::env::var_os("HOST") == std::env::var_os("TARGET");
    let glibc = is_native.then(|| output("getconf", &["GNU_LIBC_VERSION"])).flatten();
    let version = glibc.as_deref().and_then(|text| text.strip_prefix("glibc ")?.split_once('.'));
    let number = |(major, minor): (&str, &str)| Some((major.parse().ok()?, minor.parse().ok()?));
    version.and_then(number).is_some_and(|version: (u32, u32)| version >= (2, 36))
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

fn git(arguments: &[&str]) -> Option<String> {
    output("git", arguments)
}

/// What a program prints, unless it fails.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
