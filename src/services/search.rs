//! The search for transfers: which index is walked, and what of it is wanted.
//!
//! One filter chooses the index, the others are looked at row by row. Each page looks at a bounded number of rows;
//! one that found less than it may show, with more behind it, is short and goes on where it stopped.

use std::collections::{BTreeMap, HashSet};

use super::{ServiceError, Services};
use crate::models::transfer::Reference;
use crate::models::{AccountId, Actor, IdempotencyKey, Role, Timestamp, Transfer, TransferStatus};
use crate::store::{AccountQuery, Reader, StoreError, Stretch, TransferIndex, TransferQuery};

/// Rows that a page looks at in each index: bounds what a search for a common value costs, some 10 ms on SQLite.
const SCAN_ROWS: u32 = 4_000;
/// Rows of a stretch once the first one did not fill the page. Between two stretches others have their turn, so it bounds
/// what is in memory at once and, with [`OWN_ACCOUNTS`], how long a search on SQLite holds up its core: some 1 ms for the
/// rows, and the walks.
const STRETCH_ROWS: u32 = 256;
/// Accounts of a user who names none; with more, one must be named. Each costs a stretch up to three walks of some 3 µs,
/// so all of them some 2 ms.
const OWN_ACCOUNTS: u32 = 256;

/// Which transfers are wanted. All that is given must hold.
#[derive(Debug, Clone)]
pub struct TransferSearch {
    /// Debits or credits this account.
    pub account: Option<AccountId>,
    /// Stands here now.
    pub status: Option<TransferStatus>,
    /// Has this reference.
    pub reference: Option<Reference>,
    /// Was asked with this key.
    pub key: Option<IdempotencyKey>,
    /// Was made at or after this time.
    pub from: Option<Timestamp>,
    /// Was made before this time.
    pub to: Option<Timestamp>,
    /// Has a smaller `seq`.
    pub before_seq: Option<u64>,
    /// How many at most.
    pub limit: u32,
}

impl Services {
    /// Transfers that the actor may see, in descending order of `seq`. A named account must be the actor's, unless
    /// the actor is an operator; without one a user finds what touches any of their own accounts.
    ///
    /// [`Stretch::rest`] is set while there may be more, whether or not the page is full.
    pub async fn transfers(&self, actor: Actor, search: &TransferSearch) -> Result<Stretch, ServiceError> {
        let accounts = self.searched_accounts(actor, search.account).await?;
        Ok(find(&self.reader, search, accounts.as_deref(), async || self.turns.next().await).await?)
    }

    /// The accounts that a transfer must touch one of; `None` for any.
    async fn searched_accounts(
        &self,
        actor: Actor,
        named: Option<AccountId>,
    ) -> Result<Option<Vec<AccountId>>, ServiceError> {
        if let Some(id) = named {
            return Ok(Some(vec![self.account(actor, id).await?.id]));
        }
        if actor.role == Role::Operator {
            return Ok(None);
        }
        let own = AccountQuery { owner: Some(actor.id), after: None, limit: OWN_ACCOUNTS + 1 };
        let own = self.reader.accounts(own).await?;
        if own.len() > OWN_ACCOUNTS as usize {
            return Err(ServiceError::TooManyAccounts(OWN_ACCOUNTS));
        }
        Ok(Some(own.into_iter().map(|account| account.id).collect()))
    }
}

/// What is wanted among the transfers that touch one of `accounts`, or among all. `others_turn` is awaited between
/// stretches.
pub async fn find(
    reader: &Reader,
    search: &TransferSearch,
    accounts: Option<&[AccountId]>,
    others_turn: impl AsyncFn(),
) -> Result<Stretch, StoreError> {
    let (from_seq, before_seq) = numbers(reader, search).await?;
    let mut page = Page::new(search, accounts, from_seq);
    for by in indexes(search, accounts) {
        walk(reader, by, before_seq, &mut page, &others_turn).await?;
    }
    Ok(page.end())
}

/// The first `seq` that is wanted and the one behind the last. The end of the log is among the bounds, so that what is
/// made while one index is walked is not found in the next one only.
async fn numbers(reader: &Reader, search: &TransferSearch) -> Result<(u64, u64), StoreError> {
    let mut before_seq = reader.head().await?.seq + 1;
    before_seq = before_seq.min(search.before_seq.unwrap_or(before_seq));
    if let Some(to) = search.to {
        before_seq = before_seq.min(reader.first_transfer_at(to).await?);
    }
    let from_seq = match search.from {
        Some(from) => reader.first_transfer_at(from).await?,
        None => 0,
    };
    Ok((from_seq, before_seq))
}

