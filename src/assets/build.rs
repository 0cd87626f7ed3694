//! Packs the files.

use std::path::Path;
use std::{env, fs, io};

/// Relative to this directory; `mod.rs` names the same.
const FILES: [&str; 10] = [
    "dashboard.html",
    "docs.html",
    "openapi.yaml",
    "fonts/inter-regular.otf",
    "fonts/inter-semibold.otf",
    "completions/bash",
    "completions/elvish",
    "completions/fish",
    "completions/powershell",
    "completions/zsh",
];
/// The manual pages, packed together: each behind a line with its name.
const MANUAL: &str = "man";
/// The most that deflate can do; it is done once.
const LEVEL: u8 = 10;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
        pack(file, &fs::read(file)?)?;
    }
    println!("cargo::rerun-if-changed={MANUAL}");
    pack(MANUAL, &manual()?)
}

fn pack(file: &str, content: &[u8]) -> io::Result<()> {
    let out = env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?;
    let name = Path::new(file).file_name().ok_or_else(|| io::Error::other("a file has a name"))?;
    fs::write(Path::new(&out).join(name), miniz_oxide::deflate::compress_to_vec(content, LEVEL))
}

fn manual() -> io::Result<Vec<u8>> {
    let mut pages = fs::read_dir(MANUAL)?.collect::<Result<Vec<_>, _>>()?;
    pages.sort_by_key(fs::DirEntry::file_name);
    let mut manual = Vec::new();
    for page in pages {
        // No line of roff begins like this.
        manual.extend_from_slice(format!("== {}\n", page.file_name().display()).as_bytes());
        manual.extend_from_slice(&fs::read(page.path())?);
    }
    Ok(manual)
}
