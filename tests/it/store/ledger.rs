//! A ledger on a store of some kind, and the words in which cases speak of it.
//!
//! Owns connections, clock and ids, so that a case is about its subject. Knows no database: where the store is
//! kept is a [`Fixture`]'s business.

mod commands;

use std::sync::Arc;

use ringledger::models::money::MAX_MINOR_UNITS;
use ringledger::models::posting::{
    BatchItem, BatchOutcome, BatchRequest, Command, Entry, ExpireHolds, HoldDecision, HoldRequest,
    OpenAccount, Outcome, Owner, RegisterUser, Rejection, ReversalRequest, TransferRequest,
};
use ringledger::models::user::BUILT_IN_OPERATOR;
use ringledger::models::{
    Account, AccountId, Actor, Amount, Fingerprint, Head, Hold, IdempotencyKey, Money, Role, Terms,
    Timestamp, Transfer, TransferId, UserId,
};
use ringledger::services::audit::{Audited, audit};
use ringledger::store::{AccountQuery, EntryQuery, Location, Reader, Store, StoreError, Writer};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Who may do anything.
pub(crate) const OPERATOR: Actor = Actor { id: BUILT_IN_OPERATOR, role: Role::Operator };
/// No account of this id is ever opened.
pub(crate) const NOWHERE: AccountId = AccountId::from_uuid(Uuid::nil());
/// More rows than any case makes.
pub(crate) const ALL: u32 = 100_000;

/// Where one ledger is kept. What is kept goes away with the fixture.
pub(crate) trait Fixture {
    /// The store's place, empty until it is opened.
    fn location(&self) -> Location;

    /// An empty place on a store of the same kind.
    fn another(&self) -> Box<dyn Fixture>;

    /// How many idempotency records are kept, for which the contract has no query.
    fn kept_keys(&self) -> u64;

    /// Changes rows behind the store's back.
    fn execute(&self, sql: &str);
}

/// An opened ledger.
pub(crate) struct Ledger {
    pub(crate) store: Store,
    pub(crate) reader: Reader,
    writer: Writer,
    /// What the next commit is told of the time; starts at [`second`] 0.
    pub(crate) clock: Timestamp,
    /// How many ids were made.
    made: u128,
    runtime: Runtime,
    // Last, so that the connections are closed before the place goes away.
    pub(crate) fixture: Box<dyn Fixture>,
}

impl Ledger {
    /// An empty ledger.
    pub(crate) fn new(fixture: Box<dyn Fixture>) -> Self {
        Self::opened(fixture, second(0), 0)
    }

    fn opened(fixture: Box<dyn Fixture>, clock: Timestamp, made: u128) -> Self {
        let store = Store::open(&fixture.location()).unwrap();
        let (writer, reader) = (store.writer().unwrap(), store.reader().unwrap());
        Self { store, reader, writer, clock, made, runtime: runtime(), fixture }
    }

    /// An empty ledger beside this one, on a store of the same kind.
    pub(crate) fn elsewhere(&self) -> Self {
        Self::new(self.fixture.another())
    }

    /// The same ledger after an orderly restart.
    pub(crate) fn reopened(self) -> Self {
        let (clock, made) = (self.clock, self.made);
        Self::opened(self.closed(), clock, made)
    }

    /// The place of the ledger after its orderly end.
    pub(crate) fn closed(self) -> Box<dyn Fixture> {
        let Self { store, reader, writer, fixture, .. } = self;
        drop((reader, store));
        writer.close().unwrap();
        fixture
    }

    /// The same ledger after a restart that nobody prepared.
    pub(crate) fn abandoned(self) -> Self {
        let Self { store, reader, writer, clock, made, runtime: _, fixture } = self;
        drop((writer, reader, store));
        Self::opened(fixture, clock, made)
    }

    // Changes.

    /// Commits a batch at [`Self::clock`].
    #[track_caller]
    pub(crate) fn commit(&mut self, commands: &[Command]) -> Vec<Outcome> {
        let outcomes = self.try_commit(commands).unwrap();
        assert_eq!(outcomes.len(), commands.len());
        outcomes
    }

