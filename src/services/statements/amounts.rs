//! Amounts and times as people read them. Knows nothing of documents.

use crate::models::{Money, Timestamp};

/// What stands before a negative amount: U+2212, as wide as a plus.
pub(super) const MINUS: char = '\u{2212}';

/// An amount in major units with `decimals` decimal places, such as `−1,234.50`.
pub(super) fn written(minor_units: i128, decimals: usize) -> String {
    let digits = format!("{:0width$}", minor_units.unsigned_abs(), width = decimals + 1);
    let (whole, rest) = digits.split_at(digits.len() - decimals);
    let mut text = String::with_capacity(digits.len() * 2);
    if minor_units < 0 {
        text.push(MINUS);
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if decimals > 0 {
        text.push('.');
        text.push_str(rest);
    }
    text
}

/// A balance, like [`written`].
pub(super) fn balance(money: Money, decimals: usize) -> String {
    written(money.minor_units().into(), decimals)
}

/// Date and time of day in UTC, to the second.
pub(super) fn date_and_time(at: Timestamp) -> (String, String) {
    // Always as long as 2026-01-31T12:00:00.000000Z.
    let text = at.to_string();
    (text[..10].to_owned(), text[11..19].to_owned())
}

/// A moment in UTC, with as many decimals of its second as it needs.
pub(super) fn moment(at: Timestamp) -> String {
    let text = at.to_string();
    let exact = text.trim_end_matches('Z').trim_end_matches('0').trim_end_matches('.');
    // Never cut into the seconds themselves.
    let end = exact.len().max("2026-01-31T12:00:00".len());
    format!("{} {}", &text[..10], &text[11..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_grouped_and_have_their_decimals() {
        let cases = [
            (0, 2, "0.00"),
            (7, 2, "0.07"),
            (-7, 3, "−0.007"),
            (123, 0, "123"),
            (1_234, 0, "1,234"),
            (-123_456, 2, "−1,234.56"),
            (100_000, 2, "1,000.00"),
            (9_007_199_254_740_991, 2, "90,071,992,547,409.91"),
            (-9_007_199_254_740_991, 0, "−9,007,199,254,740,991"),
        ];
        for (minor_units, decimals, text) in cases {
            assert_eq!(written(minor_units, decimals), text);
        }
    }

    #[test]
    fn moments_are_exact() {
        for (time, text) in [
            ("2026-01-31T12:00:00Z", "2026-01-31 12:00:00"),
            ("2026-01-31T12:00:10.5Z", "2026-01-31 12:00:10.5"),
            ("2026-01-31T12:00:00.000001Z", "2026-01-31 12:00:00.000001"),
        ] {
            assert_eq!(moment(time.parse().unwrap()), text);
        }
        let (date, time) = date_and_time("0001-01-01T00:00:09.9Z".parse().unwrap());
        assert_eq!((&*date, &*time), ("0001-01-01", "00:00:09"));
    }
}
