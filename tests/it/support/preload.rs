//! A library of ours under a program's own (`LD_PRELOAD`, ld.so(8)), which shares a file with the test, so that a running
//! server can be told that something of the system has changed.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::new_data;

/// A library and the file that it maps into the memory of its programs.
pub(crate) struct Preload {
    directory: TempDir,
}

impl Preload {
    /// Compiles the source, a path in `tests/it`. The file begins with `content`, which says how long it is.
    pub(crate) fn new(source: &str, content: &[u8]) -> Self {
        let directory = new_data();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(source);
        let preload = Self { directory };
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(preload.library())
            .arg(source)
            .status();
        assert!(compiled.unwrap().success());
        fs::write(preload.shared(), content).unwrap();
        preload
    }

    /// What the environment of a program must have.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        vec![("LD_PRELOAD".into(), path(self.library())), ("PRELOAD_SHARED".into(), path(self.shared()))]
    }

    /// Writes to the file from its beginning, which all its programs see at once.
    pub(crate) fn tell(&self, content: &[u8]) {
        // In place: the programs have it in their memory.
        let file = OpenOptions::new().write(true).open(self.shared()).unwrap();
        file.write_all_at(content, 0).unwrap();
    }

    /// What the file holds now.
    pub(crate) fn content(&self) -> Vec<u8> {
        fs::read(self.shared()).unwrap()
    }

    fn library(&self) -> PathBuf {
        self.directory.path().join("preload.so")
    }

    fn shared(&self) -> PathBuf {
        self.directory.path().join("shared")
    }
}
