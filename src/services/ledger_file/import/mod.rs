//! Reads a ledger from a file into an empty store: all of it, or nothing.
//!
//! Every line is checked against those before it, what follows from the events is derived again, and the outcome is
//! audited before it is committed.

mod file;
mod reading;

use std::io::{self, BufRead};

use sha2::{Digest, Sha256};

use self::file::Lines;
use self::reading::{Failure, Reading};
use super::VERSION;
use super::lines::{self, BadMember, End, Header, Version};
use crate::models::AccountId;
use crate::models::replay::ReplayError;
use crate::services::audit::chain::{Chain, ChainError};
use crate::services::audit::{AuditError, Audited, Progress, audit};
use crate::store::StoreError;
use crate::store::audit::Source;
use crate::store::import::Importer;

/// The longest line in bytes: far beyond an event and beyond the stored reply to the largest batch. It bounds what a
/// file without ends of lines can take.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// How many lines are written at once. They and what they change are held in memory.
const CHUNK_LINES: usize = 5_000;
/// How many bytes of lines are written at once, if that is reached before: the keys of 5,000 large batches are 2 GiB.
const CHUNK_BYTES: usize = 16 << 20;

/// What was read: the same as an audit finds in the new ledger.
pub type Imported = Audited;

/// Why nothing was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store has something already.
    #[error("the store is not empty, it has {0}: import into a new one")]
    NotEmpty(String),
    /// Something is wrong with a line of the file.
    #[error("line {line}: {problem}")]
    Line {
        /// Which line, from 1.
        line: u64,
        /// What is wrong.
        problem: Problem,
    },
    /// The file as a whole is no ledger.
    #[error("the file is no whole ledger: {0}")]
    Audit(#[from] AuditError),
    /// An account's owner is not in the file.
    #[error("the owner of account {0} is not among the users")]
    Ownerless(AccountId),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("{0}")]
    Read(#[from] io::Error),
    /// It goes on and on.
    #[error("is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// It is not there, or not as a whole.
    #[error("the file ends here, before its last line")]
    Truncated,
    /// It is not such a line as stands here.
    #[error("{} at byte {}", said(.0), .0.column())]
    Json(#[from] serde_json::Error),
    /// A newer program wrote it.
    #[error("the file has version {0}, this program reads version {VERSION}")]
    Version(u32),
    /// It has a member that means nothing.
    #[error(transparent)]
    Member(#[from] BadMember),
    /// It stands where such a line may not.
    #[error("{0}")]
    Order(&'static str),
    /// It does not follow the event before it.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// No ledger can have come to this event.
    #[error("event {seq}: {error}")]
    Replay {
        /// Which event.
        seq: u64,
        /// Why not.
        error: ReplayError,
    },
    /// The store has a row like one that was read; which it is, the store does not say.
    #[error("among the {CHUNK_LINES} lines before, one cannot be stored: {0}")]
    Refused(StoreError),
    /// There are more or fewer of something than the first line says.
    #[error("the first line says that there are {said} {what}, but there are {found}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many there should be.
        said: u64,
        /// How many there are.
        found: u64,
    },
    /// The log ends with another event than the first or the last line says.
    #[error("the log does not end with the head that the file says")]
    Head,
    /// The bytes are not those that were written.
    #[error("the file was changed after it was written")]
    Digest,
}

/// What is wrong, without the place: each line is a text of its own.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

/// Reads the ledger in `file` into the store behind `importer`, in memory that does not grow with it. `progress` hears
/// of every event, and of the audit of the outcome.
pub fn import(
    importer: Importer,
    file: impl BufRead,
    mut progress: impl FnMut(Progress),
) -> Result<Imported, ImportError> {
    check_empty(&importer)?;
    importer.clear_users()?;
    let mut lines = Lines::new(file);
    let result = read_all(&importer, &mut lines, &mut progress);
    result.map_err(|failure| failure.at(lines.read))?;
    importer.settle()?;
    if let Some(account) = importer.ownerless_account()? {
        return Err(ImportError::Ownerless(account));
    }
    let audited = audit(importer.view(), None, progress)?;
    importer.commit()?;
    Ok(audited)
}

/// Whether there is nothing but what the migrations made: one user.
fn check_empty(importer: &Importer) -> Result<(), ImportError> {
    let (rows, head) = (importer.view().row_counts()?, importer.view().head()?);
    let found = [
        (head.seq, "events"),
        (rows.accounts, "accounts"),
        (rows.users.saturating_sub(1), "users beside the built-in operator"),
        (rows.transfers + rows.entries + rows.keys, "rows"),
    ];
    match found.iter().find(|(count, _)| *count > 0) {
        Some((count, what)) => Err(ImportError::NotEmpty(format!("{count} {what}"))),
        None => Ok(()),
    }
}

fn read_all(
    importer: &Importer,
    lines: &mut Lines<impl BufRead>,
    progress: &mut impl FnMut(Progress),
) -> Result<(), Failure> {
    let header = read_header(lines)?;
    let (events, _) = lines::head(&header.head)?;
    let mut reading = Reading::new(importer);
    loop {
        let digest = lines.digest.clone();
        let text = lines.next()?.ok_or(Problem::Truncated)?;
        let (line, bytes) = (serde_json::from_slice(text)?, text.len());
        let end = reading.line(line, bytes, lines.read)?;
        progress(Progress { what: "events", done: reading.chain.head().seq, total: events });
        if let Some(end) = end {
            reading.flush()?;
            reading.check(&header)?;
            check_end(&end, &header, &reading.chain, lines.read, digest)?;
            break;
        }
    }
    if lines.next()?.is_some() {
        return Err(Problem::Order("something stands behind the last line").into());
    }
    importer.save_head(reading.chain.head()).map_err(Failure::Store)
}

fn read_header(lines: &mut Lines<impl BufRead>) -> Result<Header, Failure> {
    let line = lines.next()?.ok_or(Problem::Truncated)?;
    let version: Version = serde_json::from_slice(line)?;
    if version.ringledger != VERSION {
        return Err(Problem::Version(version.ringledger).into());
    }
    Ok(serde_json::from_slice(line)?)
}

fn check_end(
    end: &End,
    header: &Header,
    chain: &Chain,
    lines_read: u64,
    digest: Sha256,
) -> Result<(), Problem> {
    if end.head != header.head || !lines::is_head(&end.head, chain.head()) {
        return Err(Problem::Head);
    }
    let before = lines_read - 1;
    if end.lines != before {
        return Err(Problem::Count { what: "lines", said: end.lines, found: before });
    }
    if const_hex::encode(digest.finalize()) != end.sha256 {
        return Err(Problem::Digest);
    }
    Ok(())
}
