//! Where a cluster lives: directory, port, user, and the programs that are run there.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::account::Account;
use crate::scratch::Scratch;
use crate::{Binaries, Error};

/// The superuser.
pub(crate) const USER: &str = "postgres";

/// Ports below those that the kernel gives to clients (`ip_local_port_range`, ip(7)), one of which could else take
/// the port of a server that is down for a moment.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// How much of a log goes into an error.
const LOG_TAIL_BYTES: usize = 4 * 1024;

/// Data directories as `initdb` makes them, for this process, by their parent. Making one takes most of a second,
/// copying one 60 ms.
static TEMPLATES: Mutex<Vec<Site>> = Mutex::new(Vec::new());

/// A place for one cluster.
#[derive(Debug)]
pub(crate) struct Site {
    binaries: Binaries,
    account: Account,
    scratch: Scratch,
    pub(crate) parent: Option<PathBuf>,
    pub(crate) port: u16,
    pub(crate) password: Option<String>,
}

impl Site {
    /// An empty one in `parent`, by default the system's directory for temporary files.
    pub(crate) fn new(parent: Option<PathBuf>, password: Option<String>) -> Result<Self, Error> {
        let account = Account::find()?;
        let binaries = Binaries::find()?;
        let scratch = Scratch::new(&parent.clone().unwrap_or_else(env::temp_dir), account)?;
        Ok(Self { binaries, account, scratch, parent, port: free_port(), password })
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// The directory of the unix socket.
    pub(crate) fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// How a program of the same user reaches the server, in libpq's words.
    pub(crate) fn conninfo(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(" password='{password}'"));
        let directory = self.directory().display();
        format!("host='{directory}' port={} user={USER}{}", self.port, password.unwrap_or_default())
    }

    /// Makes the data directory.
    pub(crate) fn fill(&self) -> Result<(), Error> {
        if self.password.is_some() {
            return self.initdb();
        }
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        if !templates.iter().any(|template| template.parent == self.parent) {
            let template = Self::new(self.parent.clone(), None)?;
            template.initdb()?;
            templates.push(template);
        }
        let template = templates.iter().find(|template| template.parent == self.parent);
        let data = template.expect("pushed above").data();
        let mut copy = Command::new("cp");
        copy.arg("--archive").arg(data).arg(self.data());
        self.finish("cp", copy)
    }

    fn initdb(&self) -> Result<(), Error> {
        let secret = self.directory().join("password");
        if let Some(password) = &self.password {
            self.write(&secret, password)?;
        }
        self.run("initdb", |command| {
            command.args(["--encoding=UTF8", "--locale=C", "--no-sync", "--username", USER]);
            command.arg("--pgdata").arg(self.data());
            match self.password {
                Some(_) => command.arg("--auth=scram-sha-256").arg("--pwfile").arg(&secret),
                None => command.arg("--auth=trust"),
            };
        })
    }

    /// Adds settings, which win over earlier ones.
    pub(crate) fn configure(&self, settings: &[(String, String)]) -> Result<(), Error> {
        let line = |(name, value): &(String, String)| format!("{name} = '{}'\n", value.replace('\'', "''"));
        let lines: String = settings.iter().map(line).collect();
        let path = self.data().join("postgresql.conf");
        let file = OpenOptions::new().append(true).open(&path);
        file.and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(Error::system(format!("writing {}", path.display())))
    }

    /// Writes a file that the server alone may read.
    pub(crate) fn write(&self, path: &Path, content: impl AsRef<[u8]>) -> Result<(), Error> {
        let what = || format!("writing {}", path.display());
        fs::write(path, content).map_err(Error::system(what()))?;
        let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(path, owner_only).map_err(Error::system(what()))?;
        self.account.own(path)
    }

    /// What makes a server this site's, whatever its data directory was copied from.
    pub(crate) fn own_settings(&self) -> Vec<(String, String)> {
        let directory = self.directory().to_string_lossy().into_owned();
        let settings = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", directory),
            // In the data directory, so that a server that is killed leaves nothing in /dev/shm.
            ("dynamic_shared_memory_type", "mmap".to_owned()),
        ];
        settings.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }

    /// Takes another port.
    pub(crate) fn move_port(&mut self) {
        self.port = free_port();
    }

    /// Starts the server, without waiting until it accepts.
    pub(crate) fn serve(&self) -> Result<Child, Error> {
        let path = self.log_path();
        let log = OpenOptions::new().create(true).append(true).open(&path);
        let log = log.map_err(Error::system(format!("opening {}", path.display())))?;
        let again = |log: &File| log.try_clone().map_err(Error::system("duplicating a descriptor"));
        let mut command = self.binaries.command("postgres");
        self.account
            .run(&mut command)
            .arg("-D")
            .arg(self.data())
            .current_dir(self.directory())
            .stdin(Stdio::null())
            .stdout(again(&log)?)
            .stderr(log);
        // A Ctrl-C is for the tests.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().map_err(Error::system("starting postgres"))
    }

    /// Runs a program of Postgres to its end.
    pub(crate) fn run(&self, program: &str, arguments: impl FnOnce(&mut Command)) -> Result<(), Error> {
        let mut command = self.binaries.command(program);
        arguments(&mut command);
        self.finish(program, command)
    }

    fn finish(&self, program: &str, mut command: Command) -> Result<(), Error> {
        let command = self.account.run(&mut command).current_dir(self.directory()).stdin(Stdio::null());
        let output = command.output().map_err(Error::system(format!("starting {program}")))?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stdout, output.stderr].concat();
        let output = String::from_utf8_lossy(&text).into_owned();
        Err(Error::Program { program: program.to_owned(), output })
    }

    /// What the server has logged.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The end of [`Self::log`].
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let start = log.ceil_char_boundary(log.len().saturating_sub(LOG_TAIL_BYTES));
        log[start..].to_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.directory().join("log")
    }
}

/// One that nobody listens on at this moment.
fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(PORTS);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
