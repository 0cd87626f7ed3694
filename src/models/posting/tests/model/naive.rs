//! The ledger as a child would write it: lists that are walked, sums that are made anew each time. Shares no code with
//! the rule but the words of its answers.

use std::collections::HashMap;

use crate::models::money::MAX_MINOR_UNITS;
use crate::models::posting::{Refusal, Rejection, Side};
use crate::models::{Account, Amount, Hold, Money, TransferStatus};

const MOST: i128 = MAX_MINOR_UNITS as i128;
const DAY_S: i64 = 24 * 60 * 60;

/// A transfer to be made; accounts by their number.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) debit: u128,
    pub(super) credit: u128,
    pub(super) minor_units: i64,
    pub(super) hold: Option<Hold>,
}

/// What a request is for; transfers by their ids.
#[derive(Debug, Clone)]
pub(super) enum What {
    Transfer(Item),
    Post(u128, Option<i64>),
    Void(u128),
    Reverse(u128),
    Batch { atomic: bool, items: Vec<Item> },
}

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) user: u128,
    pub(super) operator: bool,
    pub(super) key: u8,
    pub(super) what: What,
}

/// A transfer as it is told.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct View {
    pub(super) id: u128,
    pub(super) seq: u64,
    pub(super) status: TransferStatus,
    pub(super) debit: u128,
    pub(super) credit: u128,
    pub(super) minor_units: i64,
    pub(super) posted: Option<i64>,
    /// In seconds.
    pub(super) expires_at: Option<i64>,
    pub(super) reverses: Option<u128>,
    pub(super) reversed_by: Option<u128>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    Transfer(View),
    Rejected(Rejection, String),
    Batch {
        items: Vec<Result<View, Refusal>>,
        aborted: bool,
        request: String,
    },
    NotFound,
    Forbidden,
    KeyReused,
    /// What was told before under the key.
    Before(Box<Told>),
}

#[derive(Debug, Clone)]
pub(super) struct NaiveAccount {
    owner: u128,
    is_yen: bool,
    least: Option<i128>,
    pub(super) balance: i128,
    pub(super) version: u64,
}

/// The first use of a key: what for, when, and what was told.
type KeyUse = (String, i64, Told);

#[derive(Debug, Clone)]
pub(super) struct Naive {
    /// In seconds.
    pub(super) now: i64,
    pub(super) seq: u64,
    pub(super) accounts: Vec<NaiveAccount>,
    /// In the order of their making.
    pub(super) transfers: Vec<View>,
    keys: HashMap<(u128, u8), KeyUse>,
}

impl Naive {
    pub(super) fn new(accounts: impl Iterator<Item = Account>, now: i64) -> Self {
        let accounts = accounts.zip(0_u128..).map(|(account, n)| NaiveAccount {
            owner: n / 2,
            is_yen: account.currency.to_string() == "JPY",
            least: account.min_balance.map(|least| least.minor_units().into()),
            balance: 0,
            version: 1,
        });
        Self { now, seq: 0, accounts: accounts.collect(), transfers: Vec::new(), keys: HashMap::new() }
    }

    /// The id of the transfer that was made at this place, or one that there never is.
    pub(super) fn id_at(&self, place: usize) -> u128 {
        self.transfers.get(place).map_or(999_999, |transfer| transfer.id)
    }

    /// What the holds on an account reserve.
    pub(super) fn held(&self, account: u128) -> i128 {
        let pending =
            |transfer: &&View| transfer.debit == account && transfer.status == TransferStatus::Pending;
        self.transfers.iter().filter(pending).map(|transfer| i128::from(transfer.minor_units)).sum()
    }

    /// Lets so many holds go whose time is up; how many there were.
    pub(super) fn expire(&mut self, limit: u32) -> u32 {
        let mut expired = 0;
        while expired < limit {
            let now = self.now;
            let due = self.transfers.iter().filter(|transfer| {
                transfer.status == TransferStatus::Pending
                    && transfer.expires_at.is_some_and(|expires_at| expires_at <= now)
            });
            let Some(first) = due.min_by_key(|transfer| (transfer.expires_at, transfer.seq)) else { break };
            let (id, debit) = (first.id, first.debit);
            self.end(id, debit, TransferStatus::Expired, None);
            expired += 1;
        }
        expired
    }

