//! Where a comparison ran: what of the host a reader needs to judge or repeat it, and what of it disturbed the run.
//! Linux; whatever a host does not tell is left out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::{fs, io, thread};

use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setrlimit};
use rustix::system::uname;
use rustix::thread::{CpuSet, sched_getaffinity};

use crate::scenario::Cores;

/// Above this share of CPU time taken by the hypervisor, figures are not to be trusted.
const MUCH_STEAL: f64 = 0.01;

/// Above this load for each core before the start, something else was running.
const MUCH_LOAD: f64 = 0.5;

/// What disturbs a run, from its start to its end.
#[derive(Debug)]
pub struct Cost {
    cpu: Option<CpuTicks>,
    load: Option<f64>,
}

/// CPU time of all cores since boot, in clock ticks (`proc_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTicks {
    all: u64,
    stolen: u64,
}

impl Cost {
    /// Before the run.
    pub fn begin() -> Self {
        Self { cpu: CpuTicks::now(), load: load_before() }
    }

    /// After it: adds what was seen to the environment and returns what a reader must be warned of.
    pub fn end(self, environment: &mut BTreeMap<String, String>) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some((before, now)) = self.cpu.zip(CpuTicks::now()) {
            let steal = now.stolen_since(before);
            environment
                .insert("steal".to_owned(), format!("{:.2} % of CPU time during the run", steal * 100.0));
            if steal > MUCH_STEAL {
                warnings
                    .push(format!("the hypervisor took {:.1} % of CPU time during the run", steal * 100.0));
            }
        }
        if let Some(load) = self.load {
            environment.insert("load average".to_owned(), format!("{load:.2} at the start"));
            if load > MUCH_LOAD * cores_f64() {
                warnings
                    .push(format!("the load average was {load:.2} at the start: something else was running"));
            }
        }
        warnings
    }
}

impl CpuTicks {
    fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/stat").ok()?)
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; guest times are inside user.
    fn parse(stat: &str) -> Option<Self> {
        let ticks: Option<Vec<u64>> = stat
            .lines()
            .next()?
            .strip_prefix("cpu ")?
            .split_whitespace()
            .take(8)
            .map(|field| field.parse().ok())
            .collect();
        let ticks = ticks?;
        Some(Self { all: ticks.iter().sum(), stolen: *ticks.get(7)? })
    }

    /// As a share of all time.
    #[expect(clippy::cast_precision_loss, reason = "ticks far below 2^52")]
    fn stolen_since(self, before: Self) -> f64 {
        (self.stolen - before.stolen.min(self.stolen)) as f64
            / (self.all - before.all.min(self.all)).max(1) as f64
    }
}

/// The cores that this process may use, in ascending order.
pub fn allowed_cores() -> io::Result<Vec<usize>> {
    let allowed = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect())
}

