//! The commands on a whole ledger: `verify`, `export`, `import`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::progress::Reporter;
use super::{failed, print};
use crate::app::{self, AppFailure};
use crate::cli::{Export, Import, Verify};
use crate::config::Settings;
use crate::models::event::ChainHash;
use crate::services::audit::{AuditError, Audited, audit};
use crate::services::ledger_file::{self, Exported, ImportError};
use crate::store::Store;
use crate::store::audit::AuditSource;

/// How much is written to or read from a file at once, in bytes.
const BUFFER_BYTES: usize = 256 << 10;

pub(super) fn verify(settings: &Settings, command: &Verify) -> Result<(), AppFailure> {
    let source = view(settings, command.expect.map_or(0, |head| head.seq))?;
    let expected = command.expect.map(|head| (head.seq, ChainHash::from_bytes(head.hash)));
    let mut reporter = Reporter::new();
    let audited = audit(&source, expected, |progress| reporter.step(progress));
    drop(reporter);
    if command.json {
        print(format_args!("{}", audit_report(&audited)))?;
    } else if let Ok(audited) = &audited {
        print(format_args!("{}", audited.head))?;
    }
    audited.map(drop).map_err(failed)
}

/// One moment of a store that must exist, which reaches to `seq` at least.
fn view(settings: &Settings, seq: u64) -> Result<AuditSource, AppFailure> {
    Store::open_existing(&app::location(settings)?).and_then(|store| store.audit_with(seq)).map_err(failed)
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
    let source = view(settings, 0)?;
    let Some(path) = &command.output else {
        write_to(&source, io::stdout().lock())?;
        return Ok(());
    };
    let file = NewFile::create(path).map_err(|error| cannot("write", path, &error))?;
    let exported = write_to(&source, &file.file)?;
    file.keep(path).map_err(|error| cannot("write", path, &error))?;
    if command.json {
        print(format_args!("{}", export_report(&exported)))
    } else {
        print(format_args!("{}", exported.head))
    }
}

fn write_to(source: &AuditSource, file: impl Write) -> Result<Exported, AppFailure> {
    let mut reporter = Reporter::new();
    let file = BufWriter::with_capacity(BUFFER_BYTES, file);
    ledger_file::export(source, file, |progress| reporter.step(progress)).map_err(failed)
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

pub(super) fn import(settings: &Settings, command: &Import) -> Result<(), AppFailure> {
    let imported = match &command.input {
        None => read_from(settings, io::stdin())?,
        Some(path) => read_from(settings, File::open(path).map_err(|error| cannot("read", path, &error))?)?,
    };
    match (&imported, command.json) {
        (Ok(imported), false) => print(format_args!("{}", imported.head))?,
        (Ok(imported), true) => print(format_args!("{}", audit_report(&Ok(*imported))))?,
        (Err(_), false) => {}
        (Err(error), true) => print(format_args!("{}", import_failure(error)))?,
    }
    imported.map(drop).map_err(failed)
}

/// Imports into a store that nobody serves from.
fn read_from(settings: &Settings, file: impl io::Read) -> Result<Result<Audited, ImportError>, AppFailure> {
    let location = app::location(settings)?;
    let _lock = location.lock().map_err(failed)?;
    let importer = Store::open(&location).and_then(|store| store.importer()).map_err(failed)?;
    let mut reporter = Reporter::new();
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
