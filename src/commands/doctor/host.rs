//! The host as its files tell it: `/proc` and `/sys` below a root, so that a test can make one up. Only reads; knows
//! nothing of what is wanted.

use std::fs;
use std::path::{Path, PathBuf};

/// A view of `/proc`, `/sys` and the marks that container engines leave. What cannot be read is not there.
#[derive(Debug)]
pub(super) struct Host {
    root: PathBuf,
}

impl Host {
    /// The host whose root directory this is.
    pub(super) fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn place(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// A file without white space around its content.
    pub(super) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.place(path)).ok().map(|content| content.trim().to_owned())
    }

    /// A kernel setting by its dotted name (`sysctl(8)`).
    pub(super) fn sysctl(&self, name: &str) -> Option<String> {
        self.read(&format!("proc/sys/{}", name.replace('.', "/")))
    }

    /// Whether there is such a file or directory.
    pub(super) fn has(&self, path: &str) -> bool {
        self.place(path).exists()
    }

    /// The names in a directory, sorted; none where there is no such directory.
    pub(super) fn names(&self, directory: &str) -> Vec<String> {
        let entries = fs::read_dir(self.place(directory)).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// The last name of what a symbolic link points at.
    pub(super) fn link_name(&self, path: &str) -> Option<String> {
        let target = fs::read_link(self.place(path)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// A line `NAME: VALUE` of `/proc/self/status` (`proc_pid_status(5)`), without the name.
    pub(super) fn status(&self, name: &str) -> Option<String> {
        let status = self.read("proc/self/status")?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|value| value.trim().to_owned())
    }

    /// The number of each core that is in use.
    pub(super) fn online_cores(&self) -> Vec<usize> {
        core_list(&self.read("sys/devices/system/cpu/online").unwrap_or_default())
    }

    /// The cores that this process may use.
    pub(super) fn allowed_cores(&self) -> Vec<usize> {
        core_list(&self.status("Cpus_allowed_list").unwrap_or_default())
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::at(Path::new("/"))
    }
}

/// The cores of a list such as `0-3,8` (`cpuset(7)`, "List format"); what is no number is passed over.
pub(super) fn core_list(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let bounds = first.trim().parse::<usize>().ok().zip(last.trim().parse::<usize>().ok());
        bounds.map(|(first, last)| first..=last)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// The cores of a mask such as `00000000,0000000f` (`cpuset(7)`, "Mask format").
pub(super) fn core_mask(text: &str) -> Vec<usize> {
    let digits = text.chars().rev().filter_map(|digit| digit.to_digit(16));
    digits
        .enumerate()
        .flat_map(|(place, digit)| {
            (0..4).filter(move |bit| digit & 1 << bit != 0).map(move |bit| place * 4 + bit)
        })
        .collect()
}

#[cfg(test)]
pub(super) mod fixture {
    //! Hosts out of a few files.

    use tempfile::TempDir;

    use super::Host;

    /// A host with these files, which are gone when the directory is dropped.
    pub(in super::super) fn host(files: &[(&str, &str)]) -> (TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let place = root.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, content).unwrap();
        }
        let host = Host::at(root.path());
        (root, host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_masks_name_cores() {
        assert_eq!(core_list("0-3,8"), [0, 1, 2, 3, 8]);
        assert_eq!(core_list("5"), [5]);
        assert!(core_list("").is_empty());
        assert_eq!(core_mask("3"), [0, 1]);
        assert_eq!(core_mask("00000001,00000010"), [4, 32]);
        assert!(core_mask("00").is_empty());
    }

    #[test]
    fn files_are_read_below_the_root() {
        let (_root, host) = fixture::host(&[
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/self/status", "Name:\tx\nSeccomp:\t2\nCpus_allowed_list:\t0-1\n"),
        ]);
        assert_eq!(host.sysctl("net.core.somaxconn").as_deref(), Some("4096"));
        assert_eq!(host.status("Seccomp").as_deref(), Some("2"));
        assert_eq!(host.allowed_cores(), [0, 1]);
        assert_eq!(host.read("proc/nothing"), None);
        assert!(host.names("sys").is_empty());
    }
}
