//! What this process may have: descriptors, locked memory.

use super::finding::{Check, Finding, Group, Weight};
use super::host::Host;
use crate::config::Settings;

/// Descriptors of a process that serves nobody.
const FILES_AT_REST: u64 = 64;

/// Locked memory of a worker's ring: 4,096 submissions of 64 bytes, twice as many completions of 16, and their heads,
/// rounded up to a power of two.
const RING_BYTES: u64 = 512 * 1024;

const FILES: Check = Check {
    name: "nofile",
    wanted: "",
    why: "each connection is a descriptor; beyond the limit no connection is accepted",
    how: "",
    source: "getrlimit(2); systemd.exec(5), LimitNOFILE=",
    weight: Weight::Server,
};

const LOCKED: Check = Check {
    name: "memlock",
    wanted: "",
    why: "Linux before 5.12 counts rings as locked memory; later ones count them in the memory of the cgroup",
    how: "LimitMEMLOCK=infinity in the unit, ulimit -l, docker run --ulimit memlock=-1",
    source: "io_uring_setup(2), ENOMEM; getrlimit(2)",
    weight: Weight::Server,
};

/// Compares the limits with what the settings may take on `workers` cores.
pub(super) fn check(host: &Host, settings: &Settings, workers: usize, rings_work: bool) -> Group {
    let wanted = FILES_AT_REST + (settings.limits.connections_per_core * workers) as u64;
    let findings = vec![files(host, wanted), locked(host, RING_BYTES * workers as u64, rings_work)];
    Group { title: "limits", findings }
}

fn files(host: &Host, wanted: u64) -> Finding {
    let finding = match limit(host, "Max open files") {
        // The service raises the soft limit to the hard one.
        Some((soft, hard)) => {
            let now = format!("{} soft, {} hard", words(soft), words(hard));
            FILES.found(now, hard.is_none_or(|hard| hard >= wanted))
        }
        None => FILES.unknown("not told"),
    };
    finding.wanting(format!("at least {wanted} hard")).by(format!(
        "LimitNOFILE={wanted} in the unit, docker run --ulimit nofile={wanted}, or a smaller limits.connections_per_core"
    ))
}

fn locked(host: &Host, wanted: u64, rings_work: bool) -> Finding {
    let finding = match limit(host, "Max locked memory") {
        // Rings that were made prove that the limit is not in their way.
        Some((soft, _)) => LOCKED.found(words(soft), rings_work || soft.is_none_or(|soft| soft >= wanted)),
        None => LOCKED.unknown("not told"),
    };
    finding.wanting(format!("at least {wanted} bytes, or rings that work"))
}

fn words(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

/// The soft and the hard limit of a line of `/proc/self/limits` (`proc_pid_limits(5)`); `None` in it is unlimited.
fn limit(host: &Host, name: &str) -> Option<(Option<u64>, Option<u64>)> {
    let limits = host.read("proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut columns = line.split_whitespace().map(|column| column.parse().ok());
    Some((columns.next()?, columns.next()?))
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::super::host::fixture;
    use super::*;

    fn states(limits: &str, workers: usize, rings_work: bool) -> Vec<State> {
        let (_root, host) = fixture::host(&[("proc/self/limits", limits)]);
        let group = check(&host, &Settings::default(), workers, rings_work);
        group.findings.into_iter().map(|finding| finding.state).collect()
    }

    const LIMITS: &str = "Limit      Soft Limit  Hard Limit  Units\n\
        Max open files            1024                 20000                files     \n\
        Max locked memory         65536                unlimited            bytes     \n";

    #[test]
    fn the_hard_limit_of_files_must_do_for_every_core() {
        use State::{Differs, Fits};
        assert_eq!(states(LIMITS, 1, true), [Fits, Fits]);
        assert_eq!(states(LIMITS, 2, true), [Differs, Fits]);
        assert_eq!(states(&LIMITS.replace("20000", "unlimited"), 2, true), [Fits, Fits]);
    }

    #[test]
    fn locked_memory_matters_where_no_ring_could_be_made() {
        use State::{Differs, Fits, Unknown};
        assert_eq!(states(LIMITS, 1, false), [Fits, Differs]);
        assert_eq!(states(&LIMITS.replace("65536", "unlimited"), 1, false), [Fits, Fits]);
        assert_eq!(states("", 1, false), [Unknown, Unknown]);
    }
}
