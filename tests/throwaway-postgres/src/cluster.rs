//! A cluster's life: started, asked, stopped, frozen, killed, started again.

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use postgres::{Client, Config, NoTls, SimpleQueryMessage, SimpleQueryRow};

use crate::error::Error;
use crate::processes;
use crate::site::{Site, USER};

/// The database that every cluster has.
const MAINTENANCE: &str = "postgres";

/// Bounds the wait for anything a server does: recovery on a slow disk takes seconds.
const PATIENCE: Duration = Duration::from_mins(1);

/// Bounds a connection attempt, so that a frozen server is an error.
const CONNECT_BOUND: Duration = Duration::from_secs(10);

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How often another port is tried when somebody was faster to take one.
const PORT_TRIES: usize = 5;

/// What a statement finds, as text; NULL is empty, as `psql` shows it.
pub type Rows = Vec<Vec<String>>;

/// How a cluster is to be.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    parent: Option<PathBuf>,
    password: Option<String>,
    settings: Vec<(String, String)>,
    files: Vec<(String, Vec<u8>)>,
}

/// How a server is told to end (`pg_ctl stop --mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// When all clients have gone.
    Smart,
    /// Clients are disconnected, transactions rolled back, a checkpoint is written.
    Fast,
    /// At once, and the next start recovers.
    Immediate,
}

/// A Postgres server of its own, gone with this value.
///
/// It listens on a port of 127.0.0.1 and on a unix socket, has UTF-8 databases of locale C, the superuser `postgres`
/// and the defaults of Postgres otherwise, so commits wait for the disk.
#[derive(Debug)]
pub struct Cluster {
    /// Before `site`, whose guard would else wait for a process that nobody has waited for.
    server: Option<Child>,
    site: Site,
    databases: AtomicU32,
}

impl ClusterOptions {
    /// The defaults: no password, a directory of the system's for temporary files.
    pub fn new() -> Self {
        Self::default()
    }

    /// A setting of `postgresql.conf`. A later one wins.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file in the data directory, such as `pg_hba.conf` or a key, that the server alone may read.
    #[must_use]
    pub fn file(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((name.to_owned(), content.into()));
        self
    }

    /// Has everybody authenticate by SCRAM. Letters and digits only.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Where its directory is made, instead of the system's directory for temporary files (`TMPDIR`): where a commit
    /// should cost what it costs, this is no memory. The user `postgres` must reach it, and the path of a socket is at
    /// most 107 bytes.
    #[must_use]
    pub fn parent(mut self, directory: impl Into<PathBuf>) -> Self {
        self.parent = Some(directory.into());
        self
    }
}

impl Cluster {
    /// A new cluster that accepts connections.
    pub fn start(options: &ClusterOptions) -> Result<Self, Error> {
        let site = Site::new(options.parent.clone(), options.password.clone())?;
        site.fill()?;
        for (name, content) in &options.files {
            site.write(&site.data().join(name), content)?;
        }
        site.configure(&options.settings)?;
        Self::launch(site)
    }

    /// The server of a filled site.
    pub(crate) fn launch(site: Site) -> Result<Self, Error> {
        let mut cluster = Self { server: None, site, databases: AtomicU32::new(0) };
        for _ in 1..PORT_TRIES {
            match cluster.first_start() {
                Err(Error::Ended { log }) if log.contains("Address already in use") => {
                    cluster.site.move_port();
                }
                started => return started.map(|()| cluster),
            }
        }
        cluster.first_start().map(|()| cluster)
    }

    fn first_start(&mut self) -> Result<(), Error> {
        self.site.configure(&self.site.own_settings())?;
        self.start_again()
    }

    /// A URL over TCP.
    pub fn url(&self, database: &str) -> String {
        self.url_by(self.site.port, database)
    }

    /// The same by another port of 127.0.0.1, such as a proxy's.
    pub fn url_by(&self, port: u16, database: &str) -> String {
        format!("postgres://{}@127.0.0.1:{port}/{database}", self.userinfo())
    }

    /// A URL over the unix socket.
    pub fn unix_url(&self, database: &str) -> String {
        let directory = self.site.directory().to_string_lossy();
        let host = utf8_percent_encode(&directory, NON_ALPHANUMERIC);
        format!("postgres://{}@{host}:{}/{database}", self.userinfo(), self.site.port)
    }

    fn userinfo(&self) -> String {
        let password = self.site.password.as_ref().map(|password| format!(":{password}"));
        format!("{USER}{}", password.unwrap_or_default())
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.site.port
    }

    /// Ids of the server's processes at this moment.
    pub fn processes(&self) -> Vec<u32> {
        processes::inside(&self.site.data()).into_iter().map(|id| id.as_raw().unsigned_abs()).collect()
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        self.site.log()
    }

