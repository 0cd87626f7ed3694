//! Memory of the host: pages that are made, moved or written out behind a worker's back.

use super::finding::{Check, Finding, Group, Weight};
use super::host::Host;

const HUGE_PAGES: Check = Check {
    name: "transparent huge pages",
    wanted: "madvise or never",
    why: "making them stalls whoever touches the page, a Postgres beside us too; ringledger has them off for itself",
    how: "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
    source: "Linux Documentation/admin-guide/mm/transhuge.rst; measured, src/runtime/memory.rs",
    weight: Weight::Note,
};

const SWAP: Check = Check {
    name: "swap",
    wanted: "none, or none in use",
    why: "a page that comes back from a disk stops every connection of its core",
    how: "swapoff -a, or MemorySwapMax=0 in the unit",
    source: "proc_meminfo(5); systemd.resource-control(5)",
    weight: Weight::Machine,
};

const NUMA: Check = Check {
    name: "kernel.numa_balancing",
    wanted: "0, or one memory node",
    why: "it takes pages away for a moment to see who uses them; workers are pinned and need no help",
    how: "sysctl -w kernel.numa_balancing=0",
    source: "Linux Documentation/admin-guide/sysctl/kernel.rst",
    weight: Weight::Machine,
};

/// Looks at huge pages, swap and memory nodes.
pub(super) fn check(host: &Host) -> Group {
    Group { title: "memory", findings: vec![huge_pages(host), swap(host), numa(host)] }
}

fn huge_pages(host: &Host) -> Finding {
    let choices = host.read("sys/kernel/mm/transparent_hugepage/enabled");
    // The choice is in brackets.
    let chosen = choices.as_deref().and_then(|text| text.split_once('[')?.1.split_once(']'));
    match chosen {
        Some((chosen, _)) => HUGE_PAGES.found(chosen, chosen != "always"),
        None => HUGE_PAGES.unknown("not told"),
    }
}

fn swap(host: &Host) -> Finding {
    let Some(text) = host.read("proc/meminfo") else { return SWAP.unknown("not told") };
    let kibibytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    match kibibytes("SwapTotal").zip(kibibytes("SwapFree")) {
        Some((0, _)) => SWAP.found("none", true),
        Some((total, free)) => {
            let used = total.saturating_sub(free);
            SWAP.found(format!("{} of {} MiB in use", used / 1024, total / 1024), used == 0)
        }
        None => SWAP.unknown("not told"),
    }
}

fn numa(host: &Host) -> Finding {
    let is_node = |name: &String| {
        let number = name.strip_prefix("node");
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let nodes = host.names("sys/devices/system/node").iter().filter(|name| is_node(name)).count();
    match host.sysctl(NUMA.name) {
        Some(value) => {
            let fits = value == "0" || nodes <= 1;
            NUMA.found(format!("{value} on {nodes} nodes"), fits)
        }
        None => NUMA.found("not built in", true),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::super::host::fixture;
    use super::*;

    #[test]
    fn the_choice_is_the_one_in_brackets() {
        let state = |text| {
            let file = "sys/kernel/mm/transparent_hugepage/enabled";
            huge_pages(&fixture::host(&[(file, text)]).1).state
        };
        assert_eq!(state("always [madvise] never\n"), State::Fits);
        assert_eq!(state("[always] madvise never\n"), State::Differs);
        assert_eq!(state("nonsense"), State::Unknown);
    }

    #[test]
    fn swap_matters_when_it_is_used() {
        let found = |text| {
            let found = swap(&fixture::host(&[("proc/meminfo", text)]).1);
            (found.state, found.now)
        };
        let fits = |now: &str| (State::Fits, now.to_owned());
        assert_eq!(found("MemTotal: 9 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"), fits("none"));
        assert_eq!(found("SwapTotal: 2048 kB\nSwapFree: 2048 kB\n"), fits("0 of 2 MiB in use"));
        assert_eq!(found("SwapTotal: 2048 kB\nSwapFree: 1024 kB\n").0, State::Differs);
    }

    #[test]
    fn balancing_needs_more_than_one_node() {
        let state = |second| {
            let sysctl = ("proc/sys/kernel/numa_balancing", "1\n");
            let nodes = [("sys/devices/system/node/node0/x", ""), (second, "")];
            numa(&fixture::host(&[sysctl, nodes[0], nodes[1]]).1).state
        };
        assert_eq!(state("sys/devices/system/node/online"), State::Fits);
        assert_eq!(state("sys/devices/system/node/node1/x"), State::Differs);
    }
}
