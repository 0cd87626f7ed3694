//! RFC 3339 times with microseconds, cheap for one that writes many of them in a second.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

/// A time with a fraction of zeros, for a clock that RFC 3339 cannot say, beyond year 9999.
const EPOCH: &[u8; 27] = b"1970-01-01T00:00:00.000000Z";
/// Where the digits of the fraction stand.
const FRACTION: Range<usize> = 20..26;

/// A text that tells a time, the last that was asked for. One of the same second changes six digits only.
#[derive(Debug)]
pub(super) struct Stamp {
    /// Since 1970.
    second: u64,
    text: Vec<u8>,
    /// Where the time stands in it.
    time: Range<usize>,
}

impl Stamp {
    /// Tells the time between `before` and `after`.
    pub(super) fn between(before: &str, after: &str) -> Self {
        let text = [before.as_bytes(), EPOCH, after.as_bytes()].concat();
        Self { second: 0, text, time: before.len()..before.len() + EPOCH.len() }
    }

    /// The whole text, with a time as `2026-02-03T04:05:06.000007Z`, in ASCII.
    pub(super) fn at(&mut self, since_epoch: Duration) -> &[u8] {
        let time = &mut self.text[self.time.clone()];
        if self.second != since_epoch.as_secs() {
            self.second = since_epoch.as_secs();
            time.copy_from_slice(&whole_second(self.second).unwrap_or(*EPOCH));
        }
        let mut rest = since_epoch.subsec_micros();
        for digit in time[FRACTION].iter_mut().rev() {
            *digit = b"0123456789"[(rest % 10) as usize];
            rest /= 10;
        }
        &self.text
    }
}

/// The second with a fraction of zeros.
fn whole_second(second: u64) -> Option<[u8; EPOCH.len()]> {
    let time = Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
    format!("{time:.6}").into_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_microseconds() {
        let mut stamp = Stamp::between("at ", ";");
        for (since_epoch, text) in [
            (Duration::ZERO, "1970-01-01T00:00:00.000000Z"),
            (Duration::new(1_770_091_506, 7_999), "2026-02-03T04:05:06.000007Z"),
            (Duration::new(1_770_091_506, 999_999_999), "2026-02-03T04:05:06.999999Z"),
            (Duration::new(1_770_091_507, 0), "2026-02-03T04:05:07.000000Z"),
            (Duration::new(1_770_091_506, 120_000_000), "2026-02-03T04:05:06.120000Z"),
            (Duration::from_secs(1 << 40), "1970-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(stamp.at(since_epoch), format!("at {text};").as_bytes());
        }
    }
}
