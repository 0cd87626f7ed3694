//! Stands for `postgres` in a build without the feature of that name: the same types, of which there is no value, since no
//! URL is one of a target. So nothing above the store knows of the feature.

#![allow(missing_docs, reason = "the words are those of `postgres`")]
#![allow(clippy::unused_async, reason = "the signatures are those of `postgres`")]

#[path = "postgres/options.rs"]
mod options;

use std::convert::Infallible;

pub use options::{Carrier, Options};

use super::audit::{KeptKey, RowCounts, Source, StoredEvent};
use super::migrations::Status;
use super::statements::{Line, LineQuery, Span, SpanQuery};
use super::{AccountQuery, Clock, Credentials, EntryQuery, StoreError, Stretch, TransferQuery};
use crate::models::posting::{Command, Entry, LoggedEvent, Outcome};
use crate::models::replay::Changes;
use crate::models::{Account, AccountId, Event, Head, Money, Timestamp, Transfer, TransferId, User, UserId};

#[derive(Debug, thiserror::Error)]
#[error("this ringledger was built without Postgres (cargo feature `postgres`)")]
pub struct BadTarget;

// With a field that nobody sees: that there is none is known here only, so no code elsewhere counts as unreachable.
#[derive(Clone, Debug)]
pub struct Target(Infallible);
#[derive(Debug)]
pub enum Database {}
#[derive(Debug)]
pub struct Writer(Infallible);
#[derive(Debug)]
pub enum Reader {}
#[derive(Debug)]
pub struct Listener(Infallible);
#[derive(Debug)]
pub enum AuditSource {}

impl Target {
    pub const fn parse(_url: &str) -> Result<Self, BadTarget> {
        Err(BadTarget)
    }
    #[must_use]
    pub const fn for_writing(self) -> Self {
        match self.0 {}
    }
    pub const fn has_several_hosts(&self) -> bool {
        match self.0 {}
    }
    pub const fn describe(&self) -> String {
        match self.0 {}
    }
}

impl Database {
    pub const fn open(options: &Options) -> Result<Self, StoreError> {
        match options.target.0 {}
    }
    pub const fn open_existing(options: &Options) -> Result<Self, StoreError> {
        match options.target.0 {}
    }
    pub const fn migration_status(options: &Options) -> Result<Vec<Status>, StoreError> {
        match options.target.0 {}
    }
    pub const fn writer(&self) -> Writer {
        match *self {}
    }
    pub const fn reader(&self) -> Result<Reader, StoreError> {
        match *self {}
    }
    pub const fn statement_reader(&self) -> Result<Reader, StoreError> {
        match *self {}
    }
    pub const fn listener(&self) -> Listener {
        match *self {}
    }
    pub const fn audit(&self, _seq: u64) -> Result<AuditSource, StoreError> {
        match *self {}
    }
    pub const fn import(&self) -> Result<AuditSource, StoreError> {
        match *self {}
    }
    pub const fn accept_signing_keys(&self, _fingerprints: &[[u8; 32]]) -> Result<bool, StoreError> {
        match *self {}
    }
    pub const fn describe(&self) -> String {
        match *self {}
    }
}

impl Writer {
    pub async fn commit(&mut self, _: &[Command], _: Clock<'_>) -> Result<Vec<Outcome>, StoreError> {
        match self.0 {}
    }
    pub const fn last_seq(&self) -> u64 {
        match self.0 {}
    }
    pub async fn head(&mut self) -> Result<Head, StoreError> {
        match self.0 {}
    }
    pub async fn first_due(&mut self, _: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        match self.0 {}
    }
}

impl Listener {
    pub async fn heard(&mut self) {
        match self.0 {}
    }
    pub const fn rest(&mut self) {
        match self.0 {}
    }
}

