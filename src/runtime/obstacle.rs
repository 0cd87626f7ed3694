//! What stands between this process and `io_uring`: the kernel's evidence, and from it the cause and its cure in
//! words. Knows nothing of rings.
//!
//! One error number has several causes. EPERM comes from the sysctl `kernel.io_uring_disabled`
//! (`io_uring_setup(2)`), from a seccomp filter (`seccomp(2)`) or from a security module; ENOSYS from a kernel
//! without `io_uring` or from a filter that plays such a kernel, as Podman's default profile does.
//!
//! Value 1 of the sysctl lets through who is in `kernel.io_uring_group` or has `CAP_SYS_ADMIN` in the first user
//! namespace (Linux, `io_uring/io_uring.c`, `io_uring_allowed`). In another namespace capabilities and group ids are its
//! own and count for nothing there.

use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// `CAP_SYS_ADMIN` in the masks of `proc_pid_status(5)`, as a bit (`capabilities(7)`).
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// What the kernel tells about itself and this process (`proc_pid_status(5)`, `proc_sys_kernel(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    /// `kernel.io_uring_disabled`; absent before Linux 6.6 and where `io_uring` is not built in.
    sysctl: Option<String>,
    /// Whether a seccomp filter is on this thread.
    filtered: bool,
    /// Whether value 1 of the sysctl lets this process through.
    privileged: bool,
    /// Whether the kernel lists the call among its symbols, and not as a weak one, which stands for its absence.
    built_in: bool,
}

/// The calling thread's `status` (`proc_pid_status(5)`).
struct Status(String);

impl Status {
    fn field(&self, name: &str) -> Option<&str> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(str::trim)
    }

    /// Whether `kernel.io_uring_disabled = 1` lets the thread through, in the first user namespace.
    fn is_let_through(&self, group: Option<&str>) -> bool {
        let capabilities = self.field("CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        let is_admin = capabilities.is_some_and(|mask| mask & CAP_SYS_ADMIN != 0);
        // The file system's id is the one that counts, the last of four.
        let own = self.field("Gid").and_then(|ids| ids.split_whitespace().last());
        let further = self.field("Groups").into_iter().flat_map(str::split_whitespace);
        is_admin || group.is_some_and(|group| own.into_iter().chain(further).any(|id| id == group))
    }
}

impl Evidence {
    /// As found below `proc`, which is `/proc` of the host or a copy of it.
    pub(super) fn read(proc: &Path) -> Self {
        let line = |path| Some(fs::read_to_string(proc.join(path)).ok()?.trim().to_owned());
        // A filter is on a thread, so another one's status would not do.
        let status = Status(fs::read_to_string(proc.join("thread-self/status")).unwrap_or_default());
        let group = line("sys/kernel/io_uring_group");
        let sysctl = line("sys/kernel/io_uring_disabled");
        Self {
            filtered: status.field("Seccomp") == Some("2"),
            privileged: is_first_user_namespace(proc) && status.is_let_through(group.as_deref()),
            built_in: sysctl.is_some() || lists_the_call(proc),
            sysctl,
        }
    }

    /// Of the calling thread.
    pub(super) fn of_caller() -> Self {
        Self::read(Path::new("/proc"))
    }

    /// The cause of EPERM or EACCES.
    pub(super) fn of_refusal(self) -> Obstacle {
        match self.sysctl {
            Some(value) if value == "2" || (value != "0" && !self.privileged) => Obstacle::Sysctl(value),
            _ if self.filtered => Obstacle::Filter,
            _ => Obstacle::SecurityModule,
        }
    }

    /// The cause of ENOSYS. The sysctl is part of `io_uring`, so where it is, the kernel has both.
    pub(super) fn of_absence(self) -> Obstacle {
        match (self.built_in, self.filtered) {
            (true, _) => Obstacle::Filter,
            (false, true) => Obstacle::KernelOrFilter,
            (false, false) => Obstacle::Kernel,
        }
    }
}

