//! Says how binaries are linked.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if has_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
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

/// Packed relocations take 0.2 MB less. Loaders know them from glibc 2.36 on, and a binary wants a glibc that is no older
/// than the one it was linked with.
fn has_packed_relocations() -> bool {
    let is_native = std::env::var_os("HOST") == std::env::var_os("TARGET");
    let version = is_native.then(glibc).flatten();
    version.is_some_and(|version| version >= (2, 36))
}

/// The version of the C library here.
fn glibc() -> Option<(u32, u32)> {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (major, minor) = text.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
