//! What money is counted in: ISO 4217 currencies and the ledger's own units, by their code.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Bytes of the longest code.
const CODE_MAX_BYTES: usize = 12;
/// Bytes of the shortest.
const CODE_MIN_BYTES: usize = 3;

/// The code of a currency such as `EUR`, or of a unit of the ledger's own such as `POINTS`: 3 to 12 upper-case ASCII
/// letters and digits.
///
/// Any such code can be read, so that a ledger stays readable when a unit is no longer set up. Whether accounts may be
/// opened in it, [`Currencies`] says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency {
    /// Filled up with zeros.
    code: [u8; CODE_MAX_BYTES],
}

/// The text cannot be a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be {CODE_MIN_BYTES} to {CODE_MAX_BYTES} upper-case letters and digits")]
pub struct InvalidCode;

/// The code is neither in ISO 4217 nor of a unit of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an ISO 4217 code such as EUR, or a unit of this ledger")]
pub struct UnknownCurrency;

impl Currency {
    /// The code.
    pub fn code(&self) -> &str {
        let length = self.code.iter().position(|&byte| byte == 0).unwrap_or(CODE_MAX_BYTES);
        std::str::from_utf8(&self.code[..length]).expect("only ASCII letters and digits pass from_str")
    }

    /// How many decimal digits its minor unit stands behind the point, by ISO 4217: 2 for EUR, 0 for JPY. `None` for
    /// what ISO 4217 does not know or gives none, as for gold.
    pub fn iso_exponent(&self) -> Option<u8> {
        u8::try_from(iso_currency::Currency::from_code(self.code())?.exponent()?).ok()
    }

    fn is_iso(&self) -> bool {
        iso_currency::Currency::from_code(self.code()).is_some()
    }
}

impl FromStr for Currency {
    type Err = InvalidCode;

    fn from_str(text: &str) -> Result<Self, InvalidCode> {
        let is_allowed = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        if text.len() < CODE_MIN_BYTES || !text.as_bytes().iter().all(is_allowed) {
            return Err(InvalidCode);
        }
        let mut code = [0; CODE_MAX_BYTES];
        code.get_mut(..text.len()).ok_or(InvalidCode)?.copy_from_slice(text.as_bytes());
        Ok(Self { code })
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        code.parse().map_err(serde::de::Error::custom)
    }
}

/// A unit of a ledger's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit {
    /// Its code; none of ISO 4217.
    pub currency: Currency,
    /// How many decimal digits stand behind the point.
    pub exponent: u8,
}

/// What accounts of a ledger may count: all of ISO 4217, and units of its own.
#[derive(Debug, Clone, Default)]
pub struct Currencies {
    own: Vec<Unit>,
}

impl Currencies {
    /// ISO 4217 and these units. Where a unit has a code of ISO 4217, the currency goes before it.
    pub const fn with_own(own: Vec<Unit>) -> Self {
        Self { own }
    }

    /// The currency or unit of this code, if it may be used.
    pub fn known(&self, code: &str) -> Result<Currency, UnknownCurrency> {
        let currency: Currency = code.parse().map_err(|_| UnknownCurrency)?;
        let is_known = currency.is_iso() || self.own(currency).is_some();
        if is_known { Ok(currency) } else { Err(UnknownCurrency) }
    }

    /// How many decimal digits an amount of `currency` has behind the point; 0 where nobody says.
    pub fn exponent(&self, currency: Currency) -> u8 {
        let own = || self.own(currency).map(|unit| unit.exponent);
        currency.iso_exponent().or_else(own).unwrap_or(0)
    }

    fn own(&self, currency: Currency) -> Option<&Unit> {
        self.own.iter().find(|unit| unit.currency == currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Currency {
        text.parse().unwrap()
    }

    #[test]
    fn codes_are_three_to_twelve_capitals_and_digits() {
        for good in ["EUR", "ZZZ", "123", "POINTS", "ABCDEFGHIJ12"] {
            assert_eq!(code(good).code(), good);
        }
        for bad in ["", "EU", "eur", "E€", "EU R", "ABCDEFGHIJ123", "EU\0", "EUR\0"] {
            assert_eq!(bad.parse::<Currency>(), Err(InvalidCode), "{bad:?}");
        }
        assert!(code("EUR") < code("EURX") && code("EURX") < code("USD"), "ordered as text");
    }

    #[test]
    fn iso_4217_is_known_and_own_units_where_they_are_set_up() {
        let own = vec![Unit { currency: code("POINTS"), exponent: 3 }];
        let (plain, with_points) = (Currencies::default(), Currencies::with_own(own));
        for currencies in [&plain, &with_points] {
            for known in ["EUR", "JPY", "XAU"] {
                assert_eq!(currencies.known(known), Ok(code(known)));
            }
            for unknown in ["", "eur", "ZZZ", "POINT", "points"] {
                assert_eq!(currencies.known(unknown), Err(UnknownCurrency), "{unknown}");
            }
        }
        assert_eq!(plain.known("POINTS"), Err(UnknownCurrency));
        assert_eq!(with_points.known("POINTS"), Ok(code("POINTS")));
    }

    #[test]
    fn exponents_are_those_of_iso_4217_or_of_the_unit() {
        let own = vec![Unit { currency: code("POINTS"), exponent: 3 }];
        let currencies = Currencies::with_own(own);
        for (currency, exponent) in
            [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("XAU", 0), ("POINTS", 3), ("GONE", 0)]
        {
            assert_eq!(currencies.exponent(code(currency)), exponent, "{currency}");
        }
    }
}
