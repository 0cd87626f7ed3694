//! A disk of a few MiB: a tmpfs in a mount namespace of its own, so that it needs no rights outside and goes away with
//! the process that holds it (`mount_namespaces(7)`).

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

/// What is written at once; the second time in the least that the disk gives.
const BLOCKS: [usize; 2] = [64 << 10, 4 << 10];

/// The namespace and what holds it.
pub(super) struct Space {
    holder: Child,
    prefix: Vec<String>,
    /// The disk as it is seen from outside.
    path: PathBuf,
}

impl Space {
    /// A disk of so many MiB in place of `directory`, for programs that are started behind [`Space::prefix`].
    pub(super) fn of(directory: &Path, mib: u32) -> Self {
        // As root a mount namespace is enough, otherwise a user namespace makes one root in it.
        let ways: [(&[&str], &[&str]); 2] = [
            (&["--mount"], &["--mount"]),
            (&["--user", "--map-root-user", "--mount"], &["--user", "--preserve-credentials", "--mount"]),
        ];
        let size = format!("size={mib}m,mode=700");
        let held =
            ways.into_iter().find_map(|(unshare, enter)| Some((hold(unshare, directory, &size)?, enter)));
        let (holder, enter) = held.expect(
            "no tmpfs can be mounted here: this test needs CAP_SYS_ADMIN, or user namespaces \
             (sysctl user.max_user_namespaces, a container's seccomp profile)",
        );
        Self::held_by(holder, enter, directory)
    }

    /// A disk in place of `directory` that every user may look into, for this thread and what it starts from now on, which
    /// also sees the directory's old content no more. Only root can have it: a user namespace has no second user, and
    /// one cannot be entered by a thread.
    pub(super) fn around_this_thread(directory: &Path, mib: u32) -> Self {
        const NEEDS: &str =
            "this test needs root, or CAP_SYS_ADMIN and CAP_SYS_CHROOT, to put a database on a small disk";
        let holder = hold(&["--mount"], directory, &format!("size={mib}m,mode=755")).expect(NEEDS);
        let namespace = File::open(format!("/proc/{}/ns/mnt", holder.id())).unwrap();
        // A thread that shares its working directory with others cannot enter (setns(2)).
        unshare(CloneFlags::CLONE_FS).unwrap();
        setns(namespace, CloneFlags::CLONE_NEWNS).expect(NEEDS);
        Self::held_by(holder, &["--mount"], directory)
    }

    fn held_by(holder: Child, enter: &[&str], directory: &Path) -> Self {
        let id = holder.id().to_string();
        let words = ["nsenter", "--target", &id].into_iter().chain(enter.iter().copied()).chain(["--"]);
        let prefix = words.map(str::to_owned).collect();
        let inside = directory.strip_prefix("/").unwrap();
        let path = Path::new("/proc").join(&id).join("root").join(inside);
        Self { holder, prefix, path }
    }

    /// What programs must be started by to see the disk.
    pub(super) fn prefix(&self) -> &[String] {
        &self.prefix
    }

    /// Leaves not a byte.
    pub(super) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for block in BLOCKS {
            let zeros = vec![0; block];
            let error = loop {
                if let Err(error) = filler.write_all(&zeros) {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
        }
    }

    /// Gives back what [`Space::fill`] has taken.
    pub(super) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    /// Has the disk take writes (`rw`) or none (`ro`).
    pub(super) fn remount(&self, option: &str) {
        let mut command = Command::new(&self.prefix[0]);
        command.args(&self.prefix[1..]).args(["mount", "-o", &format!("remount,{option}")]);
        let directory = self.path.strip_prefix(format!("/proc/{}/root", self.holder.id())).unwrap();
        assert!(command.arg(Path::new("/").join(directory)).status().unwrap().success());
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Starts a process that has mounted the disk and waits; `None` where that is not allowed.
fn hold(unshare: &[&str], directory: &Path, options: &str) -> Option<Child> {
    let script = r#"mount -t tmpfs -o "$1" none "$0" && echo mounted && exec sleep infinity"#;
    let mut holder = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", script])
        .arg(directory)
        .arg(options)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut told).unwrap();
    if told == "mounted\n" {
        return Some(holder);
    }
    holder.wait().unwrap();
    None
}
