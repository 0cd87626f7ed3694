//! The proof: what a wake-up, a turn through a ring and a look at the clock take on this host now.

use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::finding::{Check, Finding, Group, Weight};
use crate::runtime;

/// Wake-ups that are measured, with [`REST`] before each: half a second in all.
const WAKE_UPS: usize = 200;

/// How long a thread sleeps before it is woken: long enough for its core to go to sleep too.
const REST: Duration = Duration::from_millis(2);

/// Turns through a ring: a few milliseconds.
const TURNS: usize = 2_000;

/// Looks at the clock.
const LOOKS: u32 = 100_000;

const WAKE_UP: Check = Check {
    name: "wake-up of a sleeping thread",
    wanted: "p99 of 100 µs at most",
    why: "every request that comes to a resting server pays it once, and every commit once more",
    how: "see governor, C-states, steal time and CPU quota above; runtime.busy_poll where cores are our own",
    source: "measured now: a thread that rested for 2 ms, woken by another",
    weight: Weight::Server,
};

const ROUND_TRIP: Check = Check {
    name: "turn through a ring",
    wanted: "p99 of 20 µs at most",
    why: "it is a system call and the ring's own work: slow where a filter, an audit rule or a hypervisor is in the way",
    how: "fewer seccomp rules, no syscall auditing (auditctl -D), a kernel without needless mitigations",
    source: "measured now: a no-op through a ring of a worker's size",
    weight: Weight::Server,
};

const CLOCK_READ: Check = Check {
    name: "look at the clock",
    wanted: "200 ns at most",
    why: "each request reads the clock a few times",
    how: "see clock source above",
    source: "measured now: clock_gettime(2), CLOCK_MONOTONIC",
    weight: Weight::Server,
};

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    wake_ups: Vec<Duration>,
    /// Empty where there is no ring.
    turns: Vec<Duration>,
    clock: Duration,
}

/// Takes a good half second.
pub(super) fn measure() -> Measured {
    let turns = runtime::ring_round_trips(TURNS).unwrap_or_default();
    Measured { wake_ups: wake_ups(), turns, clock: clock() }
}

/// The time from a send to the moment at which the sleeping receiver runs.
fn wake_ups() -> Vec<Duration> {
    let (sender, woken) = mpsc::sync_channel::<Instant>(1);
    let sleeper = thread::spawn(move || woken.iter().map(|sent| sent.elapsed()).collect());
    for _ in 0..WAKE_UPS {
        thread::sleep(REST);
        // It ends after the last send, so it listens.
        let _ = sender.send(Instant::now());
    }
    drop(sender);
    sleeper.join().unwrap_or_default()
}

fn clock() -> Duration {
    let begin = Instant::now();
    for _ in 0..LOOKS {
        black_box(Instant::now());
    }
    begin.elapsed() / LOOKS
}

/// Judges what was measured.
pub(super) fn check(mut measured: Measured) -> Group {
    let wake_up = percentiles(&WAKE_UP, &mut measured.wake_ups, Duration::from_micros(100));
    let turn = percentiles(&ROUND_TRIP, &mut measured.turns, Duration::from_micros(20));
    let clock = measured.clock.as_nanos();
    let clock = CLOCK_READ.found(format!("{clock} ns"), clock <= 200);
    Group { title: "latency, measured now", findings: vec![wake_up, turn, clock] }
}

fn percentiles(check: &Check, times: &mut [Duration], bound: Duration) -> Finding {
    times.sort_unstable();
    let at = |percent: usize| times.get(times.len() * percent / 100).copied();
    match (at(50), at(99), times.last()) {
        (Some(median), Some(late), Some(&worst)) => {
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            let now =
                format!("p50 {:.1}, p99 {:.1}, max {:.0} µs", micros(median), micros(late), micros(worst));
            check.found(now, late <= bound)
        }
        _ => check.unknown("could not be measured"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn the_tail_is_judged() {
        let micros = |late| {
            let mut times = vec![Duration::from_micros(5); 97];
            times.extend([Duration::from_micros(late); 3]);
            times
        };
        let states = |measured| check(measured).findings.iter().map(|found| found.state).collect::<Vec<_>>();
        let measured = |late, clock| Measured {
            wake_ups: micros(late * 5),
            turns: micros(late),
            clock: Duration::from_nanos(clock),
        };
        assert_eq!(states(measured(20, 50)), [State::Fits; 3]);
        assert_eq!(states(measured(21, 900)), [State::Differs; 3]);
        let nothing = Measured { wake_ups: Vec::new(), turns: Vec::new(), clock: Duration::ZERO };
        assert_eq!(states(nothing), [State::Unknown, State::Unknown, State::Fits]);
    }

    #[test]
    fn wake_ups_are_measured_on_any_host() {
        let measured = measure();
        assert_eq!(measured.wake_ups.len(), WAKE_UPS);
        assert!(measured.wake_ups.iter().all(|time| !time.is_zero()));
        assert!(!measured.clock.is_zero());
    }
}
