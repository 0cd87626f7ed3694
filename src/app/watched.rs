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

/// Files and directories that are watched.
#[derive(Debug)]
pub(super) struct Watched(Vec<Seen>);

/// What was seen at one path.
#[derive(Debug)]
struct Seen {
    path: PathBuf,
    /// What was found when it was last taken up.
    known: Vec<Stamp>,
    last: Vec<Stamp>,
}

impl Seen {
    /// What is there now is known.
    fn now(path: PathBuf) -> Self {
        let known = look(&path);
        Self { path, last: known.clone(), known }
    }
}

impl Watched {
    /// What `paths` hold now is known.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self(paths.into_iter().map(Seen::now).collect())
    }

    /// Watches `paths` too. Those that were not watched hold what is known from now on.
    pub(super) fn add(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            if !self.0.iter().any(|seen| seen.path == path) {
                self.0.push(Seen::now(path));
            }
        }
    }

    /// Watches those of `paths` too where there is something.
    pub(super) fn add_present(&mut self, mut paths: Vec<PathBuf>) {
        paths.retain(|path| path.exists());
        self.add(paths);
    }

    /// Watches none but `paths`.
    pub(super) fn keep(&mut self, paths: &[PathBuf]) {
        self.0.retain(|seen| paths.contains(&seen.path));
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
        let mut rests = true;
        for seen in &mut self.0 {
            let now = look(&seen.path);
            rests &= now == seen.last;
            seen.last = now;
        }
        let changed = rests && self.0.iter().any(|seen| seen.last != seen.known);
        if changed {
            self.0.iter_mut().for_each(|seen| seen.known.clone_from(&seen.last));
        }
        changed
    }
}

/// Of a file, or of a directory and what is in it.
fn look(path: &Path) -> Vec<Stamp> {
    let mut inside: Vec<_> = std::fs::read_dir(path).into_iter().flatten().flatten().collect();
    inside.sort_by_key(std::fs::DirEntry::path);
    std::iter::once(stamp(path)).chain(inside.iter().map(|entry| stamp(&entry.path()))).collect()
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
    fn others_are_watched_from_when_they_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let [old, new] = ["old", "new"].map(|name| directory.path().join(name));
        let mut watched = Watched::new(vec![old.clone()]);
        std::fs::write(&old, "a").unwrap();
        watched.add(vec![old.clone(), new.clone()]);
        let mut looks = || [watched.look_again(), watched.look_again(), watched.look_again()];
        assert_eq!(looks(), [false, true, false], "it was watched before it was named again");
        std::fs::write(&new, "b").unwrap();
        assert_eq!(looks(), [false, true, false]);
        watched.add_present(vec![new.clone(), directory.path().join("missing")]);
        assert_eq!(watched.0.len(), 2);
        watched.keep(&[new]);
        std::fs::write(&old, "ab").unwrap();
        assert!(!watched.look_again() && !watched.look_again());
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
