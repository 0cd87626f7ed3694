//! Accounts: what they hold, what they may spend.

use super::{AccountId, Amount, Currency, Money, Text, Timestamp, UserId};

/// An account's name: 1 to 128 characters.
pub type AccountName = Text<128>;

/// An account with its balances.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The id.
    pub id: AccountId,
    /// The user who owns it.
    pub owner: UserId,
    /// What the owner calls it.
    pub name: Option<AccountName>,
    /// The one currency it counts.
    pub currency: Currency,
    /// The sum of its entries.
    pub balance: Money,
    /// What its open pending transfers reserve.
    pub held: Money,
    /// The least that `available` may fall to; `None` means no bound.
    pub min_balance: Option<Money>,
    /// Rises by one with any change of `balance` or `held`.
    pub version: u64,
    /// When it was opened.
    pub created_at: Timestamp,
}

/// Why money cannot move on an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoveError {
    /// `available` would fall below `min_balance`.
    Insufficient,
    /// The balance would leave ±(2^53 − 1).
    Overflow,
}

impl Account {
    /// An account as it is on its first day: empty, at version 1.
    pub fn opened(
        id: AccountId,
        owner: UserId,
        name: Option<AccountName>,
        currency: Currency,
        min_balance: Option<Money>,
        created_at: Timestamp,
    ) -> Self {
        Self {
            id,
            owner,
            name,
            currency,
            balance: Money::ZERO,
            held: Money::ZERO,
            min_balance,
            version: 1,
            created_at,
        }
    }

    /// What may be spent before `min_balance` is looked at: `balance - held`, held at the ends of the range.
    pub fn available(&self) -> Money {
        let floor = Money::new(-super::money::MAX_MINOR_UNITS).unwrap_or_default();
        self.balance.checked_sub(self.held).unwrap_or(floor)
    }

    /// Whether `amount` can be spent or held: `available` stays at or above `min_balance`, and within its range.
    fn spare(&self, amount: Amount) -> Result<(), MoveError> {
        let left = self.available().checked_sub(amount.money());
        match self.min_balance {
            None => left.map(drop).ok_or(MoveError::Overflow),
            Some(least) => left.filter(|&left| left >= least).map(drop).ok_or(MoveError::Insufficient),
        }
    }

    /// The balance after `amount` has left, when the account can bear it.
    pub fn after_debit(&self, amount: Amount) -> Result<Money, MoveError> {
        self.spare(amount)?;
        self.balance.checked_sub(amount.money()).ok_or(MoveError::Overflow)
    }

    /// The balance after `amount` has come in.
    pub fn after_credit(&self, amount: Amount) -> Result<Money, MoveError> {
        self.balance.checked_add(amount.money()).ok_or(MoveError::Overflow)
    }

    /// What is held once `amount` is, too, when the account can bear it.
    pub fn after_hold(&self, amount: Amount) -> Result<Money, MoveError> {
        self.spare(amount)?;
        self.held.checked_add(amount.money()).ok_or(MoveError::Overflow)
    }

    /// Takes on a new balance and a new sum of holds; the version rises.
    pub fn set(&mut self, balance: Money, held: Money) {
        self.balance = balance;
        self.held = held;
        self.version += 1;
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn account(balance: i64, held: i64, min_balance: Option<i64>) -> Account {
        let nil = Uuid::nil();
        let mut account = Account::opened(
            AccountId::from_uuid(nil),
            UserId::from_uuid(nil),
            None,
            "EUR".parse().unwrap(),
            min_balance.map(|least| Money::new(least).unwrap()),
            Timestamp::from_micros(0).unwrap(),
        );
        account.balance = Money::new(balance).unwrap();
        account.held = Money::new(held).unwrap();
        account
    }

    #[test]
    fn spends_down_to_its_floor_and_no_further() {
        let ten = Amount::new(10).unwrap();
        assert_eq!(account(10, 0, Some(0)).after_debit(ten), Ok(Money::ZERO));
        assert_eq!(account(9, 0, Some(0)).after_debit(ten), Err(MoveError::Insufficient));
        assert_eq!(account(19, 10, Some(0)).after_debit(ten), Err(MoveError::Insufficient));
        assert!(account(0, 0, Some(-10)).after_debit(ten).is_ok());
        assert!(account(0, 0, None).after_debit(ten).is_ok());
    }

    #[test]
    fn holds_as_it_spends() {
        let ten = Amount::new(10).unwrap();
        assert_eq!(account(10, 0, Some(0)).after_hold(ten), Ok(ten.money()));
        assert_eq!(account(19, 10, Some(0)).after_hold(ten), Err(MoveError::Insufficient));
        let max = crate::models::money::MAX_MINOR_UNITS;
        assert_eq!(account(max, max, None).after_hold(ten), Err(MoveError::Overflow));
    }

    #[test]
    fn balances_stay_in_range() {
        let max = crate::models::money::MAX_MINOR_UNITS;
        let one = Amount::new(1).unwrap();
        assert_eq!(account(-max, 0, None).after_debit(one), Err(MoveError::Overflow));
        assert_eq!(account(max, 0, None).after_credit(one), Err(MoveError::Overflow));
    }
}
