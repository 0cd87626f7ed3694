//! The cores: how fast they wake, how fast they run, and who else is on them.

use super::finding::{Check, Finding, Group, Weight};
use super::host::{Host, core_list};
use crate::config::{BusyPoll, Settings};

/// An idle state that takes longer to leave shows in the p99 of a quiet server.
const WAKE_LATENCY_MAX_US: u64 = 20;

/// Share of stolen time that shows in the p99, in hundredths of a percent.
const STEAL_MAX: u64 = 50;

/// Clocks that are read without a system call (`vdso(7)`).
const FAST_CLOCKS: [&str; 4] = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

const GOVERNOR: Check = Check {
    name: "governor",
    wanted: "performance",
    why: "a core that has slowed down needs milliseconds to run at full speed again",
    how: "cpupower frequency-set -g performance",
    source: "Linux Documentation/admin-guide/pm/cpufreq.rst",
    weight: Weight::Machine,
};

const IDLE_STATES: Check = Check {
    name: "C-states",
    wanted: "20 µs to leave at most",
    why: "the first packet after a pause waits until its core has woken up",
    how: "cpupower idle-set -D 20 (until the next boot), or intel_idle.max_cstate=1 on the kernel's command line",
    source: "Linux Documentation/admin-guide/pm/cpuidle.rst",
    weight: Weight::Machine,
};

const SMT: Check = Check {
    name: "SMT",
    wanted: "off, or one worker for each physical core",
    why: "two workers on one core share its execution units and caches",
    how: "echo off > /sys/devices/system/cpu/smt/control, or bind the service to one thread of each core (CPUAffinity=)",
    source: "Linux Documentation/ABI/testing/sysfs-devices-system-cpu, smt",
    weight: Weight::Machine,
};

const ISOLATED: Check = Check {
    name: "isolated cores",
    wanted: "the workers' cores, where busy_poll is on",
    why: "a core that spins should have nobody else on it",
    how: "isolcpus=managed_irq,domain,CORES on the kernel's command line and CPUAffinity=CORES in the unit",
    source: "Linux Documentation/admin-guide/kernel-parameters.txt, isolcpus; tuning/README.md",
    weight: Weight::Note,
};

const TICKLESS: Check = Check {
    name: "nohz_full cores",
    wanted: "the workers' cores, where busy_poll is on",
    why: "the timer tick interrupts a spinning core 100 to 1,000 times a second",
    how: "nohz_full=CORES rcu_nocbs=CORES on the kernel's command line",
    source: "Linux Documentation/timers/no_hz.rst",
    weight: Weight::Note,
};

const CLOCK: Check = Check {
    name: "clock source",
    wanted: "tsc, kvm-clock, hyperv_clocksource_tsc_page or arch_sys_counter",
    why: "each request reads the clock a few times; others than these cost a system call each",
    how: "clocksource=tsc on the kernel's command line, if the machine's is stable (dmesg)",
    source: "vdso(7); Linux Documentation/timers/timekeeping.rst",
    weight: Weight::Server,
};

const STEAL: Check = Check {
    name: "steal time",
    wanted: "below 0.5 %",
    why: "the hypervisor gave the core to somebody else: every request on it waited",
    how: "a machine with dedicated cores, or fewer neighbours",
    source: "proc_stat(5), steal",
    weight: Weight::Server,
};

/// Looks at every core. `stolen` is the share of the time since boot in hundredths of a percent.
pub(super) fn check(host: &Host, settings: &Settings) -> Group {
    let spins = settings.runtime.busy_poll != BusyPoll::Off;
    let findings = vec![
        governor(host),
        idle_states(host),
        smt(host),
        apart(host, &ISOLATED, "sys/devices/system/cpu/isolated", spins),
        apart(host, &TICKLESS, "sys/devices/system/cpu/nohz_full", spins),
        clock(host),
        steal(host),
    ];
    Group { title: "cores", findings }
}

