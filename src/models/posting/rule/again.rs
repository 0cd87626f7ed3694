//! The judgement of a batch that may have been committed before, by an attempt whose end nobody saw.
//!
//! What such an attempt has left behind is the outcome of its commands, and no replay: their callers were told nothing
//! yet. New users and accounts are known by their ids. The use of a key is known by the record that the attempt would
//! have kept, since a post or a void has no id of its own.

use std::collections::HashMap;

use super::{Use, decided};
use crate::models::idempotency::is_alive;
use crate::models::posting::books::{Books, KeyRecord};
use crate::models::posting::{Command, Outcome};
use crate::models::{Account, IdempotencyKey, Money, UserId};

/// Attempts at a batch whose ends nobody saw, by what they would have kept under its keys.
#[derive(Debug, Clone, Default)]
pub struct Unseen {
    any: bool,
    kept: HashMap<(UserId, IdempotencyKey), Vec<KeyRecord>>,
}

impl Unseen {
    /// Whether there was none.
    pub const fn is_empty(&self) -> bool {
        !self.any
    }

    /// Adds one; `keys` are its journal's.
    pub fn add(&mut self, keys: Vec<((UserId, IdempotencyKey), KeyRecord)>) {
        self.any = true;
        for (name, record) in keys {
            self.kept.entry(name).or_default().push(record);
        }
    }

    /// Whether one of them has left this record. It is the outcome of the first command with this key, so it is told
    /// once: the next one is a replay.
    fn take(&mut self, name: &(UserId, IdempotencyKey), record: &KeyRecord) -> bool {
        let own = self.kept.get(name).is_some_and(|kept| kept.contains(record));
        if own {
            self.kept.remove(name);
        }
        own
    }
}

impl Books {
    /// Judges a command after attempts whose ends nobody saw. The books must be of after them, and the commands of the
    /// batch in the order of then; what is told of `unseen` is taken from it.
    pub fn decide_again(&mut self, command: &Command, unseen: &mut Unseen) -> Outcome {
        self.left_behind(command, unseen).unwrap_or_else(|| {
            let before = self.journal.keys.len();
            let outcome = self.decide(command);
            // No attempt can have used a key that was free until now.
            self.journal.keys[before..].iter().for_each(|(name, _)| drop(unseen.kept.remove(name)));
            outcome
        })
    }

    /// The outcome of this very command, if it was committed.
    fn left_behind(&self, command: &Command, unseen: &mut Unseen) -> Option<Outcome> {
        match command {
            Command::RegisterUser(command) => self.users.get(&command.id).cloned().map(Outcome::Registered),
            Command::OpenAccount(command) => {
                let account = self.accounts.get(&command.id)?;
                let fresh =
                    Account { balance: Money::ZERO, held: Money::ZERO, version: 1, ..account.clone() };
                Some(Outcome::Opened(fresh))
            }
            Command::Transfer(request) => self.own_outcome(&Use::of_transfer(request), unseen),
            Command::Resolve(request) => self.own_outcome(&Use::of_hold(request), unseen),
            Command::Reverse(request) => self.own_outcome(&Use::of_reversal(request), unseen),
            Command::Batch(request) => self.own_outcome(&Use::of_batch(request), unseen),
            // Holds that were let go are no longer pending.
            Command::ExpireHolds(_) => None,
        }
    }

    /// The outcome under a key, if this very command left it there.
    fn own_outcome(&self, used: &Use<'_>, unseen: &mut Unseen) -> Option<Outcome> {
        let name = used.name();
        let record = self.keys.get(&name)?;
        let fits = record.fingerprint == used.fingerprint && is_alive(record.used_at, self.now);
        (fits && unseen.take(&name, record)).then(|| decided(record.outcome.clone(), false))
    }
}