impl Reader {
    pub async fn head(&self) -> Result<Head, StoreError> {
        match *self {}
    }
    pub async fn user(&self, _: UserId) -> Result<Option<User>, StoreError> {
        match *self {}
    }
    pub async fn credentials(&self, _: &str) -> Result<Option<Credentials>, StoreError> {
        match *self {}
    }
    pub async fn account(&self, _: AccountId) -> Result<Option<Account>, StoreError> {
        match *self {}
    }
    pub async fn accounts(&self, _: AccountQuery) -> Result<Vec<Account>, StoreError> {
        match *self {}
    }
    pub async fn entries(&self, _: EntryQuery) -> Result<Vec<Entry>, StoreError> {
        match *self {}
    }
    pub async fn entries_of_primary(&self, _: EntryQuery) -> Result<Vec<Entry>, StoreError> {
        match *self {}
    }
    pub async fn transfer(&self, _: TransferId) -> Result<Option<Transfer>, StoreError> {
        match *self {}
    }
    pub async fn transfers(&self, _: TransferQuery<'_>) -> Result<Stretch, StoreError> {
        match *self {}
    }
    pub async fn first_transfer_at(&self, _: Timestamp) -> Result<u64, StoreError> {
        match *self {}
    }
    pub async fn events(&self, _: u64, _: u32) -> Result<Vec<Event>, StoreError> {
        match *self {}
    }
    pub async fn transfers_by_id(&self, _: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        match *self {}
    }
    pub async fn owners(&self, _: &[AccountId]) -> Result<Vec<(AccountId, UserId)>, StoreError> {
        match *self {}
    }
    pub async fn statement_span(&self, _: SpanQuery) -> Result<Span, StoreError> {
        match *self {}
    }
    pub async fn statement_lines(&self, _: LineQuery) -> Result<Vec<Line>, StoreError> {
        match *self {}
    }
}

impl Source for AuditSource {
    fn head(&self) -> Result<Head, StoreError> {
        match *self {}
    }
    fn row_counts(&self) -> Result<RowCounts, StoreError> {
        match *self {}
    }
    fn each_event<E: From<StoreError>>(&self, _: impl FnMut(StoredEvent) -> Result<(), E>) -> Result<(), E> {
        match *self {}
    }
    fn each_logged<E: From<StoreError>>(&self, _: impl FnMut(LoggedEvent) -> Result<(), E>) -> Result<(), E> {
        match *self {}
    }
    fn accounts_after(&self, _: Option<AccountId>) -> Result<Vec<(Account, Money)>, StoreError> {
        match *self {}
    }
    fn each_entry<E: From<StoreError>>(&self, _: impl FnMut(Entry) -> Result<(), E>) -> Result<(), E> {
        match *self {}
    }
    fn each_user<E: From<StoreError>>(&self, _: impl FnMut(Credentials) -> Result<(), E>) -> Result<(), E> {
        match *self {}
    }
    fn each_key<E: From<StoreError>>(
        &self,
        _: impl FnMut(KeptKey, Option<Vec<u8>>) -> Result<(), E>,
    ) -> Result<(), E> {
        match *self {}
    }
    fn orphan(&self) -> Result<Option<String>, StoreError> {
        match *self {}
    }
    fn key_applied_twice(&self) -> Result<Option<(u64, String)>, StoreError> {
        match *self {}
    }
    fn last_key_use(&self) -> Result<Option<Timestamp>, StoreError> {
        match *self {}
    }
}

impl AuditSource {
    pub const fn is_replica(&self) -> bool {
        match *self {}
    }
    pub(crate) const fn commit(&self) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn execute(&self, _: &str) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn settle(&self) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn save_users(&self, _: &[Credentials]) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn save_accounts(&self, _: &[Account]) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn accounts(&self, _: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        match *self {}
    }
    pub(crate) const fn transfers_of(&self, _: &[TransferId]) -> Result<Vec<Transfer>, StoreError> {
        match *self {}
    }
    pub(crate) const fn save_log(&self, _: &[LoggedEvent]) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn save_changes(&self, _: &Changes) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn save_keys(&self, _: &[KeptKey]) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn save_head(&self, _: Head) -> Result<(), StoreError> {
        match *self {}
    }
    pub(crate) const fn ownerless_account(&self) -> Result<Option<AccountId>, StoreError> {
        match *self {}
    }
}