    pub(super) fn answer(&mut self, ask: &Ask, first_id: u128, request: &str) -> Told {
        let what = format!("{:?}", ask.what);
        let name = (ask.user, ask.key);
        if let Some((used_for, used_at, told)) = self.keys.get(&name)
            && self.now < used_at + DAY_S
        {
            return if *used_for == what { Told::Before(told.clone().into()) } else { Told::KeyReused };
        }
        let told = match &ask.what {
            What::Transfer(item) => match self.make(ask, item, first_id) {
                Ok(view) => Told::Transfer(view),
                Err(Refusal::Rejected(rejection)) => Told::Rejected(rejection, request.into()),
                Err(_) => Told::Forbidden,
            },
            What::Post(of, part) => self.post(ask, *of, *part, request),
            What::Void(of) => self.void(ask, *of, request),
            What::Reverse(of) => self.reverse(ask, *of, first_id, request),
            What::Batch { atomic, items } => self.batch(ask, *atomic, items, first_id, request),
        };
        if !matches!(told, Told::NotFound | Told::Forbidden) {
            self.keys.insert(name, (what, self.now, told.clone()));
        }
        told
    }

    fn batch(&mut self, ask: &Ask, atomic: bool, items: &[Item], first_id: u128, request: &str) -> Told {
        let before = self.clone();
        let mut told: Vec<_> =
            items.iter().zip(first_id..).map(|(item, id)| self.make(ask, item, id)).collect();
        let aborted = atomic && told.iter().any(Result::is_err);
        if aborted {
            *self = before;
            for item in told.iter_mut().filter(|item| item.is_ok()) {
                *item = Err(Refusal::Aborted);
            }
        }
        Told::Batch { items: told, aborted, request: request.into() }
    }

    fn make(&mut self, ask: &Ask, item: &Item, id: u128) -> Result<View, Refusal> {
        if item.debit == item.credit {
            return Err(Rejection::SameAccount.into());
        }
        if self.account(item.debit).is_none() {
            return Err(Rejection::AccountNotFound { side: Side::Debit }.into());
        }
        if !self.may(ask, item.debit) {
            return Err(Refusal::Forbidden);
        }
        if self.account(item.credit).is_none() {
            return Err(Rejection::AccountNotFound { side: Side::Credit }.into());
        }
        for (side, account) in [(Side::Debit, item.debit), (Side::Credit, item.credit)] {
            if self.account(account).is_some_and(|account| account.is_yen) {
                return Err(Rejection::CurrencyMismatch { side, currency: "JPY".parse().unwrap() }.into());
            }
        }
        let minor_units = item.minor_units;
        self.check_funds(item.debit, minor_units)?;
        let overflows = |side| Err(Rejection::BalanceOverflow { side }.into());
        if item.hold.is_some() && self.held(item.debit) + i128::from(minor_units) > MOST {
            return overflows(Side::Debit);
        }
        if item.hold.is_none() && self.balance(item.credit) + i128::from(minor_units) > MOST {
            return overflows(Side::Credit);
        }
        let view = self.add(id, item, None);
        Ok(view)
    }

    /// Adds a transfer that nothing stands against.
    fn add(&mut self, id: u128, item: &Item, reverses: Option<u128>) -> View {
        self.seq += 1;
        let pending = item.hold.is_some();
        let view = View {
            id,
            seq: self.seq,
            status: if pending { TransferStatus::Pending } else { TransferStatus::Posted },
            debit: item.debit,
            credit: item.credit,
            minor_units: item.minor_units,
            posted: (!pending).then_some(item.minor_units),
            expires_at: item
                .hold
                .and_then(|hold| hold.timeout_s)
                .map(|seconds| self.now + i64::from(seconds)),
            reverses,
            reversed_by: None,
        };
        self.transfers.push(view.clone());
        if pending {
            self.change(item.debit, 0);
        } else {
            self.change(item.debit, -i128::from(item.minor_units));
            self.change(item.credit, item.minor_units.into());
        }
        view
    }

    fn check_funds(&self, debit: u128, minor_units: i64) -> Result<(), Rejection> {
        let available = self.balance(debit) - self.held(debit);
        let left = available - i128::from(minor_units);
        match self.account(debit).and_then(|account| account.least) {
            Some(least) if left < least => {
                let available = Money::new(i64::try_from(available).unwrap()).unwrap();
                Err(Rejection::InsufficientFunds { available })
            }
            None if left < -MOST => Err(Rejection::BalanceOverflow { side: Side::Debit }),
            _ => Ok(()),
        }
    }

