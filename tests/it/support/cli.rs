//! Runs the program's commands to their end. Knows nothing of HTTP.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::ledger_command;

/// How long a command may take before it counts as stuck: far more than any needs, for busy machines. It
/// keeps a `serve` that should have been refused from hanging the suite.
const RUN_TIMEOUT: Duration = Duration::from_mins(1);

/// Exit code of bad configuration (`EX_CONFIG` of sysexits.h).
pub(crate) const BAD_CONFIGURATION: i32 = 78;
/// The password of every user that tests make.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    /// What it printed as its result.
    pub(crate) stdout: String,
    /// What it told people.
    pub(crate) stderr: String,
}

impl Ran {
    /// The result, of a command that must succeed.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }

    /// Whether it ended with `code`, said why on stderr and printed no result.
    #[track_caller]
    pub(crate) fn fails(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!self.stderr.trim().is_empty(), "no reason on stderr: {self:?}");
        assert!(!self.stderr.contains("panicked"), "{self:?}");
        self
    }
}

/// Runs the program with `arguments` on the ledger in `data`.
pub(crate) fn run(data: &Path, arguments: &[&str]) -> Ran {
    let mut command = ledger_command(data);
    command.args(arguments);
    run_command(command, "")
}

/// Runs a prepared command with `stdin` as its standard input.
pub(crate) fn run_command(mut command: Command, stdin: &str) -> Ran {
    let streams = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = streams.spawn().unwrap();
    let pid = child.id().to_string();
    // A command that takes no input may have closed it already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(RUN_TIMEOUT) else {
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        panic!("{command:?} did not end within {RUN_TIMEOUT:?}");
    };
    let output = output.unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Creates the user `name` with [`PASSWORD`]; `flags` are further arguments.
pub(crate) fn add_user(data: &Path, name: &str, flags: &[&str]) -> Ran {
    let mut command = ledger_command(data);
    command.args(["user", "add", name, "--password-stdin"]).args(flags);
    run_command(command, &format!("{PASSWORD}\n"))
}
