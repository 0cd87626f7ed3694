//! The command line. Only definitions: what they mean is the commands' business.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::compare::CompareArguments;

/// An open-loop load tester for HTTP/1.1 servers, and the comparison of ringledger with others.
#[derive(Debug, Parser)]
#[command(version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Loads one URL and reports what was seen.
    Run(RunArgs),
    /// Starts servers and compares them in a scenario, in interleaved rounds.
    Compare(CompareArguments),
    /// Names scenarios and subjects.
    List,
}

/// One URL, one load.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("pace").required(true), after_help = "Exit codes: 0 when there was a success and \
    no error; 1 when there were errors or no success, or the run could not begin; 2 for a wrong command line.\n\
    `{unique}` in a header value or in the body becomes a key that no other request has.\n\
    A run is CLIENT-LIMITED when its own schedule was more than 1 ms, or more than half of the response p99, late at \
    p99, or when one of its threads worked for more than 95 % of the time.")]
pub struct RunArgs {
    /// Where to, as `http://HOST[:PORT]/PATH`.
    #[arg(long)]
    pub url: String,
    /// The method.
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// A file with the body.
    #[arg(long, value_name = "FILE")]
    pub body_file: Option<PathBuf>,
    /// A header, as 'Name: value'; may be given again.
    #[arg(long = "header", value_name = "HEADER")]
    pub headers: Vec<String>,
    /// How many connections.
    #[arg(long, value_name = "N")]
    pub connections: usize,
    /// Open loop: so many requests a second are due, whatever the server does.
    #[arg(long, value_name = "PER_SECOND", group = "pace")]
    pub rate: Option<f64>,
    /// Spreads the moments of an open loop as a Poisson process does.
    #[arg(long, conflicts_with = "closed")]
    pub poisson: bool,
    /// Closed loop: each connection sends when it has its reply.
    #[arg(long, group = "pace")]
    pub closed: bool,
    /// Requests under way on each connection of a closed loop.
    #[arg(long, default_value_t = 1, conflicts_with = "rate", value_name = "N")]
    pub depth: usize,
    /// How long, such as 10s, 500ms or 2m.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub duration: Duration,
    /// A load of this length goes before and is not counted.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub warm_up: Option<Duration>,
    /// A request without a whole reply after this long is an error.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "5s")]
    pub timeout: Duration,
    /// One client thread on each of these cores, such as 1,2; one that is not pinned when absent.
    #[arg(long, value_delimiter = ',', value_name = "CORES")]
    pub cores: Vec<usize>,
    /// Spins while it waits: exact, where the client has its cores for itself.
    #[arg(long)]
    pub spin: bool,
    /// The status that counts as success.
    #[arg(long, default_value_t = 200, value_name = "STATUS")]
    pub expect: u16,
    /// The server's process on this host; its CPU time and memory are reported.
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Writes the report as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Writes the response times in `HdrHistogram`'s text format, in milliseconds.
    #[arg(long, value_name = "FILE")]
    pub hgrm: Option<PathBuf>,
    /// Writes the report as one self-contained HTML page with plots.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}
