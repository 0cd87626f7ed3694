//! `loadtest run`: from its arguments to a plan, and from what was seen to the files that were asked for.

mod page;

use std::fs;
use std::io::{self, IsTerminal};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::RunArgs;
use crate::client::{Client, ClientError};
use crate::environment;
use crate::plan::{Arrivals, Pace, Plan, Requests, Template};
use crate::probe::Probe;
use crate::report::{RunReport, ServerUse, hgrm, html, json};
use crate::requests::{self, RequestError};
use crate::seen::Seen;

/// Between two lines of progress where nobody watches a terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at the run's end and at the terminal's bar.
const TICK: Duration = Duration::from_millis(100);

/// Why a run could not be made or told.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The URL is none that can be loaded.
    #[error("`{0}` is no URL of the form http://HOST[:PORT]/PATH")]
    Url(String),
    /// A header without a colon.
    #[error("`{0}` is no header of the form 'Name: value'")]
    Header(String),
    /// The request cannot be put in wire form.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The host is not known.
    #[error("the host of `{url}` is not known: {source}")]
    Host {
        /// The URL.
        url: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The client could not begin.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The report could not be written as JSON.
    #[error("the report as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl RunError {
    /// 2 for what the command line got wrong, 1 for the rest.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Url(_) | Self::Header(_) | Self::Request(_) | Self::Client(ClientError::Plan(_)) => 2,
            Self::Host { .. } | Self::Client(_) | Self::File { .. } | Self::Json(_) => 1,
        }
    }
}

/// Makes the run and writes the files; the report for the terminal.
///
/// # Errors
/// Arguments that make no plan, a server that is not there, files that cannot be read or written.
pub fn run(args: &RunArgs) -> Result<RunReport, RunError> {
    let url = Url::parse(&args.url)?;
    let plan = plan(args, &url)?;
    environment::raise_file_limit();
    let host = page::Host::begin(&args.cores);
    let mut client = Client::connect(plan.clone())?;
    if let Some(duration) = args.warm_up {
        watched(&mut client, duration, "warm-up");
    }
    let probe = args.server_pid.and_then(|pid| Probe::begin(pid).ok());
    let seen = watched(&mut client, args.duration, "run");
    let server = args.server_pid.map(|_| server_use(probe, &seen));
    let report = RunReport::new(&args.url, &scenario(&plan), &plan, &seen, server);
    write(args.json.as_ref(), || Ok(json::run(&report)? + "\n"))?;
    write(args.hgrm.as_ref(), || Ok(hgrm::distribution(&seen.response_ns)))?;
    write(args.html.as_ref(), || Ok(html::run(&page::of(&report, &seen, host))))?;
    Ok(report)
}

fn write(path: Option<&PathBuf>, text: impl FnOnce() -> Result<String, RunError>) -> Result<(), RunError> {
    let Some(path) = path else {
        return Ok(());
    };
    fs::write(path, text()?).map_err(|source| RunError::File { path: path.clone(), source })
}

/// The parts of a URL that a request needs.
#[derive(Debug, PartialEq, Eq)]
struct Url {
    /// With its port if the URL names one, as the Host field shows it.
    authority: String,
    /// Path and query.
    target: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, RunError> {
        let bad = || RunError::Url(text.to_owned());
        let rest = text.strip_prefix("http://").ok_or_else(bad)?;
        let rest = rest.split('#').next().unwrap_or(rest);
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let is_bad = |c: char| c.is_control() || c.is_whitespace() || c == '@';
        if authority.is_empty() || authority.starts_with(':') || authority.chars().any(is_bad) {
            return Err(bad());
        }
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Self { authority: authority.to_owned(), target: format!("{slash}{target}") })
    }

    fn address(&self) -> io::Result<SocketAddr> {
        let has_port = self.authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let with_port = if has_port { self.authority.clone() } else { format!("{}:80", self.authority) };
        let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
        with_port.to_socket_addrs()?.next().ok_or_else(none)
    }
}

