//! What each command does. Results go to standard output, everything else to the log.

mod config;
mod doctor;
mod health;
mod ledger;
mod progress;

use std::io::{self, Write};
use std::process::ExitCode;

use ringledger_assets::{completions, manual};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::api::openapi;
use crate::app::{self, AppFailure, Source, Start};
use crate::cli::{Command, Config, Invocation, Man, Migrate, Shell, Token, User, UserAdd, VERSION};
use crate::config::{Loaded, LogFormat, Secrets, Settings, Sources, load};
use crate::models::posting::Outcome;
use crate::models::user::BUILT_IN_OPERATOR;
use crate::models::{Actor, Role, User as Person, Username};
use crate::runtime::cores;
use crate::services::users::{PASSWORD_MAX_BYTES, check_password, hash_password, register_command};
use crate::services::{Tokens, now};
use crate::store::Store;
use crate::store::migrations::Status;
use crate::telemetry::logging::{self, Format, Logging, LoggingError};
use crate::telemetry::otlp::Collector;

/// What the log of a command other than `serve` lets through.
const COMMAND_LOG: &str = "warn";
/// Longest line that is read as a password, in bytes: the longest password and a line end.
const PASSWORD_LINE_BYTES: u64 = PASSWORD_MAX_BYTES as u64 + 2;

/// Why a command did not do its work.
enum Failure {
    /// Its own report tells of it, where one was asked for.
    Reported(AppFailure),
    /// It did not come to a report.
    Unreported(AppFailure),
}

impl From<AppFailure> for Failure {
    fn from(failure: AppFailure) -> Self {
        Self::Unreported(failure)
    }
}

/// Runs a command; the exit code is that of a command that could do its work. One that is to report as JSON prints one
/// object, whatever happens.
pub fn run(invocation: Invocation) -> Result<ExitCode, AppFailure> {
    let reports_json = invocation.command.reports_json();
    match run_any(invocation) {
        Ok(code) => Ok(code),
        Err(Failure::Unreported(failure)) if reports_json => {
            print(format_args!("{}", json!({ "ok": false, "error": failure.to_string() })))?;
            Err(failure)
        }
        Err(Failure::Reported(failure) | Failure::Unreported(failure)) => Err(failure),
    }
}

fn run_any(invocation: Invocation) -> Result<ExitCode, Failure> {
    // These need no settings, so broken ones must not be in their way.
    match &invocation.command {
        Command::Completions(completions) => return Ok(complete(completions.shell).map(success)?),
        Command::Openapi => return Ok(print(format_args!("{}", openapi::text())).map(success)?),
        Command::Man(command) => return Ok(write_man_pages(command).map(success)?),
        _ => {}
    }
    let sources = Sources::of_process(invocation.place.config.clone(), invocation.overrides());
    if let Command::Serve(_) = &invocation.command {
        return Ok(serve(&sources).map(success)?);
    }
    let loaded = load(&sources);
    // These tell of broken ones.
    match &invocation.command {
        Command::Doctor(command) => {
            return Ok(doctor::run(command, loaded.as_ref().map(|loaded| &loaded.settings))?);
        }
        Command::Config(Config::Check { json }) => return config::check(loaded.as_ref(), *json).map(success),
        _ => {}
    }
    run_with(invocation, &loaded.map_err(misconfigured)?).map(success)
}

const fn success((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

fn misconfigured(error: impl std::fmt::Display) -> AppFailure {
    AppFailure::Configuration(error.to_string())
}

/// Runs the server. From the first line on SIGHUP waits for it, and no change of a file is missed.
fn serve(sources: &Sources) -> Result<(), AppFailure> {
    let start = Start::begin(sources.files())?;
    let settings = load(sources).map_err(misconfigured)?.settings;
    let (directives, collector) = (app::log_directives(&settings), app::collector(&settings));
    let logging = start_logging(log_format(&settings), &directives, collector.as_ref())?;
    let load = || load(sources).map(|loaded| loaded.settings).map_err(|error| error.to_string());
    app::serve(start, &settings, Source { load: &load, files: &|| sources.files() }, &logging)
}

fn start_logging(
    format: Format,
    directives: &str,
    collector: Option<&Collector>,
) -> Result<Logging, AppFailure> {
    logging::start(format, directives, collector, cores::let_others_first).map_err(|error| match error {
        LoggingError::Directives(error) => misconfigured(format!("log.filter: {error}")),
        LoggingError::Otlp(error) => misconfigured(format!("otlp.endpoint: {error}")),
        LoggingError::Thread(_) => failed(error),
    })
}

/// Runs a command that needs valid settings.
fn run_with(invocation: Invocation, loaded: &Loaded) -> Result<(), Failure> {
    let settings = &loaded.settings;
    let _logging = start_logging(Format::Human, COMMAND_LOG, None)?;
    match invocation.command {
        Command::Token(command) => token(settings, &command)?,
        Command::User(User::Add(command)) => add_user(settings, &command)?,
        Command::Migrate(command) => migrate(settings, &command)?,
        Command::Verify(command) => ledger::verify(settings, &command)?,
        Command::Export(command) => ledger::export(settings, &command)?,
        Command::Import(command) => ledger::import(settings, &command)?,
        Command::Config(Config::Show { redacted, json }) => {
            config::show(loaded, if redacted { Secrets::Redacted } else { Secrets::Shown }, json)?;
        }
        Command::Health(command) => health::run(settings, &command)?,
        Command::Serve(_)
        | Command::Completions(_)
        | Command::Config(Config::Check { .. })
        | Command::Doctor(_)
        | Command::Man(_)
        | Command::Openapi => unreachable!("done before the settings are needed"),
    }
    Ok(())
}

fn complete(shell: Shell) -> Result<(), AppFailure> {
    let script = match shell {
        Shell::Bash => completions::BASH,
        Shell::Elvish => completions::ELVISH,
        Shell::Fish => completions::FISH,
        Shell::Powershell => completions::POWERSHELL,
        Shell::Zsh => completions::ZSH,
    };
    print(format_args!("{}", script.text().trim_end()))
}

fn write_man_pages(command: &Man) -> Result<(), AppFailure> {
    let directory = &command.directory;
    let write = || {
        std::fs::create_dir_all(directory)?;
        let mut pages = manual(VERSION).into_iter();
        pages.try_for_each(|(name, page)| std::fs::write(directory.join(name), page))
    };
    write().map_err(|error| failed(format!("cannot write to {}: {error}", directory.display())))
}

const fn log_format(settings: &Settings) -> Format {
    match settings.log.format {
        LogFormat::Auto => Format::Auto,
        LogFormat::Json => Format::Json,
        LogFormat::Human => Format::Human,
    }
}

fn failed(error: impl std::fmt::Display) -> AppFailure {
    AppFailure::Failed(error.to_string())
}

/// One line of result. A reader that has closed its end wants no more of it.
fn print(line: std::fmt::Arguments<'_>) -> Result<(), AppFailure> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(()),
    }
}

/// An executor for the one call that a command makes.
fn block_on<F: Future>(future: F) -> Result<F::Output, AppFailure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    Ok(runtime.block_on(future))
}

