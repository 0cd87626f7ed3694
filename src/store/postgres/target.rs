//! Which Postgres server is meant and how it wants to be reached: a `postgres://` URL as libpq reads it, checked
//! once. Opens no connection.
//!
//! Deviations from libpq, each on purpose: no environment variables, service or password files, and no files
//! of a home directory are read; the default host is `localhost`; names that it knows and this does not are
//! refused, not ignored.

mod hosts;
mod url;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use socket2::TcpKeepalive;
use tokio_postgres::Config;

pub(super) use self::hosts::{Host, Place};
use self::url::Parameters;
use super::tls::{BadTls, MODES, Tls, Wanted};

/// What the server calls us if the URL does not say.
const APPLICATION_NAME: &str = "ringledger";

/// Why a text does not say how to reach a server. Never quotes a value: it may be a password.
#[derive(Debug, thiserror::Error)]
pub enum BadTarget {
    /// Another scheme, or none.
    #[error("does not begin with postgres:// or postgresql://")]
    Scheme,
    /// An `@` that does not end the user and password.
    #[error(
        "holds an unescaped character: within user, password and parameters write @ as %40, / as %2F, ? as %3F"
    )]
    Unescaped,
    /// A host with brackets that are not `[ADDRESS]` or `[ADDRESS]:PORT`.
    #[error("an IPv6 address stands in brackets, followed by nothing or by `:` and a port")]
    Brackets,
    /// A parameter without or with more than one `=`.
    #[error("a parameter is a name, one `=` and a value; within a value write = as %3D")]
    Separator,
    /// A `%` that begins no escape, or an escape of NUL or of what is no UTF-8.
    #[error("`%` must be followed by two hexadecimal digits of UTF-8 text; write % itself as %25")]
    Escape,
    /// A parameter with a value that it does not take.
    #[error("`{name}` must be {wanted}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What it takes.
        wanted: String,
    },
    /// A parameter that nobody knows here.
    #[error("unknown or unsupported parameter `{0}`")]
    Unknown(String),
    /// As many of one kind as of another are needed.
    #[error("{hosts} hosts, but {count} values in `{name}`")]
    Count {
        /// The parameter.
        name: &'static str,
        /// How many values it has.
        count: usize,
        /// How many hosts there are.
        hosts: usize,
    },
    /// `channel_binding=require`.
    #[error("channel_binding=require is not supported; sslmode=verify-full protects the password as well")]
    ChannelBinding,
    /// `hostaddr` without `host`, so that there is no name to verify.
    #[error("sslmode=verify-full needs a host name beside `hostaddr`")]
    NoNameToVerify,
    /// What cannot be used for TLS.
    #[error(transparent)]
    Tls(#[from] BadTls),
}

/// What a session must be (`target_session_attrs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SessionAttrs {
    Any,
    ReadWrite,
    ReadOnly,
    Primary,
    Standby,
    PreferStandby,
}

/// Options of a TCP socket (`tcp(7)`); `None` is the system's default.
#[derive(Debug, Clone)]
pub(super) struct SocketOptions {
    /// Probes of an idle connection; `None` is none at all.
    pub(super) keepalive: Option<TcpKeepalive>,
    /// How long sent data may stay unacknowledged.
    pub(super) user_timeout: Option<Duration>,
}

/// A Postgres server, or several that hold the same database, and how to reach them. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    config: Config,
    session: SessionAttrs,
    shared: Arc<Shared>,
}

struct Shared {
    hosts: Vec<Host>,
    tls: Tls,
    load_balance: bool,
    connect_timeout: Option<Duration>,
    socket: SocketOptions,
}

impl Target {
    /// Reads a `postgres://` URL, and the certificates that it names. System certificates are loaded only if they
    /// are to be verified against. Certificates that change later need a restart.
    pub fn parse(url: &str) -> Result<Self, BadTarget> {
        let mut parameters = Parameters::of(url)?;
        let hosts = hosts::take(&mut parameters)?;
        let config = take_config(&mut parameters)?;
        let wanted = take_tls(&mut parameters)?;
        let session = take_session(&mut parameters)?;
        let load_balance = take_load_balance(&mut parameters)?;
        let connect_timeout = parameters.take_positive("connect_timeout")?.map(seconds);
        let socket = take_socket_options(&mut parameters)?;
        parameters.finish()?;
        let nameless = |host: &Host| matches!(host.place, Place::Address(_, None));
        if wanted.verifies_name() && hosts.iter().any(nameless) {
            return Err(BadTarget::NoNameToVerify);
        }
        let tls = Tls::load(&wanted)?;
        let shared = Shared { hosts, tls, load_balance, connect_timeout, socket };
        Ok(Self { config, session, shared: Arc::new(shared) })
    }

    /// The same servers for who must write: one that takes writes is sought, unless the URL says what is. A list of
    /// hosts, or of the addresses of one name, that begins with a standby would else never lead to the primary.
    #[must_use]
    pub fn for_writing(mut self) -> Self {
        if self.session == SessionAttrs::Any {
            self.session = SessionAttrs::ReadWrite;
        }
        self
    }

