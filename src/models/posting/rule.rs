//! The judgement of one command against the books.

use std::sync::Arc;

use super::books::{Books, KeyOutcome, KeyRecord, NewUser};
use super::{Command, OpenAccount, Outcome, Owner, RegisterUser, Rejection, Side, TransferRequest};
use crate::models::account::MoveError;
use crate::models::event::Creation;
use crate::models::idempotency::is_alive;
use crate::models::{Account, Event, EventKind, Money, Transfer, User};

impl Books {
    /// Judges one command and changes the books accordingly.
    pub fn decide(&mut self, command: &Command) -> Outcome {
        match command {
            Command::RegisterUser(user) => self.register_user(user),
            Command::OpenAccount(account) => self.open_account(account),
            Command::Transfer(request) => self.transfer(request),
        }
    }

    /// Judges a command that may have been committed before, by an attempt whose end nobody saw: what it left then is
    /// its outcome, and no replay. The books must be of after that attempt.
    pub fn decide_again(&mut self, command: &Command) -> Outcome {
        self.left_behind(command).unwrap_or_else(|| self.decide(command))
    }

    /// The outcome of this very command, by the ids that it alone can have brought.
    fn left_behind(&self, command: &Command) -> Option<Outcome> {
        match command {
            Command::RegisterUser(command) => self.users.get(&command.id).cloned().map(Outcome::Registered),
            Command::OpenAccount(command) => {
                let account = self.accounts.get(&command.id)?;
                let fresh =
                    Account { balance: Money::ZERO, held: Money::ZERO, version: 1, ..account.clone() };
                Some(Outcome::Opened(fresh))
            }
            Command::Transfer(request) => {
                let record = self.keys.get(&(request.actor.id, request.key.clone()))?;
                let fits = record.fingerprint == request.fingerprint && is_alive(record.used_at, self.now);
                let own = fits
                    && match &record.outcome {
                        KeyOutcome::Transfer(transfer) => transfer.id == request.id,
                        KeyOutcome::Rejected(_, request_id) => *request_id == request.request_id,
                    };
                own.then(|| decided(record.outcome.clone(), false))
            }
        }
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

    fn transfer(&mut self, request: &TransferRequest) -> Outcome {
        let key = (request.actor.id, request.key.clone());
        if let Some(record) = self.keys.get(&key).filter(|record| is_alive(record.used_at, self.now)) {
            return replay(record, request);
        }
        let outcome = match self.check(request) {
            Ok(after) => KeyOutcome::Transfer(self.post(request, after)),
            Err(Refusal::Forbidden) => return Outcome::Forbidden,
            Err(Refusal::Rejected(rejection)) => KeyOutcome::Rejected(rejection, request.request_id.clone()),
        };
        let record = KeyRecord { fingerprint: request.fingerprint, used_at: self.now, outcome };
        let decided = decided(record.outcome.clone(), false);
        self.remember(key, record);
        decided
    }

    fn check(&self, request: &TransferRequest) -> Result<BalancesAfter, Refusal> {
        let terms = &request.terms;
        if terms.debit_account == terms.credit_account {
            return Err(Rejection::SameAccount.into());
        }
        let not_found = |side| Rejection::AccountNotFound { side };
        let debit = self.accounts.get(&terms.debit_account).ok_or(not_found(Side::Debit))?;
        if !request.actor.may_use(debit.owner) {
            return Err(Refusal::Forbidden);
        }
        let credit = self.accounts.get(&terms.credit_account).ok_or(not_found(Side::Credit))?;
        for (side, account) in [(Side::Debit, debit), (Side::Credit, credit)] {
            if account.currency != terms.currency {
                return Err(Rejection::CurrencyMismatch { side, currency: account.currency }.into());
            }
        }
        let debited = debit.after_debit(terms.amount).map_err(|error| match error {
            MoveError::Insufficient => Rejection::InsufficientFunds { available: debit.available() },
            MoveError::Overflow => Rejection::BalanceOverflow { side: Side::Debit },
        })?;
        let credited = credit
            .after_credit(terms.amount)
            .map_err(|_| Rejection::BalanceOverflow { side: Side::Credit })?;
        Ok(BalancesAfter { debit: debited, credit: credited })
    }

    fn post(&mut self, request: &TransferRequest, after: BalancesAfter) -> Arc<Transfer> {
        let event = Event {
            seq: self.next_seq(),
            at: self.now,
            transfer_id: request.id,
            kind: EventKind::Created(Creation {
                terms: request.terms.clone(),
                pending: false,
                expires_at: None,
                created_by: request.actor.id,
                idempotency_key: request.key.clone(),
            }),
        };
        self.log(&event);
        let transfer = Arc::new(event.created_transfer().expect("a created event makes a transfer"));
        let amount = request.terms.amount.money();
        self.enter(request.terms.debit_account, after.debit, amount.negated(), &transfer);
        self.enter(request.terms.credit_account, after.credit, amount, &transfer);
        self.journal.transfers.push(Arc::clone(&transfer));
        transfer
    }
}

/// The balances that a transfer would leave.
#[derive(Clone, Copy)]
struct BalancesAfter {
    debit: Money,
    credit: Money,
}

/// A no, stored under the key or not.
enum Refusal {
    Rejected(Rejection),
    Forbidden,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

fn replay(record: &KeyRecord, request: &TransferRequest) -> Outcome {
    if record.fingerprint == request.fingerprint {
        decided(record.outcome.clone(), true)
    } else {
        Outcome::KeyReused
    }
}

fn decided(outcome: KeyOutcome, replayed: bool) -> Outcome {
    match outcome {
        KeyOutcome::Transfer(transfer) => Outcome::Transferred { transfer, replayed },
        KeyOutcome::Rejected(rejection, request_id) => Outcome::Rejected { rejection, request_id, replayed },
    }
}
