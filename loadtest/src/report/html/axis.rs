//! Axes of plots: from values to positions, and where ticks stand. Knows neither SVG nor units.

/// A tick more than this many would crowd an axis.
const TICKS: f64 = 6.0;
/// A logarithmic axis never spans more decades, so that one stray value does not flatten the rest.
const DECADES: f64 = 9.0;

/// How values are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Equal distances are equal differences; begins at 0.
    Linear,
    /// Equal distances are equal ratios.
    Log,
}

/// The part of a scale that a plot shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Axis {
    pub(super) scale: Scale,
    pub(super) lo: f64,
    pub(super) hi: f64,
}

impl Axis {
    /// An axis with round ends around the values that `scale` can show; `None` if there are none.
    pub(super) fn around(scale: Scale, values: impl Iterator<Item = f64>) -> Option<Self> {
        let shown = values.filter(|v| v.is_finite() && *v > 0.0);
        let (min, max) = shown.fold((f64::INFINITY, 0.0_f64), |(lo, hi), v| (lo.min(v), hi.max(v)));
        (max > 0.0).then(|| match scale {
            Scale::Linear => {
                let step = round_step(max / TICKS);
                Self { scale, lo: 0.0, hi: step * (max / step).ceil() }
            }
            Scale::Log => {
                let min = min.max(max / 10_f64.powf(DECADES));
                let (lo, hi) = (round_down(min), round_up(max));
                Self { scale, lo, hi: if hi > lo { hi } else { round_up(hi * 1.5) } }
            }
        })
    }

    /// From 0 at the lower end to 1 at the upper; values beyond the ends are held there.
    pub(super) fn share(self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => (value - self.lo) / (self.hi - self.lo),
            Scale::Log => (value.max(self.lo) / self.lo).log10() / (self.hi / self.lo).log10(),
        };
        share.clamp(0.0, 1.0)
    }

    /// Round values on the axis, ascending.
    pub(super) fn ticks(self) -> Vec<f64> {
        let decades = (self.hi / self.lo).log10();
        match self.scale {
            Scale::Log if decades > 3.0 => self.powers(&[1.0], (decades / TICKS).ceil()),
            Scale::Log if decades > 1.9 => self.powers(&[1.0, 3.0], 1.0),
            Scale::Log if decades > 0.9 => self.powers(&[1.0, 2.0, 5.0], 1.0),
            Scale::Linear | Scale::Log => self.steps(),
        }
    }

    /// Each `every`th power of ten times each of `factors`.
    fn powers(self, factors: &[f64], every: f64) -> Vec<f64> {
        let exponents = std::iter::successors(Some(self.lo.log10().floor()), |e| Some(e + every))
            .take_while(|e| 10_f64.powf(*e) <= self.hi * 1.001);
        exponents
            .flat_map(|e| factors.iter().map(move |f| f * 10_f64.powf(e)))
            .filter(|v| (self.lo * 0.999..=self.hi * 1.001).contains(v))
            .collect()
    }

    fn steps(self) -> Vec<f64> {
        let step = round_step((self.hi - self.lo) / TICKS);
        let first = (self.lo / step - 1e-9).ceil();
        std::iter::successors(Some(first), |n| Some(n + 1.0))
            .map(|n| n * step)
            .take_while(|v| *v <= self.hi + step * 1e-9)
            .collect()
    }
}

/// Where a percentile stands on the axis of `HdrHistogram`'s plots: the number of nines, `log10(1 / (1 - p))`.
/// `None` for 100 %, which has no place on it.
pub(super) fn nines(percentile: f64) -> Option<f64> {
    let beyond = 1.0 - percentile / 100.0;
    (percentile >= 0.0 && beyond > 0.0).then(|| -beyond.log10())
}

/// The least of 1, 2 and 5 times a power of ten that is not below `value`.
fn round_step(value: f64) -> f64 {
    round_to(value, |f, v| f >= v * 0.999_999, &[1.0, 2.0, 5.0, 10.0])
}

fn round_up(value: f64) -> f64 {
    round_to(value, |f, v| f >= v, &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0])
}

fn round_down(value: f64) -> f64 {
    round_to(value, |f, v| f <= v, &[7.0, 5.0, 4.0, 3.0, 2.0, 1.5, 1.0])
}

/// The first of `factors` times the power of ten just below `value` that `fits`; `value` itself if rounding of
/// floats lets none fit.
fn round_to(value: f64, fits: impl Fn(f64, f64) -> bool, factors: &[f64]) -> f64 {
    let power = 10_f64.powf(value.log10().floor());
    factors.iter().map(|f| f * power).find(|f| fits(*f, value)).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentiles_stand_at_their_number_of_nines() {
        let at: Vec<f64> = [0.0, 90.0, 99.0, 99.9].iter().filter_map(|p| nines(*p)).collect();
        for (found, expected) in at.iter().zip([0.0, 1.0, 2.0, 3.0]) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
        assert_eq!(at.len(), 4);
        assert_eq!(nines(100.0), None);
        assert_eq!(nines(f64::NAN), None);
    }

    #[test]
    fn ticks_are_round() {
        let linear = Axis::around(Scale::Linear, [420.0].into_iter()).unwrap();
        assert_eq!(linear.ticks(), [0.0, 100.0, 200.0, 300.0, 400.0, 500.0]);
        let log = Axis { scale: Scale::Log, lo: 10.0, hi: 100_000.0 };
        assert_eq!(log.ticks(), [10.0, 100.0, 1_000.0, 10_000.0, 100_000.0]);
        let narrow = Axis { scale: Scale::Log, lo: 30.0, hi: 60.0 };
        assert_eq!(
            narrow.ticks(),
            [30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0]
                .into_iter()
                .filter(|v| v % 5.0 == 0.0)
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn nothing_to_show_is_no_axis() {
        assert_eq!(Axis::around(Scale::Log, [0.0, f64::NAN, -1.0].into_iter()), None);
        assert_eq!(Axis::around(Scale::Linear, std::iter::empty()), None);
    }

    proptest! {
        #[test]
        fn an_axis_holds_its_values_and_a_few_ticks(
            values in prop::collection::vec(1e-3..1e9_f64, 1..20),
            scale in prop::sample::select(vec![Scale::Linear, Scale::Log]),
        ) {
            let axis = Axis::around(scale, values.iter().copied()).unwrap();
            let max = values.iter().copied().fold(0.0, f64::max);
            prop_assert!(axis.lo < axis.hi && max <= axis.hi * 1.000_001);
            let ticks = axis.ticks();
            prop_assert!((2..=14).contains(&ticks.len()), "{:?}", ticks);
            prop_assert!(ticks.windows(2).all(|t| t[0] < t[1]));
            prop_assert!(ticks.iter().all(|t| *t >= axis.lo * 0.999 && *t <= axis.hi * 1.002));
        }

        #[test]
        fn greater_values_stand_no_lower(a in 1e-3..1e9_f64, b in 1e-3..1e9_f64, scale in prop::sample::select(vec![Scale::Linear, Scale::Log])) {
            let axis = Axis::around(scale, [a, b].into_iter()).unwrap();
            let (low, high) = (axis.share(a.min(b)), axis.share(a.max(b)));
            prop_assert!((0.0..=1.0).contains(&low) && low <= high && high <= 1.0);
        }
    }
}
