//! How packets reach the cores: queues of the network devices, their interrupts, and who moves these.

use std::collections::BTreeSet;

use super::finding::{Check, Finding, Group, Weight};
use super::host::{Host, core_list, core_mask};

const BALANCER: Check = Check {
    name: "irqbalance",
    wanted: "not running, or told to leave the network's interrupts alone",
    why: "it moves interrupts every 10 s; a pinned worker then gets its packets from another core",
    how: "systemctl disable --now irqbalance, then pin the interrupts; or IRQBALANCE_BANNED_CPULIST",
    source: "irqbalance(1); tuning/README.md",
    weight: Weight::Machine,
};

const AFFINITY: Check = Check {
    name: "IRQ affinity",
    wanted: "each queue of a device on a core of its own",
    why: "cores that take all interrupts have less time for requests than the others",
    how: "echo CORE > /proc/irq/N/smp_affinity_list for each queue; tuning/README.md has the recipe",
    source: "Linux Documentation/core-api/irq/irq-affinity.rst",
    weight: Weight::Machine,
};

const RECEIVE: Check = Check {
    name: "receive queues and RPS",
    wanted: "a queue for each core, or rps_cpus over all of them",
    why: "with fewer queues than cores the protocol work of all packets is done by a few",
    how: "ethtool -L DEVICE combined CORES; where the device has no more, echo MASK > \
          /sys/class/net/DEVICE/queues/rx-*/rps_cpus",
    source: "Linux Documentation/networking/scaling.rst, RSS and RPS",
    weight: Weight::Machine,
};

const TRANSMIT: Check = Check {
    name: "XPS",
    wanted: "each core with a transmit queue, where there are several",
    why: "cores that share a transmit queue take turns on its lock",
    how: "echo MASK > /sys/class/net/DEVICE/queues/tx-*/xps_cpus",
    source: "Linux Documentation/networking/scaling.rst, XPS",
    weight: Weight::Machine,
};

/// Looks at every network device that is backed by hardware, or by a hypervisor's idea of it.
pub(super) fn check(host: &Host) -> Group {
    let mut findings = vec![balancer(host)];
    for device in host.names("sys/class/net") {
        if host.has(&format!("sys/class/net/{device}/device")) {
            findings.extend([affinity(host, &device), receive(host, &device), transmit(host, &device)]);
        }
    }
    Group { title: "interrupts", findings }
}

fn balancer(host: &Host) -> Finding {
    let is_process = |name: &String| name.bytes().all(|byte| byte.is_ascii_digit());
    let processes = host.names("proc");
    let mut running = processes.iter().filter(|name| is_process(name));
    let found =
        running.any(|id| host.read(&format!("proc/{id}/comm")).is_some_and(|name| name == "irqbalance"));
    BALANCER.found(if found { "running" } else { "not running" }, !found)
}

/// The finding with the device's name before the check's.
fn of(device: &str, mut finding: Finding) -> Finding {
    finding.name = format!("{device}: {}", finding.name).into();
    finding
}

fn affinity(host: &Host, device: &str) -> Finding {
    let interrupts = interrupts_of(host, device);
    let cores: BTreeSet<usize> = interrupts.iter().flat_map(|number| cores_of(host, number)).collect();
    let online = host.online_cores().len();
    if cores.is_empty() {
        return of(device, AFFINITY.unknown("the device's interrupts are not shown"));
    }
    let now = format!("{} interrupts on cores {:?} of {online}", interrupts.len(), cores);
    // A device with one queue has nothing to spread.
    of(device, AFFINITY.found(now, cores.len() >= interrupts.len().min(online)))
}

/// The cores that an interrupt goes to: one of those that it may go to, where the kernel tells which.
fn cores_of(host: &Host, number: &str) -> Vec<usize> {
    let read = |file: &str| host.read(&format!("proc/irq/{number}/{file}"));
    let effective = read("effective_affinity_list").filter(|list| !list.is_empty());
    core_list(&effective.or_else(|| read("smp_affinity_list")).unwrap_or_default())
}

