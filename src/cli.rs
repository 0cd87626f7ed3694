//! The command line: its words, their types and their help. Reads no file,
//! starts nothing, and knows of settings only what a flag can name.

mod help;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{ArgGroup, Args, CommandFactory, Parser, Subcommand, ValueEnum, value_parser};

use crate::config::{IoMode, Overrides, TOKEN_TTL_MAX_S, WORKERS_MAX};

/// Version, commit and features, as `--version` tells them.
pub const VERSION: &str = env!("RINGLEDGER_VERSION");

/// A payments ledger behind HTTP whose tail latency stays flat.
#[derive(Debug, Parser)]
#[command(name = "ringledger", version = VERSION, about, after_help = help::PROGRAM)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    serve: Serve,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Where settings and data are; on every command.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Place {
    /// YAML file with settings.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    /// Directory of the signing key and of `ledger.db` [default: ./data].
    #[arg(long, value_name = "DIR", global = true)]
    pub data: Option<PathBuf>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Run the service; also what happens without a command.
    #[command(after_help = help::SERVE)]
    Serve(Serve),
    /// Print a signed token, and nothing else, on stdout.
    #[command(after_help = help::TOKEN)]
    Token(Token),
    /// Manage users.
    #[command(subcommand)]
    User(User),
    /// Apply the schema migrations of the store.
    #[command(after_help = help::MIGRATE)]
    Migrate(Migrate),
    /// Audit the ledger.
    #[command(after_help = help::VERIFY)]
    Verify(Verify),
    /// Write the whole ledger as JSON lines.
    #[command(after_help = help::EXPORT)]
    Export(Export),
    /// Read the whole ledger from JSON lines into an empty store.
    #[command(after_help = help::IMPORT)]
    Import(Import),
    /// Report what this host does to latency and capacity.
    #[command(after_help = help::DOCTOR)]
    Doctor(Doctor),
    /// Ask a running server whether it is well.
    #[command(after_help = help::HEALTH)]
    Health(Health),
    /// Look at the settings.
    #[command(subcommand, after_help = help::CONFIG)]
    Config(Config),
    /// Print the OpenAPI 3.1 document of the HTTP interface.
    #[command(after_help = help::OPENAPI)]
    Openapi,
    /// Write the manual pages into a directory.
    #[command(after_help = help::MAN)]
    Man(Man),
    /// Print a completion script for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions(Completions),
}

impl Command {
    /// Whether it is to report to a program.
    pub const fn reports_json(&self) -> bool {
        match self {
            Self::Migrate(Migrate { json, .. })
            | Self::Verify(Verify { json, .. })
            | Self::Export(Export { json, .. })
            | Self::Import(Import { json, .. })
            | Self::Doctor(Doctor { json, .. })
            | Self::Health(Health { json, .. })
            | Self::Config(Config::Show { json, .. } | Config::Check { json }) => *json,
            Self::Serve(_)
            | Self::Token(_)
            | Self::User(_)
            | Self::Openapi
            | Self::Man(_)
            | Self::Completions(_) => false,
        }
    }
}

/// `serve`
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub struct Serve {
    /// IP address and port; port 0 takes a free one [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Worker threads [default: one for every allowed core].
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..=i64::from(WORKERS_MAX)))]
    pub workers: Option<u16>,
    /// I/O engine [default: auto].
    #[arg(long, value_name = "ENGINE", value_parser = io_mode())]
    pub io: Option<IoMode>,
    /// Answer /plaintext, /json and /cpu, for measuring only.
    #[arg(long)]
    pub bench_endpoints: bool,
}

/// `token`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("identity").args(["user", "operator"]).required(true).multiple(true))]
pub struct Token {
    /// Name of a user of the store.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Role operator; without --user, the built-in user `operator`.
    #[arg(long)]
    pub operator: bool,
    /// Life of the token in seconds; without it, the setting `auth.token_ttl_s`.
    #[arg(long, value_name = "SECS", value_parser = value_parser!(u32).range(1..=i64::from(TOKEN_TTL_MAX_S)))]
    pub ttl: Option<u32>,
}

/// `user`
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum User {
    /// Create a user in the configured store.
    #[command(after_help = help::USER_ADD)]
    Add(UserAdd),
}

/// `user add`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct UserAdd {
    /// Name to log in with.
    pub name: String,
    /// Role operator instead of user.
    #[arg(long)]
    pub operator: bool,
    /// Read the password from stdin; there is no other way to give it, so that
    /// it shows in no process list and no shell history.
    #[arg(long, required = true)]
    pub password_stdin: bool,
}