    pub(crate) fn site(&self) -> &Site {
        &self.site
    }

    /// Makes an empty database; returns its name, which no other of this cluster has.
    pub fn database(&self) -> Result<String, Error> {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.query(MAINTENANCE, &format!("create database {name}"))?;
        Ok(name)
    }

    /// A connection to hold. Like all of this client's, it is not for async code.
    pub fn connect(&self, database: &str) -> Result<Client, Error> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.site.port).user(USER).dbname(database);
        config.connect_timeout(CONNECT_BOUND);
        if let Some(password) = &self.site.password {
            config.password(password);
        }
        Ok(config.connect(NoTls)?)
    }

    /// Runs statements on a connection of their own, from async code as well; returns the rows of them all.
    pub fn query(&self, database: &str, sql: &str) -> Result<Rows, Error> {
        aside(|| {
            let messages = self.connect(database)?.simple_query(sql)?;
            Ok(messages.iter().filter_map(row).collect())
        })
    }

    /// Changes a setting of the running server that needs no restart.
    pub fn set(&self, name: &str, value: &str) -> Result<(), Error> {
        let value = value.replace('\'', "''");
        self.query(MAINTENANCE, &format!("alter system set {name} = '{value}'"))?;
        self.query(MAINTENANCE, "select pg_reload_conf()").map(drop)
    }

    /// Waits until a statement of one value says `t`.
    pub(crate) fn wait_for_sql(&self, what: &'static str, sql: &str) -> Result<(), Error> {
        let mut look = || Ok(self.query(MAINTENANCE, sql)? == [["t"]]);
        self.wait_until(what, &mut look)
    }

    fn wait_until(
        &self,
        what: &'static str,
        look: &mut dyn FnMut() -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !look()? {
            if Instant::now() > deadline {
                return Err(Error::Late { what, within: PATIENCE, log: self.site.log_tail() });
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    // Its life.

    /// Starts the server that was stopped or killed, on the same port, and waits until it accepts.
    pub fn start_again(&mut self) -> Result<(), Error> {
        let mut server = self.site.serve()?;
        let accepts = self.wait_until("the start", &mut || {
            if server.try_wait().map_err(Error::system("looking at the server"))?.is_some() {
                return Err(Error::Ended { log: self.site.log_tail() });
            }
            Ok(self.query(MAINTENANCE, "select 1").is_ok())
        });
        self.server = Some(server);
        accepts
    }

    /// Stops the server and waits for its end.
    pub fn stop(&mut self, mode: StopMode) -> Result<(), Error> {
        let Some(server) = &mut self.server else { return Ok(()) };
        let signal = match mode {
            StopMode::Smart => Signal::SIGTERM,
            StopMode::Fast => Signal::SIGINT,
            StopMode::Immediate => Signal::SIGQUIT,
        };
        kill(pid(server), signal).map_err(|errno| Error::system("stopping the server")(errno.into()))?;
        server.wait().map_err(Error::system("waiting for the server"))?;
        self.server = None;
        Ok(())
    }

    /// Stops the server fast and starts it again.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop(StopMode::Fast)?;
        self.start_again()
    }

    /// Kills all processes of the server at once, as a power cut would but for the disk.
    pub fn kill9(&mut self) -> Result<(), Error> {
        let Some(mut server) = self.server.take() else { return Ok(()) };
        server.kill().and_then(|()| server.wait()).map_err(Error::system("killing the server"))?;
        if processes::kill_all(&self.site.data()) {
            return Ok(());
        }
        let source = std::io::Error::from(std::io::ErrorKind::TimedOut);
        Err(Error::system("waiting for the end of killed processes")(source))
    }

    /// Freezes all processes of the server (SIGSTOP): connections stay, and nothing answers.
    pub fn pause(&self) {
        // First the one that would fork new ones.
        if let Some(server) = &self.server {
            let _ = kill(pid(server), Signal::SIGSTOP);
        }
        processes::signal(&self.site.data(), Signal::SIGSTOP);
    }

    /// Lets a frozen server go on.
    pub fn resume(&self) {
        processes::signal(&self.site.data(), Signal::SIGCONT);
    }
}

impl Drop for Cluster {
    /// Ends the server at once; the guard of the directory does the rest.
    fn drop(&mut self) {
        self.resume();
        let _ = self.stop(StopMode::Immediate);
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn row(message: &SimpleQueryMessage) -> Option<Vec<String>> {
    let SimpleQueryMessage::Row(row) = message else { return None };
    Some(values(row))
}

fn values(row: &SimpleQueryRow) -> Vec<String> {
    (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned()).collect()
}

/// Runs the blocking client where no async runtime is under way, in which it would panic.
fn aside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|panic| resume_unwind(panic)))
}
