//! The lines that were read so far: checked one by one, stored in chunks.

use std::mem;

use super::{CHUNK_BYTES, CHUNK_LINES, ImportError, Problem};
use crate::models::posting::LoggedEvent;
use crate::models::replay::{Needs, Replay};
use crate::models::user::BUILT_IN_OPERATOR;
use crate::models::{Account, Event, Role, Timestamp};
use crate::services::audit::chain::Chain;
use crate::services::ledger_file::lines::{self, End, Header, Line};
use crate::store::audit::KeptKey;
use crate::store::import::Importer;
use crate::store::{Credentials, StoreError};

/// What ends the reading: a line's problem, here or at another line, or the store's.
pub(super) enum Failure {
    Here(Problem),
    At(u64, Problem),
    Store(StoreError),
}

impl Failure {
    pub(super) fn at(self, line: u64) -> ImportError {
        match self {
            Self::Here(problem) => ImportError::Line { line, problem },
            Self::At(line, problem) => ImportError::Line { line, problem },
            Self::Store(error) => ImportError::Store(error),
        }
    }
}

impl<P: Into<Problem>> From<P> for Failure {
    fn from(problem: P) -> Self {
        Self::Here(problem.into())
    }
}

/// A row that the store refuses is the file's fault; that it does not answer is not.
fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::Corrupt(_) => Failure::Here(Problem::Refused(error)),
        other => Failure::Store(other),
    }
}

/// The parts of a file, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    #[default]
    Users,
    Accounts,
    Events,
    Keys,
    End,
}

/// What was read so far. Lines are kept until there are [`CHUNK_LINES`] or [`CHUNK_BYTES`] of a part.
pub(super) struct Reading<'a> {
    importer: &'a Importer,
    part: Part,
    pub(super) chain: Chain,
    users_read: u64,
    accounts_read: u64,
    keys_read: u64,
    has_operator: bool,
    last_key_use: Option<Timestamp>,
    users: Vec<Credentials>,
    accounts: Vec<Account>,
    events: Vec<(u64, Event)>,
    logged: Vec<LoggedEvent>,
    keys: Vec<KeptKey>,
    /// Bytes of the lines that are kept.
    kept_bytes: usize,
}

impl<'a> Reading<'a> {
    pub(super) fn new(importer: &'a Importer) -> Self {
        Self {
            importer,
            part: Part::default(),
            chain: Chain::default(),
            users_read: 0,
            accounts_read: 0,
            keys_read: 0,
            has_operator: false,
            last_key_use: None,
            users: Vec::new(),
            accounts: Vec::new(),
            events: Vec::new(),
            logged: Vec::new(),
            keys: Vec::new(),
            kept_bytes: 0,
        }
    }

    /// Takes a line of so many bytes in; the last one is returned.
    pub(super) fn line(&mut self, line: Line, bytes: usize, number: u64) -> Result<Option<End>, Failure> {
        match line {
            Line::User(user) => {
                self.enter(Part::Users)?;
                self.user(user.try_into()?);
            }
            Line::Account(account) => {
                self.enter(Part::Accounts)?;
                self.accounts_read += 1;
                self.accounts.push(account.try_into()?);
            }
            Line::Event(event) => {
                self.enter(Part::Events)?;
                let (event, hash) = event.into_event()?;
                let body = event.encode();
                self.chain.advance(event.seq, &body, hash)?;
                self.logged.push(LoggedEvent { seq: event.seq, body, hash });
                self.events.push((number, event));
            }
            Line::Key(key) => {
                self.enter(Part::Keys)?;
                self.key(key.try_into()?)?;
            }
            Line::End(end) => {
                self.enter(Part::End)?;
                return Ok(Some(end));
            }
        }
        let kept = [self.users.len(), self.accounts.len(), self.events.len(), self.keys.len()];
        self.kept_bytes += bytes;
        if kept.contains(&CHUNK_LINES) || self.kept_bytes >= CHUNK_BYTES {
            self.flush()?;
        }
        Ok(None)
    }

