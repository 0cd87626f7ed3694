//! What is drawn of a run: response times by percentile, and the run over time. Knows nothing of how it is drawn.

use hdrhistogram::Histogram;

use super::{micros, percentile_us};
use crate::comparison::Moment;
use crate::seen::Seen;

/// The percentiles that a curve is drawn through, closer together the nearer they are to 100.
const DRAWN: [f64; 20] = [
    0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95,
    99.99, 99.995, 99.999,
];

/// Percentiles (0 to 100) of nanoseconds with their times in microseconds, as far as samples suffice.
pub fn percentiles(times_ns: &Histogram<u64>) -> Vec<(f64, f64)> {
    DRAWN.iter().filter_map(|&percentile| Some((percentile, percentile_us(times_ns, percentile)?))).collect()
}

/// The seconds of a run.
pub fn timeline(seen: &Seen) -> Vec<Moment> {
    let moments = seen.timeline.iter().map(|stretch| Moment {
        at_s: stretch.at_s,
        ok_per_s: stretch.ok_per_s,
        p50_us: micros(stretch.p50_ns),
        p99_us: micros(stretch.p99_ns),
    });
    moments.collect()
}
