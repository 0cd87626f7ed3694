//! RFC 3339 times with microseconds, in parts: a core that writes many of them in a second makes that second's text
//! once.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

/// Bytes of a time, in ASCII.
pub(super) const BYTES: usize = EPOCH.len();
/// A time with a fraction of zeros, for a clock that RFC 3339 cannot say, beyond year 9999.
const EPOCH: &[u8; 27] = b"1970-01-01T00:00:00.000000Z";
/// Where the digits of the fraction stand.
pub(super) const FRACTION: Range<usize> = 20..26;

/// The second since 1970 as `2026-02-03T04:05:06.000000Z`.
pub(super) fn whole_second(second: u64) -> [u8; BYTES] {
    let text = |second| {
        let time = Timestamp::from_second(i64::try_from(second).ok()?).ok()?;
        format!("{time:.6}").into_bytes().try_into().ok()
    };
    text(second).unwrap_or(*EPOCH)
}

/// Writes the six digits of the fraction.
pub(super) fn write_fraction(since_epoch: Duration, digits: &mut [u8]) {
    // A million more, so that zeros in front are written.
    let mut buffer = itoa::Buffer::new();
    digits.copy_from_slice(&buffer.format(1_000_000 + since_epoch.subsec_micros()).as_bytes()[1..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_in_microseconds() {
        for (since_epoch, text) in [
            (Duration::ZERO, "1970-01-01T00:00:00.000000Z"),
            (Duration::new(1_770_091_506, 7_999), "2026-02-03T04:05:06.000007Z"),
            (Duration::new(1_770_091_506, 999_999_999), "2026-02-03T04:05:06.999999Z"),
            (Duration::new(1_770_091_507, 0), "2026-02-03T04:05:07.000000Z"),
            (Duration::new(1_770_091_506, 120_000_000), "2026-02-03T04:05:06.120000Z"),
            (Duration::from_secs(1 << 40), "1970-01-01T00:00:00.000000Z"),
        ] {
            let mut time = whole_second(since_epoch.as_secs());
            write_fraction(since_epoch, &mut time[FRACTION]);
            assert_eq!(time, text.as_bytes());
        }
    }
}