/// Whether user ids are those of the machine: nothing is mapped (`user_namespaces(7)`). Without the file there are no
/// namespaces.
fn is_first_user_namespace(proc: &Path) -> bool {
    let map = fs::read_to_string(proc.join("thread-self/uid_map"));
    map.map_or(true, |map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Whether the kernel's symbols (`proc_kallsyms(5)`) have `io_uring_setup` as a call of its own (T). A kernel that is built
/// without has a weak one (W), as for every call that it lacks. Kernels before 6.6 tell no other way.
fn lists_the_call(proc: &Path) -> bool {
    let Ok(symbols) = fs::File::open(proc.join("kallsyms")) else { return false };
    let mut lines = BufReader::new(symbols).lines().map_while(Result::ok);
    lines.any(|line| line.ends_with("_sys_io_uring_setup") && line.contains(" T "))
}

/// The cause for which `io_uring` cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// `kernel.io_uring_disabled` has this value.
    Sysctl(String),
    /// A seccomp filter, mostly that of a container engine.
    Filter,
    /// No sysctl and no filter: a Linux security module.
    SecurityModule,
    /// The kernel was built without it or is too old.
    Kernel,
    /// As far as can be seen either.
    KernelOrFilter,
}

impl Obstacle {
    /// What it is.
    pub fn cause(&self) -> String {
        match self {
            Self::Sysctl(value) => format!("the sysctl kernel.io_uring_disabled is {value}"),
            Self::Filter => "a seccomp or container filter refuses it".to_owned(),
            Self::SecurityModule => {
                "a security module refuses it (the sysctl allows it and there is no seccomp filter)"
                    .to_owned()
            }
            Self::Kernel => "this kernel has no io_uring, or a sandbox hides it".to_owned(),
            Self::KernelOrFilter => {
                "this kernel has no io_uring, or the seccomp filter on this process hides it".to_owned()
            }
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Sysctl(_) => "allow it with `sysctl -w kernel.io_uring_disabled=0`",
            Self::Filter => {
                "allow the calls io_uring_setup, io_uring_enter and io_uring_register (for docker: \
                 --security-opt seccomp=tuning/seccomp/ringledger.json)"
            }
            Self::SecurityModule => "see the audit log (`dmesg`, `ausearch -m avc`) for the rule",
            Self::Kernel => "use Linux 5.19 or later, outside of gVisor and the like",
            Self::KernelOrFilter => {
                "use Linux 5.19 or later, and allow the calls io_uring_setup, io_uring_enter and \
                 io_uring_register in the filter"
            }
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.cause(), self.cure())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evidence out of a made-up `/proc` with these files.
    fn evidence_of(files: &[(&str, &str)]) -> Evidence {
        let proc = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let place = proc.path().join(path);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, format!("{content}\n")).unwrap();
        }
        Evidence::read(proc.path())
    }

    fn evidence(sysctl: Option<&str>, status: &str) -> Evidence {
        let sysctl = sysctl.map(|value| ("sys/kernel/io_uring_disabled", value));
        let files: Vec<_> = sysctl.into_iter().chain([("thread-self/status", status)]).collect();
        evidence_of(&files)
    }

    const PLAIN: &str = "Name:\tringledger\nCapEff:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\n";
    const ROOT: &str = "Name:\tringledger\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n";
    const FILTERED: &str = "CapEff:\t0000000000000000\nSeccomp:\t2\nSeccomp_filters:\t1\n";
    const FILTERED_ROOT: &str = "CapEff:\t000001ffffffffff\nSeccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn a_refusal_is_traced_to_its_cause() {
        let sysctl = |value: &str| Obstacle::Sysctl(value.to_owned());
        let cases = [
            (Some("0"), FILTERED, Obstacle::Filter),
            (Some("0"), PLAIN, Obstacle::SecurityModule),
            (Some("2"), PLAIN, sysctl("2")),
            (Some("2"), ROOT, sysctl("2")),
            (Some("2"), FILTERED, sysctl("2")),
            (Some("1"), PLAIN, sysctl("1")),
            (Some("1"), FILTERED, sysctl("1")),
            // Value 1 lets the privileged through, so somebody else refused.
            (Some("1"), FILTERED_ROOT, Obstacle::Filter),
            (None, FILTERED, Obstacle::Filter),
            (None, PLAIN, Obstacle::SecurityModule),
        ];
        for (value, status, obstacle) in cases {
            assert_eq!(evidence(value, status).of_refusal(), obstacle, "{value:?} {status}");
        }
    }

    #[test]
    fn value_1_of_the_sysctl_lets_its_group_and_the_machines_administrator_through() {
        const MEMBER: &str = "CapEff:\t0000000000000000\nGid:\t7\t7\t7\t7\nGroups:\t4 990 \nSeccomp:\t0\n";
        let sysctl = Obstacle::Sysctl("1".to_owned());
        let machine = "         0          0 4294967295";
        let container = "         0     100000      65536";
        for (group, ids, status, obstacle) in [
            ("990", machine, MEMBER, Obstacle::SecurityModule),
            ("7", machine, MEMBER, Obstacle::SecurityModule),
            ("99", machine, MEMBER, sysctl.clone()),
            ("-1", machine, MEMBER, sysctl.clone()),
            ("-1", machine, FILTERED_ROOT, Obstacle::Filter),
            // Root of a container without being that of the machine, and a group that only has the same number.
            ("-1", container, FILTERED_ROOT, sysctl.clone()),
            ("990", container, MEMBER, sysctl.clone()),
        ] {
            let found = evidence_of(&[
                ("sys/kernel/io_uring_disabled", "1"),
                ("sys/kernel/io_uring_group", group),
                ("thread-self/uid_map", ids),
                ("thread-self/status", status),
            ]);
            assert_eq!(found.of_refusal(), obstacle, "{group} {ids} {status}");
        }
    }

    #[test]
    fn before_6_6_the_symbols_tell_a_filter_from_a_kernel_without() {
        let of = |letter: &str, status| {
            let symbols =
                format!("0 T __x64_sys_read\n0 {letter} __x64_sys_io_uring_setup\n0 T __x64_sys_write");
            evidence_of(&[("kallsyms", &symbols), ("thread-self/status", status)]).of_absence()
        };
        assert_eq!(of("T", FILTERED), Obstacle::Filter);
        assert_eq!(of("W", FILTERED), Obstacle::KernelOrFilter);
        assert_eq!(of("W", PLAIN), Obstacle::Kernel);
    }

    #[test]
    fn an_absence_is_the_kernels_only_where_nothing_hides_it() {
        let cases = [
            (Some("0"), FILTERED, Obstacle::Filter),
            (None, FILTERED, Obstacle::KernelOrFilter),
            (None, PLAIN, Obstacle::Kernel),
        ];
        for (value, status, obstacle) in cases {
            assert_eq!(evidence(value, status).of_absence(), obstacle, "{value:?} {status}");
        }
    }

    #[test]
    fn each_obstacle_says_what_to_do_in_one_line() {
        let told = [
            (Obstacle::Sysctl("2".to_owned()), "sysctl -w kernel.io_uring_disabled=0"),
            (Obstacle::Filter, "io_uring_setup, io_uring_enter and io_uring_register"),
            (Obstacle::SecurityModule, "audit log"),
            (Obstacle::Kernel, "5.19"),
            (Obstacle::KernelOrFilter, "filter"),
        ];
        for (obstacle, words) in told {
            let line = obstacle.to_string();
            assert!(line.contains(words) && !line.contains('\n'), "{line}");
        }
    }
}