/// Takes from an index what is wanted, until the page has its newest or has looked at enough.
async fn walk(
    reader: &Reader,
    by: TransferIndex<'_>,
    mut before_seq: u64,
    page: &mut Page<'_>,
    others_turn: &impl AsyncFn(),
) -> Result<(), StoreError> {
    let mut looked_at = 0;
    let mut limit = page.search.limit + 1;
    while page.from_seq < before_seq {
        if looked_at >= SCAN_ROWS {
            page.cut(before_seq);
            break;
        }
        let query = TransferQuery { by, from_seq: page.from_seq, before_seq, limit };
        let stretch = reader.transfers(query).await?;
        page.take(stretch.transfers);
        let Some(rest) = stretch.rest else { break };
        before_seq = rest;
        looked_at += limit;
        limit = limit.max(STRETCH_ROWS);
        others_turn().await;
    }
    Ok(())
}

/// The indexes that together hold all that is wanted, the fewest rows first.
fn indexes<'a>(search: &'a TransferSearch, accounts: Option<&'a [AccountId]>) -> Vec<TransferIndex<'a>> {
    if let Some(key) = &search.key {
        return vec![TransferIndex::Key(key)];
    }
    if let Some(reference) = &search.reference {
        return vec![TransferIndex::Reference(reference)];
    }
    let unposted = search.status.filter(|&status| status != TransferStatus::Posted);
    match (accounts, unposted) {
        (Some(accounts), Some(_)) => vec![TransferIndex::Holds(accounts)],
        // Holds first: what they fill of the page spares a walk over the entries of their posts.
        (Some(accounts), None) => vec![TransferIndex::Holds(accounts), TransferIndex::Direct(accounts)],
        (None, Some(status)) => vec![TransferIndex::Unposted(status)],
        (None, None) => vec![TransferIndex::Seq],
    }
}

/// A page while it is filled.
struct Page<'a> {
    search: &'a TransferSearch,
    accounts: Option<HashSet<AccountId>>,
    /// The newest so far, one more than are shown.
    found: BTreeMap<u64, Transfer>,
    /// What is older is not for this page.
    from_seq: u64,
    is_cut: bool,
}

impl<'a> Page<'a> {
    fn new(search: &'a TransferSearch, accounts: Option<&[AccountId]>, from_seq: u64) -> Self {
        let accounts = accounts.map(|accounts| accounts.iter().copied().collect());
        Self { search, accounts, found: BTreeMap::new(), from_seq, is_cut: false }
    }

    /// Keeps what is wanted and new enough.
    fn take(&mut self, transfers: Vec<Transfer>) {
        for transfer in transfers {
            if transfer.seq >= self.from_seq && self.wants(&transfer) {
                self.found.insert(transfer.seq, transfer);
            }
        }
        let most = self.search.limit as usize + 1;
        while self.found.len() > most {
            self.found.pop_first();
        }
        if let Some((least, _)) = self.found.first_key_value().filter(|_| self.found.len() == most) {
            self.from_seq = self.from_seq.max(least + 1);
        }
    }

    fn wants(&self, transfer: &Transfer) -> bool {
        let search = self.search;
        let terms = &transfer.terms;
        let touches =
            |ids: &HashSet<_>| ids.contains(&terms.debit_account) || ids.contains(&terms.credit_account);
        self.accounts.as_ref().is_none_or(touches)
            && search.status.is_none_or(|status| transfer.status == status)
            && search.key.as_ref().is_none_or(|key| transfer.idempotency_key == *key)
            && search.reference.as_ref().is_none_or(|wanted| terms.reference.as_ref() == Some(wanted))
    }

    /// Leaves to the next page what an index may still hold before `seq`.
    fn cut(&mut self, seq: u64) {
        self.is_cut = true;
        self.from_seq = seq;
        self.found = self.found.split_off(&seq);
    }

    fn end(mut self) -> Stretch {
        let is_full = self.found.len() > self.search.limit as usize;
        if is_full {
            self.found.pop_first();
        }
        let last = self.found.first_key_value().map(|(seq, _)| *seq);
        let rest = if is_full { last } else { self.is_cut.then_some(self.from_seq) };
        Stretch { transfers: self.found.into_values().rev().collect(), rest }
    }
}