/// Asks for as many open files as the hard limit allows; subjects inherit it.
pub fn raise_file_limit() {
    let maximum = getrlimit(Resource::Nofile).maximum;
    // Refused only where the limit stays as it is, which the environment then shows.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// All that stays the same during a run.
pub fn of_host(cores: &Cores) -> BTreeMap<String, String> {
    let uname = uname();
    let told = [
        ("at", Some(jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string())),
        (
            "kernel",
            Some(format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy())),
        ),
        ("architecture", Some(uname.machine().to_string_lossy().into_owned())),
        ("cpu", cpu_info("model name")),
        (
            "cores",
            thread::available_parallelism().ok().map(|count| format!("{count} usable of {}", online())),
        ),
        ("affinity", Some(affinity(cores))),
        ("smt", read("/sys/devices/system/cpu/smt/control")),
        ("siblings of the server's first core", cores.server.first().and_then(|core| siblings(*core))),
        ("governor", read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
        ("mitigations", mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities"))),
        ("virtual machine", Some(virtual_machine())),
        ("clock source", read("/sys/devices/system/clocksource/clocksource0/current_clocksource")),
        (
            "transparent huge pages",
            read("/sys/kernel/mm/transparent_hugepage/enabled").map(|text| chosen(&text)),
        ),
        ("net.core.somaxconn", read("/proc/sys/net/core/somaxconn")),
        ("net.ipv4.tcp_max_syn_backlog", read("/proc/sys/net/ipv4/tcp_max_syn_backlog")),
        ("net.ipv4.tcp_congestion_control", read("/proc/sys/net/ipv4/tcp_congestion_control")),
        ("kernel.io_uring_disabled", read("/proc/sys/kernel/io_uring_disabled")),
        ("open files", Some(limit(Resource::Nofile))),
        ("locked memory", Some(limit(Resource::Memlock))),
        ("priority", getpriority_process(None).ok().map(|nice| format!("nice {nice}"))),
        ("rustc", output("rustc", &["--version"])),
        ("commit", commit()),
    ];
    told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The load average when this was first asked for. To be asked for before anything is built or loaded: both raise it,
/// and so would each of several comparisons for the next one.
pub fn load_before() -> Option<f64> {
    static BEFORE: OnceLock<Option<f64>> = OnceLock::new();
    *BEFORE.get_or_init(load_average)
}

fn load_average() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn cores_f64() -> f64 {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    f64::from(u32::try_from(cores).unwrap_or(u32::MAX))
}

fn affinity(cores: &Cores) -> String {
    let client = match cores.client.as_slice() {
        [] => "one thread on any core".to_owned(),
        pinned => format!("on {pinned:?}"),
    };
    format!("server on {:?}, client {client}", cores.server)
}

fn siblings(core: usize) -> Option<String> {
    read(&format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"))
}

fn online() -> String {
    read("/sys/devices/system/cpu/online").unwrap_or_else(|| "?".to_owned())
}

fn read(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn cpu_info(field: &str) -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with(field))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn virtual_machine() -> String {
    let flags = cpu_info("flags").unwrap_or_default();
    let vendor =
        read("/sys/class/dmi/id/sys_vendor").map_or_else(String::new, |vendor| format!(" ({vendor})"));
    if flags.split(' ').any(|flag| flag == "hypervisor") { format!("yes{vendor}") } else { "no".to_owned() }
}

/// The word in brackets: `always [madvise] never` is madvise.
fn chosen(text: &str) -> String {
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(text, |(word, _)| word).to_owned()
}

/// What the CPU is affected by, and whether it is mitigated; not what it is free of.
fn mitigations(directory: &Path) -> Option<String> {
    let mut files: Vec<_> =
        fs::read_dir(directory).ok()?.filter_map(Result::ok).map(|entry| entry.path()).collect();
    files.sort();
    let affected = files.iter().filter_map(|file| {
        let said = read(file.to_str()?).filter(|said| said != "Not affected")?;
        Some(format!("{}: {said}", file.file_name()?.to_string_lossy()))
    });
    let affected: Vec<_> = affected.collect();
    Some(if affected.is_empty() { "not affected".to_owned() } else { affected.join("; ") })
}

fn limit(resource: Resource) -> String {
    let shown = |value: Option<u64>| value.map_or_else(|| "unlimited".to_owned(), |value| value.to_string());
    let limit = getrlimit(resource);
    format!("soft {}, hard {}", shown(limit.current), shown(limit.maximum))
}

/// The checked-out commit, marked when files differ from it. None outside a repository.
fn commit() -> Option<String> {
    let directory = env!("CARGO_MANIFEST_DIR");
    let head = output("git", &["-C", directory, "rev-parse", "--short=12", "HEAD"])?;
    let changed = Command::new("git").args(["-C", directory, "diff", "--quiet", "HEAD"]).status();
    Some(if changed.is_ok_and(|status| status.success()) { head } else { format!("{head} with changes") })
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output =
        Command::new(program).args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steal_is_a_share_of_all_time_between_two_readings() {
        let parse = |text| CpuTicks::parse(text).expect("ticks");
        let before = parse("cpu  1621954 151205 504864 2059893 41913 0 107518 1985 0 0\ncpu0 1 2 3\n");
        assert_eq!(before, CpuTicks { all: 4_489_332, stolen: 1_985 });
        let now = CpuTicks { all: before.all + 200, stolen: before.stolen + 10 };
        assert!((now.stolen_since(before) - 0.05).abs() < 1e-9);
        assert!(now.stolen_since(now).abs() < 1e-9);
        assert_eq!(CpuTicks::parse("intr 1"), None);
    }

    #[test]
    fn the_chosen_word_is_the_one_in_brackets() {
        assert_eq!(chosen("always [madvise] never"), "madvise");
        assert_eq!(chosen("on"), "on");
    }

    #[test]
    fn only_what_the_cpu_is_affected_by_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(mitigations(directory.path()), Some("not affected".to_owned()));
        for (name, said) in [("mds", "Not affected\n"), ("spectre_v2", "Mitigation: Retpolines\n")] {
            fs::write(directory.path().join(name), said).expect("a file");
        }
        assert_eq!(mitigations(directory.path()), Some("spectre_v2: Mitigation: Retpolines".to_owned()));
        assert_eq!(mitigations(Path::new("/nowhere")), None);
    }

    #[test]
    fn this_host_tells_what_every_linux_does() {
        let cores = Cores { server: vec![0], client: vec![1] };
        let told = of_host(&cores);
        for name in ["at", "kernel", "architecture", "cores", "affinity", "open files", "locked memory"] {
            assert!(told.contains_key(name), "{name} in {told:?}");
        }
        assert_eq!(told["affinity"], "server on [0], client on [1]");
    }
}