    fn enter(&mut self, part: Part) -> Result<(), Failure> {
        if part < self.part {
            return Err(Problem::Order("the order is users, accounts, events, keys").into());
        }
        if part > self.part {
            // What comes needs what was before.
            self.flush()?;
            self.part = part;
        }
        Ok(())
    }

    fn user(&mut self, credentials: Credentials) {
        let user = &credentials.user;
        self.has_operator |= user.id == BUILT_IN_OPERATOR && user.role == Role::Operator;
        self.users_read += 1;
        self.users.push(credentials);
    }

    fn key(&mut self, kept: KeptKey) -> Result<(), Problem> {
        let used_at = kept.used_at;
        if self.last_key_use.is_some_and(|last| used_at < last) {
            return Err(Problem::Order("keys stand in order of their use"));
        }
        self.last_key_use = Some(used_at);
        self.keys_read += 1;
        self.keys.push(kept);
        Ok(())
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        let importer = self.importer;
        self.kept_bytes = 0;
        importer.save_users(&mem::take(&mut self.users)).map_err(refused)?;
        importer.save_accounts(&mem::take(&mut self.accounts)).map_err(refused)?;
        if !self.events.is_empty() {
            self.replay()?;
        }
        importer.save_keys(&mem::take(&mut self.keys)).map_err(refused)
    }

    /// Derives what follows from the events that are kept, and stores both.
    fn replay(&mut self) -> Result<(), Failure> {
        let events = mem::take(&mut self.events);
        let mut needs = Needs::of(events.iter().map(|(_, event)| event));
        let mut replay = Replay::default();
        let transfers: Vec<_> = needs.transfers.iter().copied().collect();
        for transfer in self.importer.transfers(&transfers).map_err(Failure::Store)? {
            needs.add_transfer(&transfer);
            replay.load_transfer(transfer);
        }
        let accounts: Vec<_> = needs.accounts.iter().copied().collect();
        let accounts = self.importer.accounts(&accounts).map_err(Failure::Store)?;
        for account in accounts {
            replay.load_account(account);
        }
        for (line, event) in &events {
            let problem = |error| Failure::At(*line, Problem::Replay { seq: event.seq, error });
            replay.apply(event).map_err(problem)?;
        }
        self.importer.save_events(&mem::take(&mut self.logged), &replay.into_changes()).map_err(refused)
    }

    /// Whether as much was read as the first line says.
    pub(super) fn check(&self, header: &Header) -> Result<(), Problem> {
        let (events, _) = lines::head(&header.head)?;
        let counts = [
            ("users", header.users, self.users_read),
            ("accounts", header.accounts, self.accounts_read),
            ("events", events, self.chain.head().seq),
            ("keys", header.keys, self.keys_read),
        ];
        if let Some(&(what, said, found)) = counts.iter().find(|(_, said, found)| said != found) {
            return Err(Problem::Count { what, said, found });
        }
        if self.has_operator {
            Ok(())
        } else {
            Err(Problem::Order("the built-in operator is not among the users"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Location, Store};

    #[test]
    fn lines_are_stored_when_they_are_many_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Location::Sqlite { directory: directory.path().to_owned() }).unwrap();
        let importer = store.importer().unwrap();
        let mut reading = Reading::new(&importer);
        let mut read = |name: &str, bytes| {
            let fingerprint = "0".repeat(64);
            let line = format!(
                r#"{{"key":{{"user":"{BUILT_IN_OPERATOR}","key":"{name}","fingerprint":"{fingerprint}","used_at":"2026-01-01T00:00:00Z",
                "seq":1,"outcome":null}}}}"#
            );
            assert!(reading.line(serde_json::from_str(&line).unwrap(), bytes, 1).is_ok());
            reading.keys.len()
        };
        assert_eq!(read("a", CHUNK_BYTES / 2), 1);
        assert_eq!(read("b", CHUNK_BYTES / 2), 0, "both are stored");
        assert_eq!(read("c", CHUNK_BYTES / 2), 1);
    }
}