/// `migrate`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Migrate {
    /// List the migrations and apply none.
    #[arg(long)]
    pub status: bool,
    /// Print the list as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `verify`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Verify {
    /// Print the result as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// A head that the ledger had before and must still contain.
    #[arg(long, value_name = "SEQ:HASH")]
    pub expect: Option<ExpectedHead>,
}

/// `export`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Export {
    /// File to write instead of stdout.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Print what was written as one JSON object.
    #[arg(long, requires = "output")]
    pub json: bool,
}

/// `import`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Import {
    /// File to read instead of stdin.
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// Print the result as one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// `doctor`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Doctor {
    /// Print the report as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Kind of host that differences are weighed for.
    #[arg(long, value_enum)]
    pub profile: Option<Profile>,
    /// Explain what is as wanted, too.
    #[arg(long, conflicts_with = "json")]
    pub all: bool,
}

/// A kind of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// A shared machine to work on: only what stops the service is bad.
    Dev,
    /// A container or a virtual machine: its limits are ours to set, the machine is not.
    Container,
    /// A machine of our own: everything is ours to set.
    BareMetal,
}

impl Profile {
    /// As it is written on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Container => "container",
            Self::BareMetal => "bare-metal",
        }
    }
}

/// `health`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Health {
    /// What to ask, plain HTTP [default: /ready of the settings' server.listen].
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Print the answer as one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Milliseconds until the answer must be there.
    #[arg(long, value_name = "MS", default_value_t = 3_000, value_parser = value_parser!(u32).range(1..=60_000))]
    pub timeout_ms: u32,
}

/// `config`
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Config {
    /// Print every setting with its value and where it comes from.
    Show {
        /// Print passwords as `***`.
        #[arg(long)]
        redacted: bool,
        /// Print the settings as one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Report every problem of the settings; exit 78 if there is one.
    Check {
        /// Print the problems as one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// `man`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Man {
    /// Directory, made where it is missing.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// `completions`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Completions {
    /// Shell to complete in.
    pub shell: Shell,
}

/// Whom a completion script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "they are names")]
#[value(rename_all = "lower")]
pub enum Shell {
    Bash,
    Elvish,
    Fish,
    Powershell,
    Zsh,
}

/// A ledger head as `verify` prints it: the event's number, a colon, and the
/// 64 hexadecimal digits of its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedHead {
    /// Number of the event, from 1; 0 is the empty ledger.
    pub seq: u64,
    /// Hash of the event.
    pub hash: [u8; 32],
}

/// A text that is not `SEQ:HASH`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("want SEQ:HASH, a whole number, a colon and 64 hexadecimal digits")]
pub struct BadHead;

impl FromStr for ExpectedHead {
    type Err = BadHead;

    fn from_str(text: &str) -> Result<Self, BadHead> {
        let (seq, digits) = text.split_once(':').ok_or(BadHead)?;
        // The parsers alone would take a sign and a leading 0x.
        if digits.len() != 64 || !seq.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(BadHead);
        }
        let hash = const_hex::decode_to_array(digits).map_err(|_| BadHead)?;
        Ok(Self { seq: seq.parse().map_err(|_| BadHead)?, hash })
    }
}

/// A parsed command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// Where settings and data are.
    pub place: Place,
    /// What to do.
    pub command: Command,
}

impl Invocation {
    /// Parses `args`, the program's name first. Without a command the flags
    /// are those of `serve`. The error prints itself, usage errors exit with 2,
    /// `--help` and `--version` with 0 (`clap::Error::exit`).
    pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let cli = Cli::try_parse_from(args)?;
        let command = match cli.command {
            None => Command::Serve(cli.serve),
            Some(command) if cli.serve == Serve::default() => command,
            Some(_) => return Err(misplaced_serve_flags()),
        };
        Ok(Self { place: cli.place, command })
    }

    /// The flags that are settings.
    pub fn overrides(&self) -> Overrides {
        let mut overrides = Overrides { data_dir: self.place.data.clone(), ..Overrides::default() };
        if let Command::Serve(serve) = &self.command {
            overrides.listen = serve.listen;
            overrides.workers = serve.workers;
            overrides.io = serve.io;
            overrides.bench_endpoints = serve.bench_endpoints.then_some(true);
        }
        overrides
    }
}

/// The whole definition, for completion scripts and manual pages.
pub fn definition() -> clap::Command {
    Cli::command()
}

fn misplaced_serve_flags() -> clap::Error {
    let message = "--listen, --workers, --io and --bench-endpoints belong to `serve`; put them behind it";
    Cli::command().error(ErrorKind::ArgumentConflict, message)
}

fn io_mode() -> impl TypedValueParser<Value = IoMode> {
    PossibleValuesParser::new(IoMode::WORDS).try_map(|word| word.parse::<IoMode>())
}

#[cfg(test)]
mod tests;
