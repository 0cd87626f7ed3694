//! The commands on a whole ledger: `verify`, `export`, `import`.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::Reporter;
use super::{Failure, failed, print};
use crate::app::{self, AppFailure};
use crate::cli::{Export, Import, Verify};
use crate::config::Settings;
use crate::models::event::ChainHash;
use crate::services::audit::{AuditError, Audited, audit};
use crate::services::ledger_file::{self, Exported, ImportError};
use crate::store::audit::AuditSource;
use crate::store::{Location, Store};

/// How much is written to or read from a file at once, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

pub(super) fn verify(settings: &Settings, command: &Verify) -> Result<(), Failure> {
    let View { source, origin } = view(settings, command.expect.map_or(0, |head| head.seq))?;
    let expected = command.expect.map(|head| (head.seq, ChainHash::from_bytes(head.hash)));
    let mut reporter = Reporter::new(&origin);
    let audited = audit(&source, expected, |progress| reporter.step(progress));
    drop(reporter);
    if command.json {
        print(format_args!("{}", origin.within(audit_report(&audited))))?;
    } else if let Ok(audited) = &audited {
        print(format_args!("{}", audited.head))?;
    }
    audited.map(drop).map_err(|error| Failure::Reported(failed(error)))
}

/// One moment of a store.
struct View {
    source: AuditSource,
    origin: Origin,
}

/// What is read. A variable that is left over, or a replica, could be another ledger than the one that is meant.
struct Origin {
    /// Without secrets.
    store: String,
    is_replica: bool,
}

impl Origin {
    /// A report that tells of it too.
    fn within(&self, mut report: Value) -> Value {
        report["store"] = self.store.as_str().into();
        report["replica"] = self.is_replica.into();
        report
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "reading {}{}", if self.is_replica { "the replica, " } else { "" }, self.store)
    }
}

/// A store that must exist, at a moment which reaches to `seq` at least.
fn view(settings: &Settings, seq: u64) -> Result<View, AppFailure> {
    let location = app::location(settings)?;
    let source = Store::open_existing(&location).and_then(|store| store.audit_with(seq)).map_err(failed)?;
    let is_replica = source.is_replica();
    Ok(View { source, origin: Origin { store: location.describe(is_replica), is_replica } })
}

fn audit_report(audited: &Result<Audited, AuditError>) -> Value {
    match audited {
        Ok(audited) => json!({
            "ok": true,
            "head": audited.head.to_string(),
            "events": audited.head.seq,
            "accounts": audited.accounts,
            "transfers": audited.rows.transfers,
            "entries": audited.rows.entries,
        }),
        Err(AuditError::Broken { invariant, detail }) => {
            json!({ "ok": false, "broken": invariant, "detail": detail })
        }
        Err(AuditError::Store(error)) => json!({ "ok": false, "error": error.to_string() }),
    }
}

pub(super) fn export(settings: &Settings, command: &Export) -> Result<(), AppFailure> {
    let view = view(settings, 0)?;
    let Some(path) = &command.output else {
        write_to(&view, io::stdout().lock())?;
        return Ok(());
    };
    let file = NewFile::create(path).map_err(|error| cannot("write", path, &error))?;
    let exported = write_to(&view, &file.file)?;
    file.keep(path).map_err(|error| cannot("write", path, &error))?;
    if command.json {
        print(format_args!("{}", view.origin.within(export_report(&exported))))
    } else {
        print(format_args!("{}", exported.head))
    }
}

fn write_to(view: &View, file: impl Write) -> Result<Exported, AppFailure> {
    let mut reporter = Reporter::new(&view.origin);
    let file = BufWriter::with_capacity(BUFFER_BYTES, file);
    ledger_file::export(&view.source, file, |progress| reporter.step(progress)).map_err(failed)
}

fn export_report(exported: &Exported) -> Value {
    json!({
        "ok": true,
        "head": exported.head.to_string(),
        "events": exported.events,
        "accounts": exported.accounts,
        "users": exported.users,
        "keys": exported.keys,
    })
}

pub(super) fn import(settings: &Settings, command: &Import) -> Result<(), Failure> {
    let location = app::location(settings)?;
    let imported = match &command.input {
        None => read_into(&location, io::stdin())?,
        Some(path) => read_into(&location, File::open(path).map_err(|error| cannot("read", path, &error))?)?,
    };
    if command.json {
        let mut report = match &imported {
            Ok(imported) => audit_report(&Ok(*imported)),
            Err(error) => import_failure(error),
        };
        report["store"] = location.describe(false).into();
        print(format_args!("{report}"))?;
    } else if let Ok(imported) = &imported {
        print(format_args!("{}", imported.head))?;
    }
    imported.map(drop).map_err(|error| Failure::Reported(failed(error)))
}

/// Imports into a store that nobody serves from.
fn read_into(location: &Location, file: impl io::Read) -> Result<Result<Audited, ImportError>, AppFailure> {
    let _lock = location.lock().map_err(failed)?;
    let importer = Store::open(location).and_then(|store| store.importer()).map_err(failed)?;
    let mut reporter = Reporter::new(&format_args!("writing {}", location.describe(false)));
    let file = BufReader::with_capacity(BUFFER_BYTES, file);
    Ok(ledger_file::import(importer, file, |progress| reporter.step(progress)))
}

fn import_failure(error: &ImportError) -> Value {
    let line = match error {
        ImportError::Line { line, .. } => Some(line),
        _ => None,
    };
    json!({ "ok": false, "line": line, "error": error.to_string() })
}

fn cannot(do_what: &str, path: &Path, error: &io::Error) -> AppFailure {
    failed(format!("cannot {do_what} {}: {error}", path.display()))
}

/// A file that takes its name when it is whole. Dropped before, it is removed.
struct NewFile {
    file: File,
    path: PathBuf,
}

impl NewFile {
    /// Beside `path`, for the owner alone.
    fn create(path: &Path) -> io::Result<Self> {
        let mut name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = path.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        Ok(Self { file, path: partial })
    }

    fn keep(self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, path)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Once it has its name there is nothing left to remove.
        let _ = fs::remove_file(&self.path);
    }
}
