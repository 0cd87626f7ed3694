//! The directory of a cluster, and the guard that empties it: what must be gone when the tests are, however they end.
//!
//! The guard is a shell that waits for the end of its standard input, whose other end nobody but this process holds.
//! So one way leads out for a value that is dropped, a panic, a `static`, which Rust never drops, and a process that is
//! killed. A parent-death signal (prctl(2)) would not do: it comes with the end of the thread that has forked, and tests
//! run in threads; it wakes no stopped process; and it removes no file.

use std::fs::Permissions;
use std::fs::set_permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Error;
use crate::account::Account;

/// First asks the processes to end at once, which also frees their shared memory, then kills them. A server that was
/// killed has left a file with the id of its shared memory.
const GUARD: &str = r#"
trap '' HUP INT QUIT TERM
cat >/dev/null
inside() {
    for process in /proc/[0-9]*; do
        if [ "$process/cwd" -ef "$1" ] || [ "$process/cwd" -ef "$1/data" ]; then
            echo "${process#/proc/}"
        fi
    done
}
kill -QUIT $(inside "$1")
kill -CONT $(inside "$1")
looks=0
while [ -n "$(inside "$1")" ]; do
    looks=$((looks + 1))
    [ $looks -lt 100 ] || kill -KILL $(inside "$1")
    sleep 0.02
done
if [ -f "$1/data/postmaster.pid" ]; then
    ipcrm -m "$(sed -n '7s/.* //p' "$1/data/postmaster.pid")"
fi
rm -rf -- "$1"
"#;

/// A directory of the server's user that is removed when this value goes, after the processes that work in it or in
/// its `data` were ended.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    guard: Child,
}

impl Scratch {
    pub(crate) fn new(parent: &Path, account: Account) -> Result<Self, Error> {
        let what = || format!("making a directory in {}", parent.display());
        let made =
            tempfile::Builder::new().prefix("pg-").tempdir_in(parent).map_err(Error::system(what()))?;
        // As /proc shows it.
        let path = made.path().canonicalize().map_err(Error::system(what()))?;
        let guard = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard"])
            .arg(&path)
            .current_dir("/")
            // A Ctrl-C is for the tests. The guard has its turn after them.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(Error::system("starting /bin/sh"))?;
        let _guarded = made.keep();
        let scratch = Self { path, guard };
        set_permissions(&scratch.path, Permissions::from_mode(0o700)).map_err(Error::system(what()))?;
        account.own(&scratch.path)?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
