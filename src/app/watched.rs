//! Whether files have changed, by looking at them now and then. Knows nothing of what they hold.
//!
//! Looking costs some microseconds a second and sees every change, also where the kernel tells of none: on network file
//! systems, behind the symbolic links that Kubernetes swaps, and for single files that are mounted into a container.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::sleep;

/// How often the files are looked at. A change is taken up when two looks have found the same, so that nobody reads a
/// file that is being written: within 2 s of the last write.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What tells two versions of a file apart: device, inode, size and time of change in nanoseconds. `None` where there is
/// no file.
type Stamp = Option<(u64, u64, u64, i128)>;

/// Files and directories that are watched; of a directory also what is in it.
#[derive(Debug)]
pub(super) struct Watched {
    paths: Vec<PathBuf>,
    /// What was found when the files were last taken up.
    known: Vec<Stamp>,
    last: Vec<Stamp>,
}

impl Watched {
    /// What `paths` hold now is known.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        let known = look(&paths);
        Self { paths, last: known.clone(), known }
    }

    /// Whether these are watched, and no others.
    pub(super) fn are(&self, paths: &[PathBuf]) -> bool {
        self.paths == paths
    }

    /// Returns once something else than is known has come to rest; then that is known.
    pub(super) async fn change(&mut self) {
        loop {
            sleep(LOOK_EVERY).await;
            if self.look_again() {
                return;
            }
        }
    }

    fn look_again(&mut self) -> bool {
        let now = look(&self.paths);
        let rests = now == self.last;
        self.last = now;
        let changed = rests && self.last != self.known;
        if changed {
            self.known.clone_from(&self.last);
        }
        changed
    }
}

fn look(paths: &[PathBuf]) -> Vec<Stamp> {
    let mut stamps = Vec::new();
    for path in paths {
        stamps.push(stamp(path));
        let mut inside: Vec<_> = std::fs::read_dir(path).into_iter().flatten().flatten().collect();
        inside.sort_by_key(std::fs::DirEntry::path);
        stamps.extend(inside.iter().map(|entry| stamp(&entry.path())));
    }
    stamps
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    let changed_ns = i128::from(found.ctime()) * 1_000_000_000 + i128::from(found.ctime_nsec());
    Some((found.dev(), found.ino(), found.size(), changed_ns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_once_it_rests() {
        let directory = tempfile::tempdir().unwrap();
        let (file, keys) = (directory.path().join("settings.yaml"), directory.path().join("keys"));
        std::fs::create_dir(&keys).unwrap();
        let mut watched = Watched::new(vec![file.clone(), keys.clone()]);
        let mut looks = |change: &dyn Fn()| {
            change();
            [watched.look_again(), watched.look_again(), watched.look_again()]
        };
        assert_eq!(looks(&|| ()), [false; 3]);
        let once = [false, true, false];
        assert_eq!(looks(&|| std::fs::write(&file, "a").unwrap()), once, "made");
        assert_eq!(looks(&|| std::fs::write(&file, "ab").unwrap()), once, "written");
        let draft = directory.path().join("draft");
        std::fs::write(&draft, "cd").unwrap();
        assert_eq!(looks(&|| std::fs::rename(&draft, &file).unwrap()), once, "replaced");
        assert_eq!(looks(&|| std::fs::write(keys.join("1.key"), "x").unwrap()), once, "a key");
        assert_eq!(looks(&|| std::fs::remove_file(&file).unwrap()), once, "removed");
    }

    #[test]
    fn a_file_that_is_still_written_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings.yaml");
        let mut watched = Watched::new(vec![file.clone()]);
        for length in 1..5 {
            std::fs::write(&file, "x".repeat(length)).unwrap();
            assert!(!watched.look_again(), "{length}");
        }
        assert!(watched.look_again());
    }
}