fn plan(args: &RunArgs, url: &Url) -> Result<Plan, RunError> {
    let address = url.address().map_err(|source| RunError::Host { url: args.url.clone(), source })?;
    let arrivals = if args.poisson { Arrivals::Poisson } else { Arrivals::Constant };
    Ok(Plan {
        address,
        connections: args.connections,
        pace: args
            .rate
            .map_or(Pace::Closed { depth: args.depth }, |rate_per_s| Pace::Open { rate_per_s, arrivals }),
        requests: Requests(vec![template(args, url)?]),
        expected_status: args.expect,
        failure_mark: None,
        timeout: args.timeout,
        cores: args.cores.clone(),
        spin: args.spin,
    })
}

fn template(args: &RunArgs, url: &Url) -> Result<Template, RunError> {
    let header = |text: &String| {
        let (name, value) = text.split_once(':').ok_or_else(|| RunError::Header(text.clone()))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    let headers = args.headers.iter().map(header).collect::<Result<Vec<_>, RunError>>()?;
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let read =
        |path: &PathBuf| fs::read(path).map_err(|source| RunError::File { path: path.clone(), source });
    let body = args.body_file.as_ref().map(read).transpose()?.unwrap_or_default();
    Ok(requests::checked(&args.method, &url.target, &url.authority, &headers, &body)?)
}

fn scenario(plan: &Plan) -> String {
    let connections = plan.connections;
    match plan.pace {
        Pace::Closed { depth } => format!("closed loop, {connections} connections, depth {depth}"),
        Pace::Open { rate_per_s, arrivals } => {
            let kind = if arrivals == Arrivals::Poisson { "Poisson" } else { "constant" };
            format!("open loop, {rate_per_s}/s {kind}, {connections} connections")
        }
    }
}

/// Runs the load and meanwhile shows on stderr how far it is.
fn watched(client: &mut Client, duration: Duration, what: &str) -> Seen {
    thread::scope(|scope| {
        let load = scope.spawn(|| client.run(duration));
        let bar = bar(duration, what);
        let (start, mut next_line) = (Instant::now(), LINE_EVERY);
        while !load.is_finished() {
            thread::park_timeout(TICK);
            let elapsed = start.elapsed();
            bar.set_position(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX));
            if bar.is_hidden() && elapsed >= next_line {
                next_line += LINE_EVERY;
                eprintln!("{what}: {:.0} s of {:.0} s", elapsed.as_secs_f64(), duration.as_secs_f64());
            }
        }
        bar.finish_and_clear();
        load.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn bar(duration: Duration, what: &str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {elapsed} of {prefix}")
        .expect("the template is a constant that parses");
    ProgressBar::new(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
        .with_style(style)
        .with_message(what.to_owned())
        .with_prefix(humantime::format_duration(duration).to_string())
}

/// What `probe` tells of the server; nothing of one that is gone.
#[expect(clippy::cast_precision_loss, reason = "requests are far below 2^52")]
fn server_use(probe: Option<Probe>, seen: &Seen) -> ServerUse {
    let spent = probe.and_then(|probe| probe.end().ok());
    ServerUse {
        cpu_us_per_request: spent
            .filter(|_| seen.ok > 0)
            .map(|spent| spent.cpu.as_secs_f64() * 1e6 / seen.ok as f64),
        rss_mib: spent.map(|spent| spent.rss_mib),
        syscalls_per_request: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_an_authority_and_a_target() {
        let parts = |text: &str| Url::parse(text).map(|url| (url.authority, url.target)).ok();
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(parts("http://a:1/b?c#d"), pair("a:1", "/b?c"));
        assert_eq!(parts("http://a?c"), pair("a", "/?c"));
        assert_eq!(parts("http://[::1]:8/"), pair("[::1]:8", "/"));
        for bad in ["https://a/", "a", "http://", "http://u@a/", "http:///x", "http://:80/"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
