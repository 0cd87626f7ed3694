//! `ledger.currencies`: the units that a ledger counts beside the currencies of ISO 4217, as a list in YAML or as
//! text in one line. Their bounds are `check`'s.

use std::fmt;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A unit of the ledger's own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// 3 to 12 upper-case letters and digits; no code of ISO 4217.
    pub code: String,
    /// How many decimal digits of an amount stand behind the point.
    pub exponent: u8,
}

/// The units, in the order in which they were written.
///
/// A list of `{code: POINTS, exponent: 0}`, or the text `POINTS:0, MILES:2`, which is also how it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Units(pub Vec<Unit>);

impl fmt::Display for Units {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, unit) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ", " };
            write!(f, "{separator}{}:{}", unit.code, unit.exponent)?;
        }
        Ok(())
    }
}

impl Serialize for Units {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() { serializer.serialize_none() } else { serializer.collect_str(self) }
    }
}

impl<'de> Deserialize<'de> for Units {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UnitsVisitor)
    }
}

struct UnitsVisitor;

impl<'de> Visitor<'de> for UnitsVisitor {
    type Value = Units;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of units")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Units, E> {
        let unit = |text: &str| {
            let (code, exponent) = text.trim().split_once(':')?;
            Some(Unit { code: code.trim().to_owned(), exponent: exponent.trim().parse().ok()? })
        };
        let units: Option<Vec<_>> = text.split(',').map(unit).collect();
        units.map(Units).ok_or_else(|| E::custom(format_args!("found {text:?}")))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Units, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Units)
    }

    fn visit_none<E: Error>(self) -> Result<Units, E> {
        Ok(Units::default())
    }

    fn visit_unit<E: Error>(self) -> Result<Units, E> {
        Ok(Units::default())
    }
}