/// The numbers of the interrupts that `/proc/interrupts` names after a device or, as drivers of virtual devices do,
/// after the place on its bus.
fn interrupts_of(host: &Host, device: &str) -> Vec<String> {
    let bus = host.link_name(&format!("sys/class/net/{device}/device")).unwrap_or_else(|| device.to_owned());
    let table = host.read("proc/interrupts").unwrap_or_default();
    let number = |line: &str| {
        let (number, rest) = line.trim_start().split_once(':')?;
        let name = rest.split_whitespace().last()?;
        let owner = name.split(['-', '@', ':']).next()?;
        // Changes of its settings, not packets.
        let carries = !name.ends_with("-config") && !name.ends_with("-control");
        ((owner == device || owner == bus) && carries).then(|| number.to_owned())
    };
    table.lines().filter_map(number).collect()
}

/// The queues of a device in one direction, `rx` or `tx`, and the cores that `file` spreads each over.
fn queues(host: &Host, device: &str, direction: &str, file: &str) -> (usize, BTreeSet<usize>) {
    let directory = format!("sys/class/net/{device}/queues");
    let names = host.names(&directory);
    let queues: Vec<_> = names.iter().filter(|name| name.starts_with(direction)).collect();
    let mask = |queue: &&String| host.read(&format!("{directory}/{queue}/{file}"));
    (queues.len(), queues.iter().filter_map(mask).flat_map(|mask| core_mask(&mask)).collect())
}

fn receive(host: &Host, device: &str) -> Finding {
    let (queues, spread) = queues(host, device, "rx", "rps_cpus");
    let online = host.online_cores().len();
    let steering = if spread.is_empty() { "off".to_owned() } else { format!("{spread:?}") };
    let now = format!("{queues} queues for {online} cores, RPS {steering}");
    of(device, RECEIVE.found(now, queues >= online || spread.len() >= online))
}

fn transmit(host: &Host, device: &str) -> Finding {
    let (queues, spread) = queues(host, device, "tx", "xps_cpus");
    let online = host.online_cores().len();
    let now = format!("{queues} queues, XPS for {} of {online} cores", spread.len());
    of(device, TRANSMIT.found(now, queues <= 1 || spread.len() >= online))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::super::host::fixture;
    use super::*;

    const ONLINE: (&str, &str) = ("sys/devices/system/cpu/online", "0-1");

    #[test]
    fn a_balancer_is_found_among_the_processes() {
        let balanced = |name| balancer(&fixture::host(&[("proc/77/comm", name)]).1).state;
        assert_eq!((balanced("irqbalance\n"), balanced("init\n")), (State::Differs, State::Fits));
    }

    #[test]
    fn interrupts_of_a_device_are_found_by_its_name() {
        let table = "      CPU0 CPU1\n 37: 0 0 PCI-MSI 0-edge eth0-config\n 38: 0 5 PCI-MSI 1-edge eth0-input.0\n \
                     39: 9 0 PCI-MSI 2-edge eth0-output.0\n 40: 9 0 PCI-MSI 2-edge eth01-rx\nNMI: 0 0 x\n";
        let spread = |second| {
            let (_root, host) = fixture::host(&[
                ONLINE,
                ("proc/interrupts", table),
                ("sys/class/net/eth0/device/vendor", "x"),
                ("proc/irq/38/effective_affinity_list", "0"),
                ("proc/irq/39/smp_affinity_list", second),
            ]);
            affinity(&host, "eth0").state
        };
        assert_eq!((spread("1"), spread("0")), (State::Fits, State::Differs));
        let (_root, host) = fixture::host(&[ONLINE]);
        assert_eq!(affinity(&host, "eth0").state, State::Unknown);
    }

    #[test]
    fn one_queue_for_two_cores_wants_rps() {
        let state = |mask| {
            let (_root, host) = fixture::host(&[ONLINE, ("sys/class/net/eth0/queues/rx-0/rps_cpus", mask)]);
            receive(&host, "eth0").state
        };
        assert_eq!((state("00"), state("3")), (State::Differs, State::Fits));
    }

    #[test]
    fn several_transmit_queues_want_a_core_each() {
        let state = |second| {
            let (_root, host) = fixture::host(&[
                ONLINE,
                ("sys/class/net/eth0/queues/tx-0/xps_cpus", "1"),
                ("sys/class/net/eth0/queues/tx-1/xps_cpus", second),
            ]);
            transmit(&host, "eth0").state
        };
        assert_eq!((state("0"), state("2")), (State::Differs, State::Fits));
    }

    #[test]
    fn devices_without_hardware_are_passed_over() {
        let (_root, host) = fixture::host(&[ONLINE, ("sys/class/net/lo/queues/rx-0/rps_cpus", "0")]);
        assert_eq!(check(&host).findings.len(), 1);
    }
}