    /// A hold that may be ended, or why not.
    fn open_hold(&self, ask: &Ask, of: u128, request: &str) -> Result<View, Box<Told>> {
        let Some(hold) = self.transfers.iter().find(|transfer| transfer.id == of) else {
            return Err(Told::NotFound.into());
        };
        if !self.may(ask, hold.debit) {
            return Err(Told::Forbidden.into());
        }
        match self.status(hold) {
            TransferStatus::Pending => Ok(hold.clone()),
            status => Err(Told::Rejected(Rejection::TransferNotPending { status }, request.into()).into()),
        }
    }

    fn void(&mut self, ask: &Ask, of: u128, request: &str) -> Told {
        match self.open_hold(ask, of, request) {
            Ok(hold) => self.end(of, hold.debit, TransferStatus::Voided, None),
            Err(told) => *told,
        }
    }

    fn post(&mut self, ask: &Ask, of: u128, part: Option<i64>, request: &str) -> Told {
        let hold = match self.open_hold(ask, of, request) {
            Ok(hold) => hold,
            Err(told) => return *told,
        };
        let minor_units = part.unwrap_or(hold.minor_units);
        if minor_units > hold.minor_units {
            let pending = Amount::new(hold.minor_units).unwrap();
            return Told::Rejected(Rejection::AmountExceedsPending { pending }, request.into());
        }
        if self.balance(hold.credit) + i128::from(minor_units) > MOST {
            return Told::Rejected(Rejection::BalanceOverflow { side: Side::Credit }, request.into());
        }
        self.change(hold.credit, minor_units.into());
        self.end(of, hold.debit, TransferStatus::Posted, Some(minor_units))
    }

    /// Ends a hold, of which so much has left its debit account.
    fn end(&mut self, id: u128, debit: u128, status: TransferStatus, posted: Option<i64>) -> Told {
        self.seq += 1;
        self.change(debit, -posted.map_or(0, i128::from));
        let transfer = self.transfers.iter_mut().find(|transfer| transfer.id == id).unwrap();
        (transfer.status, transfer.posted) = (status, posted);
        Told::Transfer(transfer.clone())
    }

    fn reverse(&mut self, ask: &Ask, of: u128, id: u128, request: &str) -> Told {
        let Some(original) = self.transfers.iter().find(|transfer| transfer.id == of).cloned() else {
            return Told::NotFound;
        };
        if !self.may(ask, original.credit) {
            return Told::Forbidden;
        }
        let status = self.status(&original);
        let rejected = |rejection| Told::Rejected(rejection, request.into());
        let Some(minor_units) = original.posted else {
            return rejected(Rejection::TransferNotPosted { status });
        };
        if original.reverses.is_some() {
            return rejected(Rejection::NotReversible);
        }
        if original.reversed_by.is_some() {
            return rejected(Rejection::AlreadyReversed);
        }
        if let Err(rejection) = self.check_funds(original.credit, minor_units) {
            return rejected(rejection);
        }
        if self.balance(original.debit) + i128::from(minor_units) > MOST {
            return rejected(Rejection::BalanceOverflow { side: Side::Credit });
        }
        let back = Item { debit: original.credit, credit: original.debit, minor_units, hold: None };
        let view = self.add(id, &back, Some(of));
        let original = self.transfers.iter_mut().find(|transfer| transfer.id == of).unwrap();
        original.reversed_by = Some(id);
        Told::Transfer(view)
    }

    /// Where a transfer stands for whoever asks now.
    fn status(&self, transfer: &View) -> TransferStatus {
        let over = transfer.expires_at.is_some_and(|expires_at| expires_at <= self.now);
        if over && transfer.status == TransferStatus::Pending {
            TransferStatus::Expired
        } else {
            transfer.status
        }
    }

    fn account(&self, n: u128) -> Option<&NaiveAccount> {
        self.accounts.get(usize::try_from(n).unwrap())
    }

    fn balance(&self, n: u128) -> i128 {
        self.account(n).unwrap().balance
    }

    fn may(&self, ask: &Ask, account: u128) -> bool {
        ask.operator || self.account(account).unwrap().owner == ask.user
    }

    /// A change of balance, or of what is held.
    fn change(&mut self, n: u128, minor_units: i128) {
        let account = &mut self.accounts[usize::try_from(n).unwrap()];
        account.balance += minor_units;
        account.version += 1;
    }
}
