//! Numbers as people read them: three significant digits, thousands separated, the unit that fits.

/// What stands where there is no number.
pub(super) const NONE: &str = "–";

/// A number with three significant digits; whole ones keep all of theirs: `1.23`, `45.6`, `12,345`.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        _ if !value.is_finite() => NONE.to_owned(),
        v if v >= 99.95 => grouped(value),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.999_5 => format!("{value:.2}"),
        v if v >= 0.001 => format!("{value:.3}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.1e}"),
    }
}

/// A number without the zeros that follow its point, for ticks: `0.5`, `20`.
pub(super) fn short(value: f64) -> String {
    let text = number(value);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// A time in microseconds, in the unit that keeps it below 1,000.
pub(super) fn time_us(us: f64) -> String {
    let (scaled, unit) = fitting(us);
    format!("{}\u{a0}{unit}", number(scaled))
}

/// As [`time_us`], for ticks.
pub(super) fn short_time_us(us: f64) -> String {
    let (scaled, unit) = fitting(us);
    format!("{}\u{a0}{unit}", short(scaled))
}

fn fitting(us: f64) -> (f64, &'static str) {
    match us {
        v if v >= 999_500.0 => (us / 1e6, "s"),
        v if v >= 999.5 => (us / 1e3, "ms"),
        _ => (us, "µs"),
    }
}

/// The nearest whole number with commas between thousands.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_grouped() {
        let cases = [
            (0.0, "0"),
            (0.1234, "0.123"),
            (1.0, "1.00"),
            (45.67, "45.7"),
            (999.6, "1,000"),
            (1_234_567.8, "1,234,568"),
            (-4321.0, "-4,321"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
        assert_eq!(number(f64::NAN), NONE);
        assert_eq!(
            (short(0.5), short(20.0), short(1_000.0)),
            ("0.5".to_owned(), "20".to_owned(), "1,000".to_owned())
        );
    }

    #[test]
    fn times_choose_their_unit() {
        let cases = [
            (12.34, "12.3\u{a0}µs"),
            (999.4, "999\u{a0}µs"),
            (999.6, "1.00\u{a0}ms"),
            (45_600.0, "45.6\u{a0}ms"),
            (2e6, "2.00\u{a0}s"),
        ];
        for (us, text) in cases {
            assert_eq!(time_us(us), text);
        }
        assert_eq!(short_time_us(10_000.0), "10\u{a0}ms");
    }
}
