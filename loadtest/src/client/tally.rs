//! What one thread counts while it runs, and how the threads' counts become what was [`Seen`].

use std::time::Duration;

use hdrhistogram::Histogram;

use super::verdict;
use crate::plan::Plan;
use crate::seen::{Errors, Seen, Stretch};

/// The longest time that is told apart; longer ones count as this. An hour, in nanoseconds.
const LONGEST_NS: u64 = 3_600_000_000_000;
/// Significant digits of the distributions that are reported.
const DIGITS: u8 = 3;
/// Significant digits of those of each second; each takes some 40 KiB a thread.
const DIGITS_OF_STRETCHES: u8 = 2;
/// Seconds that are told apart; later ones count with the last. Bounds memory at some 150 MiB a thread.
const STRETCHES_BOUND: usize = 3_600;

/// What one thread counted.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) response_ns: Histogram<u64>,
    pub(super) service_ns: Histogram<u64>,
    pub(super) pacer_late_ns: Histogram<u64>,
    pub(super) ok: u64,
    pub(super) errors: Errors,
    pub(super) dropped: u64,
    /// When the last reply came, in nanoseconds since the run began.
    pub(super) last_ns: u64,
    /// CPU time of the thread.
    pub(super) cpu_ns: u64,
    /// How long it spun with nothing to do.
    pub(super) spun_ns: u64,
    /// How long it ran.
    pub(super) wall_ns: u64,
    pub(super) priority_raised: bool,
    seconds: Vec<Second>,
    /// How many seconds the run was to last, at least 1.
    seconds_bound: usize,
}

#[derive(Debug)]
struct Second {
    response_ns: Histogram<u64>,
    errors: u64,
}

/// A distribution of nanoseconds.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, digits)
        .expect("these constants are within what the crate allows")
}

impl Tally {
    pub(super) fn new(duration: Duration) -> Self {
        let seconds = usize::try_from(duration.as_nanos().div_ceil(1_000_000_000)).unwrap_or(usize::MAX);
        Self {
            response_ns: histogram(DIGITS),
            service_ns: histogram(DIGITS),
            pacer_late_ns: histogram(DIGITS),
            ok: 0,
            errors: Errors::default(),
            dropped: 0,
            last_ns: 0,
            cpu_ns: 0,
            spun_ns: 0,
            wall_ns: 0,
            priority_raised: false,
            seconds: Vec::new(),
            seconds_bound: seconds.clamp(1, STRETCHES_BOUND),
        }
    }

    /// A success. Moments are nanoseconds since the run began.
    pub(super) fn succeed(&mut self, due_ns: u64, sent_ns: u64, now_ns: u64) {
        let response_ns = now_ns.saturating_sub(due_ns);
        self.ok += 1;
        self.last_ns = now_ns;
        self.response_ns.saturating_record(response_ns);
        self.service_ns.saturating_record(now_ns.saturating_sub(sent_ns));
        self.second(now_ns).response_ns.saturating_record(response_ns);
    }

    /// `count` failures of the cause that `of` names.
    pub(super) fn fail(&mut self, of: fn(&mut Errors) -> &mut u64, count: u64, now_ns: u64) {
        *of(&mut self.errors) += count;
        self.second(now_ns).errors += count;
    }

    fn second(&mut self, now_ns: u64) -> &mut Second {
        let second = usize::try_from(now_ns / 1_000_000_000).unwrap_or(usize::MAX);
        let index = second.min(self.seconds_bound - 1);
        while self.seconds.len() <= index {
            self.seconds.push(Second { response_ns: histogram(DIGITS_OF_STRETCHES), errors: 0 });
        }
        &mut self.seconds[index]
    }

    fn add(&mut self, other: &Self) {
        let same = "histograms of equal bounds add up";
        self.response_ns.add(&other.response_ns).expect(same);
        self.service_ns.add(&other.service_ns).expect(same);
        self.pacer_late_ns.add(&other.pacer_late_ns).expect(same);
        self.ok += other.ok;
        self.errors.status += other.errors.status;
        self.errors.timeout += other.errors.timeout;
        self.errors.reset += other.errors.reset;
        self.errors.malformed += other.errors.malformed;
        self.errors.connect += other.errors.connect;
        self.dropped += other.dropped;
        self.last_ns = self.last_ns.max(other.last_ns);
        self.cpu_ns += other.cpu_ns;
        self.spun_ns += other.spun_ns;
        self.wall_ns += other.wall_ns;
        self.priority_raised &= other.priority_raised;
        for (index, second) in other.seconds.iter().enumerate() {
            let own = self.second(index as u64 * 1_000_000_000);
            own.response_ns.add(&second.response_ns).expect(same);
            own.errors += second.errors;
        }
    }
}

/// All threads together, over a run that was to last `duration`.
pub(super) fn seen(parts: &[Tally], plan: &Plan, duration: Duration) -> Seen {
    let busiest = parts.iter().map(busy_share).fold(0.0, f64::max);
    let mut all = Tally::new(duration);
    all.priority_raised = true;
    for part in parts {
        all.add(part);
    }
    let elapsed = duration.max(Duration::from_nanos(all.last_ns));
    Seen {
        timeline: stretches(&all, duration),
        client_cpu_share: share(all.cpu_ns, all.wall_ns),
        priority_raised: all.priority_raised,
        client_limited: verdict::limit(&all, plan, busiest),
        response_ns: all.response_ns,
        service_ns: all.service_ns,
        pacer_late_ns: all.pacer_late_ns,
        ok: all.ok,
        errors: all.errors,
        dropped: all.dropped,
        elapsed,
    }
}

/// Which part of a thread's time went into work: CPU time, less what it spun.
fn busy_share(part: &Tally) -> f64 {
    share(part.cpu_ns.saturating_sub(part.spun_ns), part.wall_ns)
}

#[expect(clippy::cast_precision_loss, reason = "a share needs few digits")]
fn share(part_ns: u64, whole_ns: u64) -> f64 {
    if whole_ns == 0 { 0.0 } else { part_ns as f64 / whole_ns as f64 }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a second are far below 2^52")]
fn stretches(all: &Tally, duration: Duration) -> Vec<Stretch> {
    let stretch = |(index, second): (usize, &Second)| {
        let length_s = (duration.as_secs_f64() - index as f64).clamp(f64::EPSILON, 1.0);
        let times = &second.response_ns;
        Stretch {
            at_s: index as f64,
            ok_per_s: times.len() as f64 / length_s,
            errors: second.errors,
            p50_ns: times.value_at_quantile(0.5),
            p99_ns: times.value_at_quantile(0.99),
            max_ns: times.max(),
        }
    };
    all.seconds.iter().enumerate().map(stretch).collect()
}
