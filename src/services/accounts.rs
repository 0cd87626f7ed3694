//! Accounts: opening, reading, their entries.

use super::{ServiceError, Services, now, permit};
use crate::models::account::AccountName;
use crate::models::posting::{Command, Entry, OpenAccount, Outcome, Owner};
use crate::models::{Account, AccountId, Actor, Currency, Money, Role, Timestamp};
use crate::store::{AccountQuery, EntryQuery};
use crate::telemetry::ids::uuid_v7;

/// What a caller wants opened.
#[derive(Debug)]
pub struct NewAccount {
    /// What it counts.
    pub currency: Currency,
    /// What the owner calls it.
    pub name: Option<AccountName>,
    /// Whose it is to be; the caller's own if absent.
    pub owner: Option<Owner>,
    /// The least that `available` may fall to; `None` means no bound.
    pub min_balance: Option<Money>,
}

impl Services {
    /// Opens an account. Only operators open one for somebody else, or with a `min_balance` other than 0.
    pub async fn open_account(&self, actor: Actor, wanted: NewAccount) -> Result<Account, ServiceError> {
        if actor.role != Role::Operator {
            if wanted.min_balance != Some(Money::ZERO) {
                return Err(ServiceError::Forbidden("Only an operator may set min_balance."));
            }
            self.permit_owner(actor, wanted.owner.as_ref()).await?;
        }
        let command = Command::OpenAccount(OpenAccount {
            id: AccountId::from_uuid(uuid_v7()),
            owner: wanted.owner.unwrap_or(Owner::Id(actor.id)),
            name: wanted.name,
            currency: wanted.currency,
            min_balance: wanted.min_balance,
        });
        match self.lane.submit(command).await? {
            Outcome::Opened(account) => Ok(account),
            Outcome::OwnerNotFound => Err(ServiceError::OwnerNotFound),
            _ => Err(ServiceError::UnexpectedOutcome),
        }
    }

    /// Lets a user name nobody but themselves.
    async fn permit_owner(&self, actor: Actor, owner: Option<&Owner>) -> Result<(), ServiceError> {
        let own = match owner {
            None => true,
            Some(Owner::Id(id)) => *id == actor.id,
            Some(Owner::Name(name)) => self.user(actor).await?.username.folded() == name.folded(),
        };
        if own {
            Ok(())
        } else {
            Err(ServiceError::Forbidden("Only an operator may open an account for another user."))
        }
    }

    /// An account that the actor may see.
    pub async fn account(&self, actor: Actor, id: AccountId) -> Result<Account, ServiceError> {
        let account = self.reader.account(id).await?.ok_or(ServiceError::NotFound)?;
        permit(&actor, account.owner, "The account belongs to another user.")?;
        Ok(account)
    }

    /// A stretch of the accounts that the actor may see, in ascending order of id.
    pub async fn accounts(
        &self,
        actor: Actor,
        after: Option<AccountId>,
        limit: u32,
    ) -> Result<Vec<Account>, ServiceError> {
        let owner = (actor.role != Role::Operator).then_some(actor.id);
        Ok(self.reader.accounts(AccountQuery { owner, after, limit }).await?)
    }

    /// A stretch of the entries of an account that the actor may see, newest first.
    pub async fn entries(&self, actor: Actor, query: EntryQuery) -> Result<Vec<Entry>, ServiceError> {
        self.account(actor, query.account_id).await?;
        Ok(self.reader.entries(query).await?)
    }
    /// The balance of an account that the actor may see after its last entry at or before `at`, and that time; 0 before
    /// its first entry, even before it was opened. Without a time, the balance now.
    ///
    /// The past is settled once a later event is in the log; a batch that is being committed may still be dated
    /// a moment back.
    pub async fn balance(
        &self,
        actor: Actor,
        id: AccountId,
        at: Option<Timestamp>,
    ) -> Result<(Money, Timestamp), ServiceError> {
        self.account(actor, id).await?;
        let now = now();
        // The log's clock may be ahead of this host's.
        if let Some(at) = at.filter(|&at| at > now)
            && at > self.reader.head().await?.at
        {
            return Err(ServiceError::TimeToCome(at));
        }
        Ok(match (self.reader.last_entry(id, at).await?, at) {
            (Some(entry), Some(at)) => (entry.balance, at),
            (Some(entry), None) => (entry.balance, now.max(entry.created_at)),
            (None, at) => (Money::ZERO, at.unwrap_or(now)),
        })
    }
}
