//! Medians with bootstrap intervals, and percentiles only where samples suffice. Knows numbers and nothing of what
//! they measure.

use crate::comparison::Interval;

/// Resamples of a bootstrap: the ends of a 95 % interval then vary by less than their own rounding.
const RESAMPLES: usize = 10_000;

/// The share of resampled medians inside an interval.
const CONFIDENCE: f64 = 0.95;

/// Every interval starts from this seed, so that the same rounds give the same interval.
const SEED: u64 = 0x005e_ed0f_a1ed_9e75;

/// Samples that must lie beyond a percentile before it is told: fewer, and one hiccup decides it.
const SAMPLES_BEYOND: f64 = 10.0;

/// Fewer rounds than this give an interval that is hardly more than the lowest and highest value.
pub const ROUNDS_FOR_FINE_INTERVALS: usize = 10;

/// The median over rounds with its 95 % interval from a block bootstrap: a block is a round, and rounds are drawn
/// with replacement (Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13, percentile method).
/// None without values.
pub fn interval(values: &[f64]) -> Option<Interval> {
    let mut rng = fastrand::Rng::with_seed(SEED);
    let mut resample = vec![0.0; values.len()];
    let mut medians = Vec::with_capacity(RESAMPLES);
    let middle = median(&mut values.to_vec())?;
    for _ in 0..RESAMPLES {
        resample.fill_with(|| values[rng.usize(..values.len())]);
        medians.extend(median(&mut resample));
    }
    medians.sort_unstable_by(f64::total_cmp);
    let tail = (1.0 - CONFIDENCE) / 2.0;
    Some(Interval { median: middle, lo: quantile(&medians, tail), hi: quantile(&medians, 1.0 - tail) })
}

/// The median; sorts what it is given. None without values.
pub fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], upper) } else { upper })
}

/// The value below which a share of sorted values lies (nearest rank); 0 without values.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index below the length")]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * as_f64(sorted.len())).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// Whether `samples` are enough to tell the percentile (0 to 100).
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn suffices(samples: u64, percentile: f64) -> bool {
    // A part of a sample is forgiven, so that 10,000 do for p99.9 although 100 - 99.9 is no exact f64.
    samples as f64 * (100.0 - percentile) / 100.0 + 1e-6 >= SAMPLES_BEYOND
}

/// Whether 1 lies inside: the ratio then shows no difference.
pub fn spans_one(ratio: Interval) -> bool {
    ratio.lo <= 1.0 && ratio.hi >= 1.0
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_an_odd_and_the_mean_of_the_middle_two_of_an_even_count() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn equal_rounds_leave_no_doubt() {
        assert_eq!(interval(&[7.0; 5]), Some(Interval { median: 7.0, lo: 7.0, hi: 7.0 }));
        assert_eq!(interval(&[]), None);
    }

    /// Of five rounds the median of a resample is the lowest with probability 0.058 (three or more of five draws
    /// hit it), so both ends of a 95 % interval are the extremes.
    #[test]
    fn with_five_rounds_the_interval_is_from_the_lowest_to_the_highest() {
        let seen = interval(&[5.0, 1.0, 3.0, 2.0, 4.0]).expect("values");
        assert_eq!(seen, Interval { median: 3.0, lo: 1.0, hi: 5.0 });
    }

    /// The textbook error of a median of n normal values is 1.2533 sigma / sqrt(n): for 0, 1, .., 100 (sigma 29.2)
    /// about 3.6 if it were normal and 5 as it is uniform (1 / (2 f sqrt(n))), which makes an interval of about +-9.8.
    #[test]
    fn with_many_rounds_the_interval_is_as_wide_as_theory_says() {
        let values: Vec<f64> = (0..=100).map(f64::from).collect();
        let seen = interval(&values).expect("values");
        assert!((seen.median - 50.0).abs() < 1e-9);
        assert!((37.0..=43.0).contains(&seen.lo), "{seen:?}");
        assert!((57.0..=63.0).contains(&seen.hi), "{seen:?}");
    }

    #[test]
    fn the_same_rounds_give_the_same_interval() {
        let values = [1.0, 2.5, 2.0, 9.0, 3.0, 4.0, 2.0];
        assert_eq!(interval(&values), interval(&values));
    }

    #[test]
    fn a_percentile_needs_ten_samples_beyond_it() {
        assert!(suffices(20, 50.0));
        assert!(!suffices(999, 99.0));
        assert!(suffices(1_000, 99.0));
        assert!(!suffices(9_999, 99.9));
        assert!(suffices(10_000, 99.9));
    }

    #[test]
    fn a_ratio_shows_a_difference_only_when_its_interval_keeps_clear_of_one() {
        let ratio = |lo, hi| Interval { median: 1.1, lo, hi };
        assert!(spans_one(ratio(0.9, 1.2)));
        assert!(spans_one(ratio(1.0, 1.2)));
        assert!(!spans_one(ratio(1.01, 1.2)));
        assert!(!spans_one(ratio(0.7, 0.99)));
    }
}
