//! Whether the client and not the server set the figures of a run. Pure.

use std::time::Duration;

use super::tally::Tally;
use crate::plan::{Pace, Plan};

/// A schedule that is this late at its 99th percentile is none, however slow the server is.
const LATE_BOUND: Duration = Duration::from_millis(1);
/// Above this part of the 99th percentile of the response times, these tell more of the client than of the server.
/// A smaller part is no verdict: a thread that sleeps is woken some 50 to 100 µs late, which is visible in the
/// response times of any server that answers within a millisecond. The report tells it beside them.
const LATE_SHARE: f64 = 0.5;
/// A thread that works for more than this part of its time has no room for another request: the kernel's own
/// accounting rounds, and a thread that waits at all is below it.
const BUSY_BOUND: f64 = 0.95;

/// Why the figures are the client's, if they are. `busiest` is the part of its time that the busiest thread worked.
pub(super) fn limit(all: &Tally, plan: &Plan, busiest: f64) -> Option<String> {
    late(all).or_else(|| busy(all, plan, busiest))
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds of an hour are below 2^52")]
fn late(all: &Tally) -> Option<String> {
    if all.pacer_late_ns.is_empty() {
        return None;
    }
    let late = Duration::from_nanos(all.pacer_late_ns.value_at_quantile(0.99));
    if late > LATE_BOUND {
        return Some(format!("the client's own schedule was {late:.1?} late at p99: the times are its own"));
    }
    let p99_ns = all.response_ns.value_at_quantile(0.99) as f64;
    let is_most = !all.response_ns.is_empty() && late.as_nanos() as f64 > LATE_SHARE * p99_ns;
    is_most.then(|| {
        format!("the client's own schedule was {late:.1?} late at p99, more than half of the response p99")
    })
}

fn busy(all: &Tally, plan: &Plan, busiest: f64) -> Option<String> {
    if busiest <= BUSY_BOUND {
        return None;
    }
    let percent = busiest * 100.0;
    Some(match plan.pace {
        Pace::Closed { .. } => {
            format!("a client thread used {percent:.0} % of its core: the rate is the client's own limit")
        }
        Pace::Open { .. } if all.dropped > 0 => {
            format!("a client thread used {percent:.0} % of its core and dropped requests")
        }
        Pace::Open { .. } => format!("a client thread used {percent:.0} % of its core"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Arrivals, Requests};

    fn plan(pace: Pace) -> Plan {
        Plan {
            address: ([127, 0, 0, 1], 1).into(),
            connections: 1,
            pace,
            requests: Requests(Vec::new()),
            expected_status: 200,
            failure_mark: None,
            timeout: Duration::from_secs(1),
            cores: Vec::new(),
            spin: false,
        }
    }

    fn open() -> Plan {
        plan(Pace::Open { rate_per_s: 1.0, arrivals: Arrivals::Constant })
    }

    fn tally(late: Duration, response: Duration) -> Tally {
        let mut tally = Tally::new(Duration::from_secs(1));
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap();
        tally.pacer_late_ns.record_n(ns(late), 100).unwrap();
        tally.response_ns.record_n(ns(response), 100).unwrap();
        tally
    }

    #[test]
    fn lateness_counts_by_itself_and_as_a_part_of_the_times() {
        let [us, ms] = [Duration::from_micros(1), Duration::from_millis(1)];
        assert_eq!(limit(&tally(70 * us, 213 * us), &open(), 0.1), None);
        assert_eq!(limit(&tally(900 * us, 2 * ms), &open(), 0.1), None);
        assert!(limit(&tally(70 * us, 130 * us), &open(), 0.1).unwrap().contains("half"));
        assert!(limit(&tally(2 * ms, 900 * ms), &open(), 0.1).unwrap().contains("late"));
    }

    #[test]
    fn a_busy_thread_is_a_limit() {
        let idle = Tally::new(Duration::from_secs(1));
        let closed = plan(Pace::Closed { depth: 1 });
        assert_eq!(limit(&idle, &closed, 0.9), None);
        assert!(limit(&idle, &closed, 0.99).unwrap().contains("99 %"));
        assert!(limit(&idle, &open(), 0.99).unwrap().contains("99 %"));
    }
}