fn token(settings: &Settings, command: &Token) -> Result<(), AppFailure> {
    let named = command.user.as_deref().map(|name| user_named(settings, name)).transpose()?;
    let actor = match named {
        Some(user) if !command.operator => Actor { id: user.id, role: user.role },
        Some(user) => Actor { id: user.id, role: Role::Operator },
        None => Actor { id: BUILT_IN_OPERATOR, role: Role::Operator },
    };
    let tokens = Tokens::new(&app::keyring(settings)?);
    let token = tokens.issue(actor, command.ttl.unwrap_or(settings.auth.token_ttl_s)).map_err(failed)?;
    print(format_args!("{token}"))
}

fn user_named(settings: &Settings, name: &str) -> Result<Person, AppFailure> {
    let reader =
        Store::open_existing(&app::location(settings)?).and_then(|store| store.reader()).map_err(failed)?;
    let found = block_on(reader.credentials(name))?.map_err(failed)?;
    found.map(|found| found.user).ok_or_else(|| failed(format!("there is no user {name}")))
}

fn add_user(settings: &Settings, command: &UserAdd) -> Result<(), AppFailure> {
    let username: Username = command.name.parse().map_err(|error| failed(format!("the name {error}")))?;
    let password = read_password()?;
    let role = if command.operator { Role::Operator } else { Role::User };
    let mut writer =
        Store::open(&app::location(settings)?).and_then(|store| store.writer()).map_err(failed)?;
    let command = register_command(username, role, hash_password(&password).map_err(failed)?);
    let outcomes = block_on(writer.commit(&[command], &now))?.map_err(failed)?;
    writer.close().map_err(failed)?;
    match outcomes.into_iter().next() {
        Some(Outcome::Registered(user)) => {
            print(format_args!("added {} {} with id {}", user.role.as_str(), user.username, user.id))
        }
        Some(Outcome::UsernameTaken) => Err(failed("the username belongs to somebody")),
        other => Err(failed(format!("unexpected outcome {other:?}"))),
    }
}

fn read_password() -> Result<SecretString, AppFailure> {
    let mut line = String::new();
    let mut input = io::Read::take(io::stdin(), PASSWORD_LINE_BYTES);
    io::BufRead::read_line(&mut io::BufReader::new(&mut input), &mut line).map_err(failed)?;
    let password = line.trim_end_matches(['\n', '\r']);
    check_password(password).map_err(|error| failed(format!("the password {error}")))?;
    Ok(password.to_owned().into())
}

fn migrate(settings: &Settings, command: &Migrate) -> Result<(), AppFailure> {
    let location = app::location(settings)?;
    if !command.status {
        Store::open(&location).map_err(failed)?;
    }
    let lines = Store::migration_status(&location).map_err(failed)?;
    if command.json {
        let migrations: Vec<_> = lines.iter().map(migration_report).collect();
        return print(format_args!("{}", json!({ "migrations": migrations })));
    }
    for line in lines {
        let migration = line.migration;
        let state = line.applied_at.map_or_else(|| "pending".into(), |time| format!("applied {time}"));
        print(format_args!("{:04} {:12} {state}", migration.version, migration.name))?;
    }
    Ok(())
}

/// `applied_at` is null of one that is still to come.
fn migration_report(line: &Status) -> Value {
    let applied_at = line.applied_at.map(|time| time.to_string());
    json!({ "version": line.migration.version, "name": line.migration.name, "applied_at": applied_at })
}
