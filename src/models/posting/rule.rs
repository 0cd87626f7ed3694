//! The judgement of one command against the books.

mod again;
mod batches;
mod holds;
mod reversals;
mod transfers;

pub use self::again::Unseen;
use super::books::{Books, KeyOutcome, KeyRecord, NewUser};
use super::{Command, OpenAccount, Outcome, Owner, Refusal, RegisterUser, Rejection};
use crate::models::idempotency::is_alive;
use crate::models::{Account, Actor, Event, EventKind, Fingerprint, IdempotencyKey, TransferId, User};

impl Books {
    /// Judges one command and changes the books accordingly.
    pub fn decide(&mut self, command: &Command) -> Outcome {
        match command {
            Command::RegisterUser(user) => self.register_user(user),
            Command::OpenAccount(account) => self.open_account(account),
            Command::Transfer(request) => self.transfer(request),
            Command::Resolve(request) => self.resolve(request),
            Command::Reverse(request) => self.reverse(request),
            Command::Batch(request) => self.batch(request),
            Command::ExpireHolds(expire) => self.expire_holds(*expire),
        }
    }

    /// What a key stands for, if it does: the replay of its outcome, or the refusal of another use.
    fn earlier(&self, used: &Use<'_>) -> Option<Outcome> {
        let name = used.name();
        if self.damaged_keys.contains(&name) {
            return Some(Outcome::KeyDamaged);
        }
        let record = self.keys.get(&name).filter(|record| is_alive(record.used_at, self.now))?;
        Some(if record.fingerprint == used.fingerprint {
            decided(record.outcome.clone(), true)
        } else {
            Outcome::KeyReused
        })
    }

    /// Keeps what was judged under its key, but for what leaves the key free.
    fn settle(&mut self, used: &Use<'_>, judged: Result<KeyOutcome, No>) -> Outcome {
        let outcome = match judged {
            Ok(outcome) => outcome,
            Err(No::NotFound) => return Outcome::NotFound,
            Err(No::Forbidden) => return Outcome::Forbidden,
            Err(No::Rejected(rejection)) => KeyOutcome::Rejected(rejection, used.request_id.into()),
        };
        let record = KeyRecord { fingerprint: used.fingerprint, used_at: self.now, outcome: outcome.clone() };
        self.remember(used.name(), record);
        decided(outcome, false)
    }

    /// The next event, about this transfer.
    fn next_event(&self, transfer_id: TransferId, kind: EventKind) -> Event {
        Event { seq: self.next_seq(), at: self.now, transfer_id, kind }
    }

    fn register_user(&mut self, command: &RegisterUser) -> Outcome {
        if self.usernames.contains_key(&command.username.folded()) {
            return Outcome::UsernameTaken;
        }
        let user = User {
            id: command.id,
            username: command.username.clone(),
            role: command.role,
            created_at: self.now,
        };
        self.register(NewUser { user: user.clone(), password_hash: command.password_hash.clone() });
        Outcome::Registered(user)
    }

    fn open_account(&mut self, command: &OpenAccount) -> Outcome {
        let owner = match &command.owner {
            Owner::Id(id) => self.users.get(id).map(|user| &user.id),
            Owner::Name(name) => self.usernames.get(&name.folded()),
        };
        let Some(owner) = owner.copied() else {
            return Outcome::OwnerNotFound;
        };
        let account = Account::opened(
            command.id,
            owner,
            command.name.clone(),
            command.currency,
            command.min_balance,
            self.now,
        );
        self.open(account.clone());
        Outcome::Opened(account)
    }
}

/// What a command uses its key for.
struct Use<'a> {
    actor: Actor,
    key: &'a IdempotencyKey,
    fingerprint: Fingerprint,
    request_id: &'a str,
}

macro_rules! use_of {
    ($($name:ident: $request:ident),*) => {$(
        fn $name(request: &'a super::$request) -> Self {
            let super::$request { actor, key, fingerprint, request_id, .. } = request;
            Self { actor: *actor, key, fingerprint: *fingerprint, request_id }
        }
    )*};
}

impl<'a> Use<'a> {
    use_of!(of_transfer: TransferRequest, of_hold: HoldRequest, of_reversal: ReversalRequest, of_batch: BatchRequest);

    fn name(&self) -> (crate::models::UserId, IdempotencyKey) {
        (self.actor.id, self.key.clone())
    }
}

/// A no. Only a rejection is kept under the key.
enum No {
    NotFound,
    Forbidden,
    Rejected(Rejection),
}

impl From<Rejection> for No {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Rejected(rejection) => Self::Rejected(rejection),
            Refusal::Forbidden | Refusal::Aborted => Self::Forbidden,
        }
    }
}

fn decided(outcome: KeyOutcome, replayed: bool) -> Outcome {
    match outcome {
        KeyOutcome::Transfer { transfer, .. } => Outcome::Transferred { transfer, replayed },
        KeyOutcome::Rejected(rejection, request_id) => Outcome::Rejected { rejection, request_id, replayed },
        KeyOutcome::Batch(batch) => Outcome::Batch { batch, replayed },
        KeyOutcome::Unread => Outcome::KeyReused,
    }
}
