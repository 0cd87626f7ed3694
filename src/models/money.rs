//! Money as integers in minor units (cents, öre, yen), with checked arithmetic.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The largest magnitude, 2^53 − 1: the widest integer that every JSON reader keeps exactly (RFC 8259 §6).
pub const MAX_MINOR_UNITS: i64 = (1 << 53) - 1;

/// A signed sum of money in minor units, `|value| <= 2^53 - 1`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Money(i64);

/// A value outside the range of its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Beyond ±(2^53 − 1).
    #[error("must be between -9007199254740991 and 9007199254740991")]
    OutOfRange,
    /// Zero or less where money must move.
    #[error("must be between 1 and 9007199254740991")]
    NotPositive,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Accepts a count of minor units within the range.
    pub const fn new(minor_units: i64) -> Result<Self, MoneyError> {
        if minor_units >= -MAX_MINOR_UNITS && minor_units <= MAX_MINOR_UNITS {
            Ok(Self(minor_units))
        } else {
            Err(MoneyError::OutOfRange)
        }
    }

    /// The count of minor units.
    pub const fn minor_units(self) -> i64 {
        self.0
    }

    /// The sum, or `None` beyond the range.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        // Two values below 2^53 cannot overflow an i64.
        Self::new(self.0 + other.0).ok()
    }

    /// The difference, or `None` beyond the range.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        Self::new(self.0 - other.0).ok()
    }

    /// The same sum the other way.
    #[must_use]
    pub const fn negated(self) -> Self {
        Self(-self.0)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let minor_units = i64::deserialize(deserializer)?;
        Self::new(minor_units).map_err(serde::de::Error::custom)
    }
}

/// What a transfer moves: money of at least one minor unit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(Money);

impl Amount {
    /// Accepts 1 to 2^53 − 1 minor units.
    pub const fn new(minor_units: i64) -> Result<Self, MoneyError> {
        match Money::new(minor_units) {
            Ok(money) if minor_units > 0 => Ok(Self(money)),
            Ok(_) | Err(_) => Err(MoneyError::NotPositive),
        }
    }

    /// The amount as signed money.
    pub const fn money(self) -> Money {
        self.0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let minor_units = i64::deserialize(deserializer)?;
        Self::new(minor_units).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn range_is_that_of_exact_json_integers() {
        assert!(Money::new(MAX_MINOR_UNITS).is_ok());
        assert!(Money::new(-MAX_MINOR_UNITS).is_ok());
        assert_eq!(Money::new(MAX_MINOR_UNITS + 1), Err(MoneyError::OutOfRange));
        assert_eq!(Money::new(i64::MIN), Err(MoneyError::OutOfRange));
        assert_eq!(Amount::new(0), Err(MoneyError::NotPositive));
        assert_eq!(Amount::new(-5), Err(MoneyError::NotPositive));
        assert_eq!(Amount::new(i64::MAX), Err(MoneyError::NotPositive));
        assert!(Amount::new(1).is_ok());
    }

    #[test]
    fn sums_are_checked() {
        let max = Money::new(MAX_MINOR_UNITS).unwrap();
        let one = Money::new(1).unwrap();
        assert_eq!(max.checked_add(one), None);
        assert_eq!(max.negated().checked_sub(one), None);
        assert_eq!(max.checked_sub(max), Some(Money::ZERO));
    }
}