fn governor(host: &Host) -> Finding {
    let read =
        |core: &usize| host.read(&format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"));
    let mut governors: Vec<_> = host.online_cores().iter().filter_map(read).collect();
    governors.sort();
    governors.dedup();
    if governors.is_empty() {
        return GOVERNOR.unknown("not shown (the hypervisor or the firmware decides)");
    }
    GOVERNOR.found(governors.join(", "), governors == ["performance"])
}

fn idle_states(host: &Host) -> Finding {
    let directory = "sys/devices/system/cpu/cpu0/cpuidle";
    let state = |name: &String| {
        let field = |file: &str| host.read(&format!("{directory}/{name}/{file}"));
        let enabled = field("disable").is_none_or(|value| value == "0");
        let latency = field("latency")?.parse::<u64>().ok()?;
        enabled.then(|| (latency, field("name").unwrap_or_else(|| name.clone())))
    };
    match host.names(directory).iter().filter_map(state).max() {
        Some((latency, name)) => {
            IDLE_STATES.found(format!("{name}, {latency} µs"), latency <= WAKE_LATENCY_MAX_US)
        }
        None => IDLE_STATES.unknown("not shown (the hypervisor or the firmware decides)"),
    }
}

fn smt(host: &Host) -> Finding {
    match host.read("sys/devices/system/cpu/smt/active").as_deref() {
        Some("0") => SMT.found("off", true),
        Some(_) => SMT.found("on", false),
        None => SMT.unknown("not told"),
    }
}

fn apart(host: &Host, check: &Check, file: &str, spins: bool) -> Finding {
    // An empty nohz_full reads "(null)".
    let cores = core_list(&host.read(file).unwrap_or_default());
    let now = if cores.is_empty() { "none".to_owned() } else { format!("{cores:?}") };
    let finding = check.found(now, !spins || !cores.is_empty());
    if spins { finding.weighing(Weight::Machine) } else { finding }
}

fn clock(host: &Host) -> Finding {
    match host.read("sys/devices/system/clocksource/clocksource0/current_clocksource") {
        Some(source) => CLOCK.found(source.as_str(), FAST_CLOCKS.contains(&source.as_str())),
        None => CLOCK.unknown("not told"),
    }
}

fn steal(host: &Host) -> Finding {
    let share = host.read("proc/stat").and_then(|stat| stolen(&stat));
    match share {
        Some(share) => {
            STEAL.found(format!("{}.{:02} % since boot", share / 100, share % 100), share < STEAL_MAX)
        }
        None => STEAL.unknown("not told"),
    }
}

/// The share of stolen time on all cores, in hundredths of a percent, from the first line of `/proc/stat`: user, nice,
/// system, idle, iowait, irq, softirq, steal; what follows is part of the first two.
fn stolen(stat: &str) -> Option<u64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let times: Vec<u64> = line.split_whitespace().take(8).filter_map(|time| time.parse().ok()).collect();
    let (&steal, total) = (times.get(7)?, times.iter().sum::<u64>());
    steal.saturating_mul(10_000).checked_div(total)
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::super::host::fixture;
    use super::*;

    #[test]
    fn every_core_must_run_at_full_speed() {
        let governor_of = |second: &str| {
            let (_root, host) = fixture::host(&[
                ("sys/devices/system/cpu/online", "0-1"),
                ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n"),
                ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", second),
            ]);
            governor(&host)
        };
        assert_eq!(governor_of("performance").state, State::Fits);
        let found = governor_of("powersave");
        assert_eq!((found.state, &*found.now), (State::Differs, "performance, powersave"));
        assert_eq!(governor(&fixture::host(&[]).1).state, State::Unknown);
    }

    #[test]
    fn the_deepest_enabled_idle_state_counts() {
        let deep = |disabled: &str| {
            let (_root, host) = fixture::host(&[
                ("sys/devices/system/cpu/cpu0/cpuidle/state1/name", "C1"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state1/latency", "2"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state1/disable", "0"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/name", "C6"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/latency", "133"),
                ("sys/devices/system/cpu/cpu0/cpuidle/state2/disable", disabled),
            ]);
            let found = idle_states(&host);
            (found.state, found.now)
        };
        assert_eq!(deep("0"), (State::Differs, "C6, 133 µs".to_owned()));
        assert_eq!(deep("1"), (State::Fits, "C1, 2 µs".to_owned()));
    }

    #[test]
    fn cores_are_set_apart_for_those_that_spin() {
        let (_root, host) = fixture::host(&[("sys/devices/system/cpu/nohz_full", "(null)\n")]);
        let state = |spins| apart(&host, &TICKLESS, "sys/devices/system/cpu/nohz_full", spins).state;
        assert_eq!((state(false), state(true)), (State::Fits, State::Differs));
    }

    #[test]
    fn a_slow_clock_differs() {
        let of = |name| {
            let file = "sys/devices/system/clocksource/clocksource0/current_clocksource";
            clock(&fixture::host(&[(file, name)]).1).state
        };
        assert_eq!((of("tsc\n"), of("hpet\n")), (State::Fits, State::Differs));
    }

    #[test]
    fn stolen_time_is_a_share_of_all() {
        assert_eq!(stolen("cpu  50 0 20 900 0 0 0 30 0 0\ncpu0 1 2 3"), Some(300));
        assert_eq!(stolen("cpu  0 0 0 0 0 0 0 0"), None);
        assert_eq!(stolen("cpu  1 2 3"), None);
        assert_eq!(stolen(""), None);
    }
}
