//! Writes a ledger to a file, checking its chain on the way.

use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::VERSION;
use super::lines::{AccountLine, BadMember, End, EventLine, Header, KeyLine, Line, UserLine};
use crate::models::Head;
use crate::services::audit::Progress;
use crate::services::audit::chain::{Chain, ChainError};
use crate::store::StoreError;
use crate::store::audit::Source;

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Where the log ends.
    #[serde(skip)]
    pub head: Head,
    /// Users.
    pub users: u64,
    /// Accounts.
    pub accounts: u64,
    /// Events.
    pub events: u64,
    /// Idempotency records.
    pub keys: u64,
}

/// Why a ledger was not written as a whole. The file has no last line then, and is good for nothing.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The log is broken.
    #[error("the ledger is damaged, see `ringledger verify`: {0}")]
    Chain(#[from] ChainError),
    /// The log is whole, but does not end where the head record says.
    #[error("the ledger is damaged, see `ringledger verify`: the log does not end with its head")]
    Head,
    /// A row has something that no line can say.
    #[error("the ledger is damaged: {what}: {error}")]
    Row {
        /// Which.
        what: String,
        /// What it has.
        error: BadMember,
    },
    /// The file cannot be written.
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

/// Writes everything that `source` shows to `file`, in memory that does not grow with it. `progress` hears of every
/// event.
pub fn export(
    source: &impl Source,
    file: impl Write,
    mut progress: impl FnMut(Progress),
) -> Result<Exported, ExportError> {
    let (head, rows) = (source.head()?, source.row_counts()?);
    let mut lines = Lines { file, digest: Sha256::new(), written: 0, buffer: Vec::new() };
    lines.write(&Header {
        ringledger: VERSION,
        head: head.to_string(),
        users: rows.users,
        accounts: rows.accounts,
        keys: rows.keys,
    })?;
    source.each_user(|user| lines.write(&Line::User(UserLine::from(&user))))?;
    write_accounts(source, &mut lines)?;
    let mut chain = Chain::default();
    source.each_logged(|logged| {
        progress(Progress { what: "events", done: logged.seq, total: head.seq });
        let event = chain.advance(logged.seq, &logged.body, logged.hash)?;
        let line = EventLine::of(&event, logged.hash).map_err(in_row(|| format!("event {}", event.seq)))?;
        lines.write(&Line::Event(line))
    })?;
    if chain.head() != head {
        return Err(ExportError::Head);
    }
    source.each_key(|kept, _| {
        let of_key = in_row(|| format!("the record of key {}", kept.key.as_str()));
        lines.write(&Line::Key(KeyLine::try_from(&kept).map_err(of_key)?))
    })?;
    lines.end(head)?;
    let (users, accounts, keys) = (rows.users, rows.accounts, rows.keys);
    Ok(Exported { head, users, accounts, events: head.seq, keys })
}

fn write_accounts<W: Write>(source: &impl Source, lines: &mut Lines<W>) -> Result<(), ExportError> {
    let mut last = None;
    loop {
        let page = source.accounts_after(last)?;
        let Some((end, _)) = page.last() else { return Ok(()) };
        last = Some(end.id);
        for (account, _) in &page {
            lines.write(&Line::Account(AccountLine::from(account)))?;
        }
    }
}

fn in_row(what: impl FnOnce() -> String) -> impl FnOnce(BadMember) -> ExportError {
    |error| ExportError::Row { what: what(), error }
}

/// The file so far.
struct Lines<W> {
    file: W,
    digest: Sha256,
    written: u64,
    buffer: Vec<u8>,
}

impl<W: Write> Lines<W> {
    fn write(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        self.buffer.clear();
        serde_json::to_writer(&mut self.buffer, line).map_err(io::Error::from)?;
        self.buffer.push(b'\n');
        self.digest.update(&self.buffer);
        self.written += 1;
        Ok(self.file.write_all(&self.buffer)?)
    }

    fn end(mut self, head: Head) -> Result<(), ExportError> {
        let sha256 = const_hex::encode(self.digest.clone().finalize());
        self.write(&Line::End(End { head: head.to_string(), lines: self.written, sha256 }))?;
        Ok(self.file.flush()?)
    }
}
