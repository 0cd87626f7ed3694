//! A distribution in the text format of `HdrHistogram`'s `outputPercentileDistribution`, which its plotters read.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// Steps for each halving of the distance to 100 %, as `HdrHistogram`'s own tools take.
const TICKS_PER_HALF_DISTANCE: f64 = 5.0;

/// The distribution of nanoseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "counts, and nanoseconds of an hour, are below 2^52")]
pub fn distribution(times_ns: &Histogram<u64>) -> String {
    let ms = |ns: f64| ns / 1e6;
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let (mut count, mut percentile) = (0, 0.0);
    for step in times_ns.iter_recorded() {
        count += step.count_since_last_iteration();
        let value = ms(times_ns.highest_equivalent(step.value_iterated_to()) as f64);
        let reached = 100.0 * count as f64 / times_ns.len() as f64;
        while percentile <= reached {
            let (share, tail) = (percentile / 100.0, 1.0 / (1.0 - percentile / 100.0));
            let _ = writeln!(text, "{value:12.3} {share:2.12} {count:10} {tail:14.2}");
            percentile += percentile_step(percentile);
            if count == times_ns.len() {
                let _ = writeln!(text, "{value:12.3} {:2.12} {count:10}", 1.0);
                break;
            }
        }
    }
    let (mean, deviation, max) = (ms(times_ns.mean()), ms(times_ns.stdev()), ms(times_ns.max() as f64));
    let (total, buckets) = (times_ns.len(), times_ns.buckets());
    let sub_buckets = sub_buckets(times_ns.sigfig());
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {total:12}]");
    let _ = writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
    text
}

/// From one percentile to the next, in the original's own arithmetic: in percent, for sums of shares round another
/// way and reach the next value a step too late.
fn percentile_step(percentile: f64) -> f64 {
    let halvings = (100.0 / (100.0 - percentile)).log2().floor();
    100.0 / (TICKS_PER_HALF_DISTANCE * (halvings + 1.0).exp2())
}

/// How many values a bucket tells apart: the power of two from twice the steps of `digits` decimal digits on.
fn sub_buckets(digits: u8) -> u32 {
    (2 * 10_u32.pow(u32::from(digits))).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The listing of the Java original; `tests/fixtures/README.md` says how it was made.
    #[test]
    fn the_listing_is_that_of_hdrhistogram() {
        let mut times = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        for i in 0..500 {
            times.record(50_000 + i * i * i).unwrap();
        }
        let ours = distribution(&times);
        for (line, theirs) in ours.lines().zip(include_str!("../../tests/fixtures/cubes.hgrm").lines()) {
            assert_eq!(line, theirs);
        }
        assert_eq!(ours, include_str!("../../tests/fixtures/cubes.hgrm"));
    }

    #[test]
    fn a_listing_without_values_has_its_head_and_foot() {
        let text = distribution(&Histogram::new_with_bounds(1, 1_000_000, 3).unwrap());
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2, "{text}");
        assert!(text.contains("Total count    =            0"), "{text}");
    }
}
