//! A server in a process and a data directory of its own, ended when it is dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Process;

/// The binary under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ringledger");

/// How long a server may take to listen. Far more than it needs, for machines that are busy building.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running server.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    data: TempDir,
    /// Log lines as they come; kept so that the pipe never fills.
    log: mpsc::Receiver<String>,
    /// Those until it listened.
    start_lines: Vec<String>,
    arguments: Vec<String>,
    settings: Vec<(String, String)>,
    /// What the program is started by, such as `nsenter`; nothing usually.
    prefix: Vec<String>,
}

/// The binary with nothing of the environment that could change its settings.
pub(crate) fn ledger_command(data: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().current_dir(data).arg("--data").arg(data);
    command
}

/// The binary with one or two sockets as its descriptors from 3. They come as standard input and output of a shell, which
/// moves them and becomes the binary, so that its process number is known in time.
pub(crate) fn activated_command(data: &Path, sockets: &[BorrowedFd<'_>]) -> Command {
    const SCRIPT: &str = r#"
        if [ "$SOCKETS" = 2 ]; then exec 4<&1; fi
        exec 3<&0 </dev/null >/dev/null
        export LISTEN_PID=$$ LISTEN_FDS="$SOCKETS"
        unset SOCKETS
        exec "$0" "$@""#;
    let inherit = |socket: &BorrowedFd<'_>| Stdio::from(socket.try_clone_to_owned().unwrap());
    let mut command = Command::new("/bin/sh");
    command.args(["-c", SCRIPT, PROGRAM, "--data"]).arg(data);
    command.env_clear().current_dir(data).env("SOCKETS", sockets.len().to_string());
    command.stdin(inherit(&sockets[0])).stdout(sockets.get(1).map_or_else(Stdio::null, inherit));
    command
}

/// The same, started by another program.
fn ledger_command_by(prefix: &[String], data: &Path) -> Command {
    let Some((first, rest)) = prefix.split_first() else { return ledger_command(data) };
    let mut command = Command::new(first);
    command.args(rest).arg(PROGRAM).env_clear().current_dir(data).arg("--data").arg(data);
    command
}

impl Server {
    /// A server with default settings on a fresh ledger.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// A server with further arguments of `serve` on a fresh ledger.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self::start_in(data, arguments)
    }

    /// The same with settings such as `("shutdown.drain_delay_ms", "500")`.
    pub(crate) fn start_set(arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self::start_set_in(data, arguments, settings)
    }

    /// A server on the ledger of an earlier one.
    pub(crate) fn start_in(data: TempDir, arguments: &[&str]) -> Self {
        Self::start_set_in(data, arguments, &[])
    }

    /// A server that `ulimit` was called for, with arguments such as `-n 64`.
    pub(crate) fn start_under(ulimit: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &format!(r#"ulimit {ulimit} && exec "$0" "$@""#), PROGRAM, "--data"]);
        command.arg(data.path()).env_clear().current_dir(data.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::start_by(command, data, arguments, settings)
    }

    /// A server that is passed one or two sockets, as a service manager would (`sd_listen_fds(3)`). They stay the
    /// caller's too.
    pub(crate) fn start_activated(
        data: TempDir,
        sockets: &[&dyn AsFd],
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let sockets: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
        Self::start_by(activated_command(data.path(), &sockets), data, arguments, settings)
    }

    /// Starts the server again, which has ended, on the same ledger and with these sockets.
    pub(crate) fn restart_activated(&mut self, sockets: &[&dyn AsFd]) {
        let arguments = std::mem::take(&mut self.arguments);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let settings = std::mem::take(&mut self.settings);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let data = std::mem::replace(&mut self.data, tempfile::tempdir().unwrap());
        *self = Self::start_activated(data, sockets, &arguments, &settings);
    }

    /// A server whose calls of the system (`calls`, as strace(1) takes them) are recorded in a file, with all bytes in
    /// hexadecimal and descriptors with their paths. On epoll, since what goes through a ring is no such call.
    pub(crate) fn start_traced(data: TempDir, calls: &str, record: &Path) -> Self {
        let mut command = Command::new("strace");
        // As a grandchild, so that signals go to the server and not to strace.
        command.args(["-D", "-f", "-q", "--seccomp-bpf", "-y", "-xx", "-s", "16777216", "-e"]);
        command
            .arg(format!("trace={calls}"))
            .arg("-o")
            .arg(record)
            .arg(PROGRAM)
            .arg("--data")
            .arg(data.path());
        command.env_clear().current_dir(data.path());
        Self::start_by(command, data, &["--io", "epoll"], &[])
    }

    /// A server that is started by another program, as are the commands on its ledger.
    pub(crate) fn start_behind(prefix: &[String], data: TempDir, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::start_by(ledger_command_by(prefix, data.path()), data, &[], settings);
        server.prefix = prefix.to_vec();
        server
    }

    /// The same with settings.
    pub(crate) fn start_set_in(data: TempDir, arguments: &[&str], settings: &[(&str, &str)]) -> Self {
        let mut command = ledger_command(data.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self::start_by(command, data, arguments, settings)
    }

    /// A server by a command that lacks only `serve` and what follows.
    pub(crate) fn start_by(
        mut command: Command,
        data: TempDir,
        arguments: &[&str],
        settings: &[(&str, &str)],
    ) -> Self {
        let mut child = command
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .envs(settings.iter().map(|(key, value)| (variable(key), value)))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                // The test may have gone; the pipe is drained all the same.
                let _ = lines.send(line);
            }
        });
        let (address, start_lines) = wait_for_address(&mut child, &log);
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let settings = settings.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        Self { child, address, data, log, start_lines, arguments, settings, prefix: Vec::new() }
    }

    /// Kills the process and starts it again on the same ledger; returns how long the start took.
    pub(crate) fn kill_and_restart(mut self) -> (Self, Duration) {
        self.kill();
        let begin = Instant::now();
        let arguments = std::mem::take(&mut self.arguments);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let settings = std::mem::take(&mut self.settings);
        let settings: Vec<_> = settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let data = std::mem::replace(&mut self.data, tempfile::tempdir().unwrap());
        let restarted = Self::start_set_in(data, &arguments, &settings);
        (restarted, begin.elapsed())
    }

    /// Ends the process at once, as a power cut of the process would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The data directory of a server that has ended.
    pub(crate) fn into_data(mut self) -> TempDir {
        self.take_data()
    }

    /// The same, when the server will be replaced by one on it.
    pub(crate) fn take_data(&mut self) -> TempDir {
        std::mem::replace(&mut self.data, tempfile::tempdir().unwrap())
    }

    /// Asks the process to end, without waiting.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Freezes the process.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen process go on.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    /// Asks the process to read its settings again.
    pub(crate) fn reload(&self) {
        self.signal("-HUP");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self, within: Duration) -> ExitStatus {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server did not end within {within:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Log lines written so far and not yet taken.
    pub(crate) fn log_lines(&self) -> Vec<String> {
        self.log.try_iter().collect()
    }

    /// Log lines until the end of a process that has ended, not yet taken.
    pub(crate) fn remaining_lines(&self) -> Vec<String> {
        self.log.iter().collect()
    }

    /// Log lines written until it listened; the last one says where.
    pub(crate) fn start_lines(&self) -> &[String] {
        &self.start_lines
    }

    /// Waits for a log line that contains `text`, and returns it. Lines before it are gone.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, text: &str, within: Duration) -> String {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.log.recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(_) => {}
                Err(error) => panic!("{text:?} was not logged within {within:?}: {error}"),
            }
        }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What the kernel tells of its process.
    pub(crate) fn process(&self) -> Process {
        Process::of(self.child.id())
    }

    /// Where it serves those who watch over it, of a server with `admin.listen`.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        let line = self.wait_for_line("admin listener on http://", START_TIMEOUT);
        address_behind("admin listener on http://", &line).unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The data directory.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// The program on the same ledger, with the server's settings.
    pub(crate) fn command(&self) -> Command {
        let mut command = ledger_command_by(&self.prefix, self.data());
        command.envs(self.settings.iter().map(|(key, value)| (variable(key), value)));
        command
    }

    /// A token of the built-in operator.
    pub(crate) fn operator_token(&self) -> String {
        let output = self.command().args(["token", "--operator"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Audits the ledger, which must hold every invariant and `past`, a head that it had; returns its head.
    pub(crate) fn verify(&self, past: Option<&str>) -> String {
        let mut command = self.command();
        command.arg("verify").args(past.iter().flat_map(|head| ["--expect", head]));
        let output = command.output().unwrap();
        assert!(output.status.success(), "verify with past head {past:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The environment variable of a setting.
pub(crate) fn variable(key: &str) -> String {
    format!("RINGLEDGER__{}", key.replace('.', "__").to_uppercase())
}

/// The address that a line tells behind these words.
fn address_behind(words: &str, line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once(words)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && !".:[]".contains(c));
    Some(rest[..end.unwrap_or(rest.len())].parse().unwrap())
}

/// The address that it tells, and the lines until then.
fn wait_for_address(child: &mut Child, log: &mpsc::Receiver<String>) -> (SocketAddr, Vec<String>) {
    let deadline = Instant::now() + START_TIMEOUT;
    let mut seen = Vec::new();
    loop {
        match log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                let address = address_behind("listening on http://", &line);
                seen.push(line);
                if let Some(address) = address {
                    return (address, seen);
                }
            }
            Err(error) => {
                panic!("the server did not listen: {error}; status {:?}, log {seen:#?}", child.try_wait())
            }
        }
    }
}
