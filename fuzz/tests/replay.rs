//! Every kept input through its target, without a fuzzer: the corpus, and what once broke something.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{TARGETS, load_whole};

/// The files of a directory, which need not be there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("a directory that can be read").path()).collect();
    files.sort();
    files
}

#[test]
fn every_kept_input_passes_its_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in &TARGETS {
        let corpus = files(&root.join("corpus").join(target.name));
        assert!(!corpus.is_empty(), "{} has no corpus", target.name);
        for file in corpus.into_iter().chain(files(&root.join("regressions").join(target.name))) {
            let input = fs::read(&file).expect("a file that can be read");
            let outcome = std::panic::catch_unwind(|| (target.run)(&input));
            assert!(outcome.is_ok(), "{} on {}", target.name, file.display());
        }
    }
}

#[test]
fn every_directory_belongs_to_a_target() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for directory in ["corpus", "regressions"] {
        for path in files(&root.join(directory)).iter().filter(|path| path.is_dir()) {
            let known = TARGETS.iter().any(|target| path.ends_with(target.name));
            assert!(known, "{} belongs to no target", path.display());
        }
    }
}

/// Each layer is there as something that is accepted, and as something that is not.
#[test]
fn kept_settings_are_loaded_as_at_a_start() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directories = ["corpus/config", "regressions/config"].map(|directory| root.join(directory));
    let (mut accepted, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for file in directories.iter().flat_map(|directory| files(directory)) {
        let input = fs::read(&file).expect("a file that can be read");
        let outcome = std::panic::catch_unwind(|| load_whole(&input));
        let outcome = outcome.unwrap_or_else(|_| panic!("broken by {}", file.display()));
        match outcome {
            Some(true) => drop(accepted.insert(input[0] % 4)),
            Some(false) => drop(refused.insert(input[0] % 4)),
            None => {}
        }
    }
    assert_eq!((accepted.len(), refused.len()), (3, 3));
}
