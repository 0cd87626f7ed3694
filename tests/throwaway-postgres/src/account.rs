//! Who runs the programs of Postgres, which refuse to run as root.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{User, geteuid};

use crate::Error;

/// The user that stands in for root.
const USER: &str = "postgres";

/// The user `postgres` when this process is root's, else who runs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// User and group to change to.
    other: Option<(u32, u32)>,
}

impl Account {
    pub(crate) fn find() -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self { other: None });
        }
        match User::from_name(USER) {
            Ok(Some(user)) => Ok(Self { other: Some((user.uid.as_raw(), user.gid.as_raw())) }),
            Ok(None) => Err(Error::NoUser),
            Err(errno) => Err(Error::system(format!("looking for the user {USER}"))(errno.into())),
        }
    }

    /// Has the command run by this user, without further groups.
    pub(crate) fn run(self, command: &mut Command) -> &mut Command {
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives a file or a directory to this user.
    pub(crate) fn own(self, path: &Path) -> Result<(), Error> {
        let Some((uid, gid)) = self.other else { return Ok(()) };
        chown(path, Some(uid), Some(gid)).map_err(Error::system(format!("giving {} away", path.display())))
    }
}
