//! A distribution in the text format of `HdrHistogram`'s `outputPercentileDistribution`, which its plotters read.

use std::fmt::Write as _;

use hdrhistogram::Histogram;

/// Steps for each halving of the distance to 100 %, as `HdrHistogram`'s own tools take.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The distribution of nanoseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "nanoseconds of an hour are below 2^52")]
pub fn distribution(times_ns: &Histogram<u64>) -> String {
    let ms = |ns: f64| ns / 1e6;
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut count = 0;
    for step in times_ns.iter_quantiles(TICKS_PER_HALF_DISTANCE) {
        count += step.count_since_last_iteration();
        let quantile = step.quantile_iterated_to();
        let value = ms(times_ns.highest_equivalent(step.value_iterated_to()) as f64);
        let _ = write!(text, "{value:12.3} {quantile:2.12} {count:10}");
        let _ =
            if quantile < 1.0 { writeln!(text, " {:14.2}", 1.0 / (1.0 - quantile)) } else { writeln!(text) };
    }
    let (mean, deviation, max) = (ms(times_ns.mean()), ms(times_ns.stdev()), ms(times_ns.max() as f64));
    let (total, buckets) = (times_ns.len(), times_ns.buckets());
    let sub_buckets = sub_buckets(times_ns.sigfig());
    let _ = writeln!(text, "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]");
    let _ = writeln!(text, "#[Max     = {max:12.3}, Total count    = {total:12}]");
    let _ = writeln!(text, "#[Buckets = {buckets:12}, SubBuckets     = {sub_buckets:12}]");
    text
}

/// How many values a bucket tells apart: the power of two from twice the steps of `digits` decimal digits on.
fn sub_buckets(digits: u8) -> u32 {
    (2 * 10_u32.pow(u32::from(digits))).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `outputPercentileDistribution(out, 5, 1_000_000.0)` of the Java original lists these values.
    #[test]
    fn the_listing_is_that_of_hdrhistogram() {
        let mut times = Histogram::<u64>::new_with_bounds(1, 3_600_000_000_000, 3).unwrap();
        for ns in [1_000_000, 2_000_000, 3_000_000, 4_000_000] {
            times.record(ns).unwrap();
        }
        let text = distribution(&times);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "       Value     Percentile TotalCount 1/(1-Percentile)");
        assert_eq!(lines[1], "");
        assert_eq!(lines[2], "       1.000 0.000000000000          1           1.00");
        assert_eq!(lines[3], "       1.000 0.100000000000          1           1.11");
        assert!(text.contains("\n       2.001 0.500000000000          2           2.00\n"), "{text}");
        assert!(text.contains("\n       4.002 1.000000000000          4\n#[Mean"), "{text}");
        assert!(text.ends_with("#[Buckets =           32, SubBuckets     =         2048]\n"), "{text}");
    }
}