    /// What a session is opened with: user, password, database, options and name of the application. Says nothing
    /// of hosts, sockets and TLS.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// For people: which server and database, without secrets.
    pub fn describe(&self) -> String {
        let hosts: Vec<_> = self.shared.hosts.iter().map(Host::to_string).collect();
        let database = self.config.get_dbname().or(self.config.get_user());
        let database = database.map(|name| format!("/{name}")).unwrap_or_default();
        format!("Postgres at {}{database}", hosts.join(","))
    }

    /// The hosts in the order of the URL.
    pub(super) fn hosts(&self) -> &[Host] {
        &self.shared.hosts
    }

    pub(super) fn tls(&self) -> &Tls {
        &self.shared.tls
    }

    pub(super) fn session(&self) -> SessionAttrs {
        self.session
    }

    /// Whether there is more than one host.
    pub fn has_several_hosts(&self) -> bool {
        self.shared.hosts.len() > 1
    }

    /// What each host gets of a time in which the last one, too, must have been asked: the first may be silent.
    pub(super) fn share_of(&self, limit: Duration) -> Duration {
        let passes = self.session.passes().len();
        limit / u32::try_from(self.shared.hosts.len() * passes).unwrap_or(u32::MAX)
    }

    /// Whether hosts and addresses are tried in random order.
    pub(super) fn load_balance(&self) -> bool {
        self.shared.load_balance
    }

    /// What the URL says about the time for one address.
    pub(super) fn connect_timeout(&self) -> Option<Duration> {
        self.shared.connect_timeout
    }

    pub(super) fn socket(&self) -> &SocketOptions {
        &self.shared.socket
    }
}

/// Without password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("hosts", &self.shared.hosts)
            .field("user", &self.config.get_user())
            .field("dbname", &self.config.get_dbname())
            .field("options", &self.config.get_options())
            .field("tls", &self.shared.tls)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// libpq counts this one in seconds.
fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

fn take_config(parameters: &mut Parameters) -> Result<Config, BadTarget> {
    let mut config = Config::new();
    // Without a user, the client falls back to that of the process and the server to a database of that name.
    if let Some(user) = parameters.take("user") {
        config.user(user);
    }
    if let Some(password) = parameters.take("password") {
        config.password(password);
    }
    if let Some(database) = parameters.take("dbname") {
        config.dbname(database);
    }
    if let Some(options) = parameters.take("options") {
        config.options(options);
    }
    let application = parameters.take("application_name");
    config.application_name(application.unwrap_or_else(|| APPLICATION_NAME.to_owned()));
    match parameters
        .take_choice("channel_binding", &[("disable", false), ("prefer", false), ("require", true)])?
    {
        Some(true) => Err(BadTarget::ChannelBinding),
        Some(false) | None => Ok(config),
    }
}

fn take_tls(parameters: &mut Parameters) -> Result<Wanted, BadTarget> {
    let mode = parameters.take_choice("sslmode", &MODES)?;
    let root = parameters.take("sslrootcert");
    let (certificate, key) = (parameters.take("sslcert"), parameters.take("sslkey"));
    Ok(Wanted::new(mode, root, certificate, key)?)
}

fn take_session(parameters: &mut Parameters) -> Result<SessionAttrs, BadTarget> {
    let choices = [
        ("any", SessionAttrs::Any),
        ("read-write", SessionAttrs::ReadWrite),
        ("read-only", SessionAttrs::ReadOnly),
        ("primary", SessionAttrs::Primary),
        ("standby", SessionAttrs::Standby),
        ("prefer-standby", SessionAttrs::PreferStandby),
    ];
    Ok(parameters.take_choice("target_session_attrs", &choices)?.unwrap_or(SessionAttrs::Any))
}

fn take_load_balance(parameters: &mut Parameters) -> Result<bool, BadTarget> {
    let choices = [("disable", false), ("random", true)];
    Ok(parameters.take_choice("load_balance_hosts", &choices)?.unwrap_or(false))
}

fn take_socket_options(parameters: &mut Parameters) -> Result<SocketOptions, BadTarget> {
    let enabled = parameters.take_choice("keepalives", &[("0", false), ("1", true)])?.unwrap_or(true);
    let mut keepalive = TcpKeepalive::new();
    if let Some(idle) = parameters.take_positive("keepalives_idle")? {
        keepalive = keepalive.with_time(seconds(idle));
    }
    if let Some(interval) = parameters.take_positive("keepalives_interval")? {
        keepalive = keepalive.with_interval(seconds(interval));
    }
    if let Some(count) = parameters.take_positive("keepalives_count")? {
        keepalive = keepalive.with_retries(count);
    }
    let user_timeout = parameters.take_positive("tcp_user_timeout")?;
    let user_timeout = user_timeout.map(|ms| Duration::from_millis(ms.into()));
    Ok(SocketOptions { keepalive: enabled.then_some(keepalive), user_timeout })
}