    /// Commits a batch that the store may refuse as a whole.
    pub(crate) fn try_commit(&mut self, commands: &[Command]) -> Result<Vec<Outcome>, StoreError> {
        let clock = self.clock;
        self.runtime.block_on(self.writer.commit(commands, &|| clock))
    }

    /// The end of the log as the writer's connection sees it.
    #[track_caller]
    pub(crate) fn writers_head(&mut self) -> Head {
        self.runtime.block_on(self.writer.head()).unwrap()
    }

    /// When the first hold with a time limit ends.
    #[track_caller]
    pub(crate) fn next_expiry(&mut self) -> Option<Timestamp> {
        self.runtime.block_on(self.writer.first_due(the_end())).unwrap()
    }

    /// The first time limit that is up at [`Self::clock`].
    #[track_caller]
    pub(crate) fn first_due(&mut self) -> Option<Timestamp> {
        self.runtime.block_on(self.writer.first_due(self.clock)).unwrap()
    }

    /// Commits one command.
    #[track_caller]
    pub(crate) fn decide(&mut self, command: impl Into<AnyCommand>) -> Outcome {
        let AnyCommand(command) = command.into();
        self.commit(&[command]).remove(0)
    }

    /// Makes a user.
    #[track_caller]
    pub(crate) fn user(&mut self, name: &str) -> Actor {
        let registration = self.registration(name);
        match self.decide(registration) {
            Outcome::Registered(user) => Actor { id: user.id, role: user.role },
            other => panic!("{other:?}"),
        }
    }

    /// Opens a euro account of the operator's that has no floor: where money comes from.
    #[track_caller]
    pub(crate) fn bank(&mut self) -> AccountId {
        let opening = OpenAccount { min_balance: None, ..self.opening(OPERATOR.id) };
        opened(self.decide(opening)).id
    }

    /// Opens a euro account of the operator's that may not fall below 0.
    #[track_caller]
    pub(crate) fn purse(&mut self) -> AccountId {
        self.purse_of(OPERATOR)
    }

    /// Opens somebody's euro account that may not fall below 0.
    #[track_caller]
    pub(crate) fn purse_of(&mut self, owner: Actor) -> AccountId {
        let opening = self.opening(owner.id);
        opened(self.decide(opening)).id
    }

    /// Moves euros.
    #[track_caller]
    pub(crate) fn pay(&mut self, debit: AccountId, credit: AccountId, amount: i64) -> Arc<Transfer> {
        let payment = self.payment(debit, credit, amount);
        posted(self.decide(payment))
    }

    /// Holds euros, for some seconds if not for ever.
    #[track_caller]
    pub(crate) fn reserve(
        &mut self,
        debit: AccountId,
        credit: AccountId,
        amount: i64,
        timeout_s: Option<u32>,
    ) -> Arc<Transfer> {
        let holding = self.holding(debit, credit, amount, timeout_s);
        posted(self.decide(holding))
    }

    // Reads.

    /// What a query of [`Self::reader`] finds.
    #[track_caller]
    pub(crate) fn read<T>(&self, query: impl Future<Output = Result<T, StoreError>>) -> T {
        self.runtime.block_on(query).unwrap()
    }

    #[track_caller]
    pub(crate) fn head(&self) -> Head {
        self.read(self.reader.head())
    }

    #[track_caller]
    pub(crate) fn account(&self, id: AccountId) -> Account {
        self.read(self.reader.account(id)).unwrap_or_else(|| panic!("no account {id}"))
    }

    /// Balance and held of an account.
    #[track_caller]
    pub(crate) fn funds(&self, id: AccountId) -> (i64, i64) {
        let account = self.account(id);
        (account.balance.minor_units(), account.held.minor_units())
    }

    #[track_caller]
    pub(crate) fn transfer(&self, id: TransferId) -> Transfer {
        self.read(self.reader.transfer(id)).unwrap_or_else(|| panic!("no transfer {id}"))
    }

    #[track_caller]
    pub(crate) fn balance(&self, id: AccountId) -> i64 {
        self.account(id).balance.minor_units()
    }

    /// All accounts, in the order of the store.
    #[track_caller]
    pub(crate) fn accounts(&self) -> Vec<Account> {
        self.read(self.reader.accounts(AccountQuery { owner: None, after: None, limit: ALL }))
    }

