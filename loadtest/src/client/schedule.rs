//! The moments at which requests of an open loop are due. Pure: time is a number that comes in.

use fastrand::Rng;

use crate::plan::Arrivals;

/// Seed of Poisson arrivals, so that every subject of a comparison meets the same moments.
const SEED: u64 = 0x10ad;

/// The moments of one thread, in nanoseconds since the run began.
#[derive(Debug)]
pub(super) struct Schedule {
    gap_ns: f64,
    due_ns: f64,
    rng: Option<Rng>,
}

impl Schedule {
    /// `share` of a whole `rate_per_s`, of which `before` is the share of the threads before this one, so that the
    /// moments of all threads together are at equal distances when shares are equal.
    pub(super) fn new(rate_per_s: f64, arrivals: Arrivals, share: f64, before: f64, thread: u64) -> Self {
        let gap_ns = 1e9 / (rate_per_s * share);
        let mut rng = (arrivals == Arrivals::Poisson).then(|| Rng::with_seed(SEED + thread));
        let due_ns = rng.as_mut().map_or(gap_ns * before, |rng| exponential(rng) * gap_ns);
        Self { gap_ns, due_ns, rng }
    }

    /// When the next request is due.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a sum of positive nanoseconds"
    )]
    pub(super) fn due_ns(&self) -> u64 {
        self.due_ns as u64
    }

    /// Goes on to the request after it. A sum of f64 errs by less than 1 µs in an hour at any rate.
    pub(super) fn advance(&mut self) {
        self.due_ns += self.rng.as_mut().map_or(self.gap_ns, |rng| exponential(rng) * self.gap_ns);
    }
}

/// A distance of a Poisson process of rate 1.
fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut schedule: Schedule, until_ns: u64) -> Vec<u64> {
        std::iter::from_fn(|| {
            let due = schedule.due_ns();
            schedule.advance();
            (due < until_ns).then_some(due)
        })
        .collect()
    }

    #[test]
    fn constant_moments_of_two_threads_interleave() {
        let of = |before, thread| {
            moments(Schedule::new(1_000.0, Arrivals::Constant, 0.5, before, thread), 10_000_000)
        };
        let mut all = [of(0.0, 0), of(0.5, 1)].concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).map(|k| k * 1_000_000).collect::<Vec<_>>());
    }

    #[test]
    fn poisson_moments_have_the_rate_and_the_spread() {
        let all = moments(Schedule::new(100_000.0, Arrivals::Poisson, 1.0, 0.0, 0), 1_000_000_000);
        assert!((99_000..101_000).contains(&all.len()), "{}", all.len());
        // Of exponential distances, 1 - 1/e are shorter than their mean.
        let short = all.windows(2).filter(|pair| pair[1] - pair[0] < 10_000).count();
        assert!((62_200..64_200).contains(&short), "{short}");
    }
}
