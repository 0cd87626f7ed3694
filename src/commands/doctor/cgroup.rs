//! What the control group grants: CPU time, throttling, and the cores of the cpuset.

use super::finding::{Check, Finding, Group, Weight};
use super::host::Host;

const QUOTA: Check = Check {
    name: "CPU quota",
    wanted: "none, or a whole core for every worker",
    why: "when the quota of a period is used up, every thread stands still for the rest of its 100 ms: that is the p99",
    how: "set runtime.workers to the quota; on Kubernetes whole CPUs, requests equal to limits, static CPU manager; with \
          docker --cpuset-cpus instead of --cpus",
    source: "Linux Documentation/admin-guide/cgroup-v2.rst, cpu.max",
    weight: Weight::Server,
};

const THROTTLED: Check = Check {
    name: "CPU throttling",
    wanted: "0 periods",
    why: "the quota did stop the group that this process is in",
    how: "raise the quota or set fewer workers",
    source: "Linux Documentation/admin-guide/cgroup-v2.rst, cpu.stat",
    weight: Weight::Server,
};

const CORES: Check = Check {
    name: "allowed cores",
    wanted: "as many as workers",
    why: "workers that share a core wait for each other",
    how: "set runtime.workers to the number of cores, or widen the cpuset",
    source: "sched_setaffinity(2), cpuset(7)",
    weight: Weight::Server,
};

/// Looks at the group of this process and every group above it that can be seen.
pub(super) fn check(host: &Host, workers: usize) -> Group {
    Group { title: "cgroup", findings: vec![quota(host, workers), throttled(host), cores(host, workers)] }
}

fn quota(host: &Host, workers: usize) -> Finding {
    let quotas = directories(host).into_iter().filter_map(|directory| cores_granted(host, &directory));
    match quotas.min_by(f64::total_cmp) {
        Some(granted) => {
            let enough = granted >= f64::from(u32::try_from(workers).unwrap_or(u32::MAX));
            QUOTA.found(format!("{granted:.2} cores for {workers} workers"), enough)
        }
        None => QUOTA.found("none", true),
    }
}

/// How many cores' worth of time the group itself has: version 2 in `cpu.max`, version 1 in two files.
fn cores_granted(host: &Host, directory: &str) -> Option<f64> {
    if let Some(limit) = host.read(&format!("{directory}/cpu.max")) {
        let (quota, period) = limit.split_once(' ')?;
        return Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?);
    }
    let read = |name: &str| host.read(&format!("{directory}/cpu.{name}"))?.parse::<f64>().ok();
    // -1 is no quota.
    let (quota, period) = (read("cfs_quota_us")?, read("cfs_period_us")?);
    (quota > 0.0).then_some(quota / period)
}

fn throttled(host: &Host) -> Finding {
    let periods = |directory: &String| {
        let stat = host.read(&format!("{directory}/cpu.stat"))?;
        let field =
            |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        Some((field("nr_throttled ")?, field("nr_periods ")?))
    };
    match directories(host).iter().find_map(periods) {
        Some((throttled, periods)) => {
            THROTTLED.found(format!("{throttled} of {periods} periods"), throttled == 0)
        }
        None => THROTTLED.unknown("the group does not tell"),
    }
}

fn cores(host: &Host, workers: usize) -> Finding {
    let (allowed, online) = (host.allowed_cores().len(), host.online_cores().len());
    if allowed == 0 {
        return CORES.unknown("not told");
    }
    CORES.found(format!("{allowed} of {online} for {workers} workers"), workers <= allowed)
}

/// Where this process's group keeps its CPU files, and each group above, the nearest first (`cgroups(7)`).
fn directories(host: &Host) -> Vec<String> {
    let groups = host.read("proc/self/cgroup").unwrap_or_default();
    let places = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        if controllers.is_empty() {
            return Some(("sys/fs/cgroup", path));
        }
        controllers.split(',').any(|name| name == "cpu").then_some(("sys/fs/cgroup/cpu", path))
    });
    places.flat_map(|(mount, path)| upwards(mount, path)).collect()
}

/// `/a/b` below `mount`, then `/a`, then the mount itself.
fn upwards(mount: &'static str, path: &str) -> Vec<String> {
    let mut path = path.trim_matches('/');
    let mut found = Vec::new();
    while !path.is_empty() {
        found.push(format!("{mount}/{path}"));
        path = path.rsplit_once('/').map_or("", |(above, _)| above);
    }
    found.push(mount.to_owned());
    found
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::super::host::fixture;
    use super::*;

    fn states(files: &[(&str, &str)], workers: usize) -> Vec<State> {
        let (_root, host) = fixture::host(files);
        check(&host, workers).findings.into_iter().map(|finding| finding.state).collect()
    }

    const TWO_CORES: (&str, &str) = ("proc/self/status", "Cpus_allowed_list:\t0-1\n");
    const ONLINE: (&str, &str) = ("sys/devices/system/cpu/online", "0-3\n");

    #[test]
    fn the_tightest_quota_on_the_way_up_counts() {
        use State::{Differs, Fits};
        let files = [
            TWO_CORES,
            ONLINE,
            ("proc/self/cgroup", "0::/kubepods/pod1\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/kubepods/pod1/cpu.stat", "usage_usec 5\nnr_periods 9\nnr_throttled 4\n"),
            ("sys/fs/cgroup/kubepods/cpu.max", "150000 100000\n"),
        ];
        assert_eq!(states(&files, 2), [Differs, Differs, Fits]);
        assert_eq!(states(&files, 1), [Fits, Differs, Fits]);
    }

    #[test]
    fn a_namespaced_group_is_its_own_root() {
        let (_root, host) =
            fixture::host(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "50000 100000\n")]);
        assert_eq!(quota(&host, 1).now, "0.50 cores for 1 workers");
    }

    #[test]
    fn the_first_version_of_cgroups_is_read_too() {
        use State::{Fits, Unknown};
        let files = [
            TWO_CORES,
            ONLINE,
            ("proc/self/cgroup", "4:cpu,cpuacct:/docker/x\n0::/\n"),
            ("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(states(&files, 2), [Fits, Unknown, Fits]);
    }

    #[test]
    fn more_workers_than_cores_differ() {
        assert_eq!(states(&[TWO_CORES, ONLINE], 3)[2], State::Differs);
        assert_eq!(states(&[], 3), [State::Fits, State::Unknown, State::Unknown]);
    }
}