    /// All entries of an account, newest first.
    #[track_caller]
    pub(crate) fn entries(&self, account_id: AccountId) -> Vec<Entry> {
        let query = EntryQuery { account_id, before_seq: None, from: None, to: None, limit: ALL };
        self.read(self.reader.entries(query))
    }

    /// Audits the ledger, which must hold and end where the reader says it ends.
    #[track_caller]
    pub(crate) fn audit(&self) -> Audited {
        let audited = audit(&self.store.audit().unwrap(), None, |_| ()).unwrap();
        assert_eq!(audited.head, self.head());
        audited
    }
}

/// One command of any kind.
pub(crate) struct AnyCommand(Command);

impl From<Command> for AnyCommand {
    fn from(command: Command) -> Self {
        Self(command)
    }
}

macro_rules! any_command {
    ($($kind:ident: $command:ident),+) => {$(
        impl From<$command> for AnyCommand {
            fn from(command: $command) -> Self {
                Self(Command::$kind(command))
            }
        }
    )+};
}

any_command! {
    RegisterUser: RegisterUser, OpenAccount: OpenAccount, Transfer: TransferRequest, Resolve: HoldRequest,
    Reverse: ReversalRequest, Batch: BatchRequest, ExpireHolds: ExpireHolds
}

/// A runtime for one thread's queries.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// The latest time that there is.
pub(crate) fn the_end() -> Timestamp {
    Timestamp::EPOCH.saturating_add_seconds(i64::MAX)
}

/// Seconds after the beginning of 2026.
pub(crate) fn second(seconds: i64) -> Timestamp {
    micros_after(Timestamp::from_micros(1_767_225_600_000_000).unwrap(), seconds * 1_000_000)
}

/// A time moved by microseconds.
pub(crate) fn micros_after(time: Timestamp, micros: i64) -> Timestamp {
    Timestamp::from_micros(time.as_micros() + micros).unwrap()
}

/// An idempotency key.
pub(crate) fn key_of(key: &str) -> IdempotencyKey {
    key.parse().unwrap()
}

/// Minor units as money.
pub(crate) fn money(minor_units: i64) -> Money {
    Money::new(minor_units).unwrap()
}

/// The most that can be moved, or be on an account.
pub(crate) fn most() -> Amount {
    Amount::new(MAX_MINOR_UNITS).unwrap()
}

/// Plain terms in euros.
pub(crate) fn euros(debit: AccountId, credit: AccountId, amount: i64) -> Terms {
    Terms {
        debit_account: debit,
        credit_account: credit,
        amount: Amount::new(amount).unwrap(),
        currency: "EUR".parse().unwrap(),
        description: None,
        metadata: None,
        reference: None,
    }
}

/// The account that was opened.
#[track_caller]
pub(crate) fn opened(outcome: Outcome) -> Account {
    match outcome {
        Outcome::Opened(account) => account,
        other => panic!("{other:?}"),
    }
}

/// The transfer that was made, ended or reversed by this very command.
#[track_caller]
pub(crate) fn posted(outcome: Outcome) -> Arc<Transfer> {
    match outcome {
        Outcome::Transferred { transfer, replayed: false } => transfer,
        other => panic!("{other:?}"),
    }
}

/// Why this very command was rejected.
#[track_caller]
pub(crate) fn rejected(outcome: Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected { rejection, replayed: false, .. } => rejection,
        other => panic!("{other:?}"),
    }
}

/// What became of this very batch of transfers.
#[track_caller]
pub(crate) fn judged(outcome: Outcome) -> Arc<BatchOutcome> {
    match outcome {
        Outcome::Batch { batch, replayed: false } => batch,
        other => panic!("{other:?}"),
    }
}

/// The same outcome as it is told to a later command with the key.
#[track_caller]
pub(crate) fn replay_of(outcome: &Outcome) -> Outcome {
    match outcome.clone() {
        Outcome::Transferred { transfer, .. } => Outcome::Transferred { transfer, replayed: true },
        Outcome::Rejected { rejection, request_id, .. } => {
            Outcome::Rejected { rejection, request_id, replayed: true }
        }
        Outcome::Batch { batch, .. } => Outcome::Batch { batch, replayed: true },
        other => panic!("{other:?} is not kept"),
    }
}
