//! Points in time: microseconds since the Unix epoch, written as RFC 3339 in UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A point in time, in whole microseconds since 1970-01-01T00:00:00Z.
///
/// Microseconds because Postgres keeps no more, and both stores must hash the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not an RFC 3339 date-time, or outside years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be an RFC 3339 time before 9999-12-30, such as 2026-01-31T12:00:00Z")]
pub struct InvalidTime;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);
    /// 0001-01-01T00:00:00Z.
    const MIN_MICROS: i64 = -62_135_596_800_000_000;
    /// 9999-12-30T00:00:00Z, a day below what the calendar library prints.
    const MAX_MICROS: i64 = 253_402_128_000_000_000;

    /// Accepts microseconds since the epoch within years 1 to 9999.
    pub const fn from_micros(micros: i64) -> Option<Self> {
        if micros >= Self::MIN_MICROS && micros <= Self::MAX_MICROS { Some(Self(micros)) } else { None }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// The microsecond after this one; `None` at the end of the range.
    #[must_use]
    pub const fn next(self) -> Option<Self> {
        Self::from_micros(self.0 + 1)
    }

    /// This time moved by whole seconds, held at the ends of the range.
    #[must_use]
    pub fn saturating_add_seconds(self, seconds: i64) -> Self {
        let micros = self.0.saturating_add(seconds.saturating_mul(1_000_000));
        Self(micros.clamp(Self::MIN_MICROS, Self::MAX_MICROS))
    }
}

impl fmt::Display for Timestamp {
    /// Always six fractional digits, so that text sorts as time does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{time:.6}")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    /// Any offset is accepted and turned to UTC; digits below a microsecond are cut.
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        // RFC 3339 §5.6 wants the full form with seconds and an offset; the library alone is laxer.
        let bytes = text.as_bytes();
        let full_form = bytes.len() >= "2026-01-31T12:00:00Z".len()
            && bytes[10].eq_ignore_ascii_case(&b'T')
            && bytes[13] == b':'
            && bytes[16] == b':'
            && !text.contains('[');
        if !full_form {
            return Err(InvalidTime);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTime)?;
        Self::from_micros(time.as_microsecond()).ok_or(InvalidTime)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_rfc_3339() {
        let time = Timestamp::from_micros(1_769_860_800_000_000).unwrap();
        assert_eq!(time.to_string(), "2026-01-31T12:00:00.000000Z");
        assert_eq!(time.to_string().parse(), Ok(time));
        assert_eq!("2026-01-31T13:00:00+01:00".parse(), Ok(time));
        for wrong in ["", "2026-01-31", "2026-01-31T12:00Z", "2026-01-31 12:00:00", "2026-13-31T12:00:00Z"] {
            assert_eq!(wrong.parse::<Timestamp>(), Err(InvalidTime), "{wrong}");
        }
    }

    #[test]
    fn every_point_in_range_can_be_written() {
        for micros in [Timestamp::MIN_MICROS, -1, 0, Timestamp::MAX_MICROS] {
            let time = Timestamp::from_micros(micros).unwrap();
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        assert_eq!(Timestamp::from_micros(i64::MAX), None);
    }
}
