//! What stands between this process and `io_uring`: the kernel's evidence, and from it the cause and its cure in
//! words. Knows nothing of rings.
//!
//! One error number has several causes. EPERM comes from the sysctl `kernel.io_uring_disabled`
//! (`io_uring_setup(2)`), from a seccomp filter (`seccomp(2)`) or from a security module; ENOSYS from a kernel
//! without `io_uring` or from a filter that plays such a kernel, as Podman's default profile does.

use std::fmt;
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
}

impl Evidence {
    /// As found below `proc`, which is `/proc` of the host or a copy of it.
    pub(super) fn read(proc: &Path) -> Self {
        let sysctl = std::fs::read_to_string(proc.join("sys/kernel/io_uring_disabled")).ok();
        // A filter is on a thread, so another one's status would not do.
        let status = std::fs::read_to_string(proc.join("thread-self/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.map(str::trim)
        };
        let capabilities = field("CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        Self {
            sysctl: sysctl.map(|value| value.trim().to_owned()),
            filtered: field("Seccomp") == Some("2"),
            privileged: capabilities.is_some_and(|mask| mask & CAP_SYS_ADMIN != 0),
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
        match (self.sysctl, self.filtered) {
            (Some(_), _) => Obstacle::Filter,
            (None, true) => Obstacle::KernelOrFilter,
            (None, false) => Obstacle::Kernel,
        }
    }
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

    /// Evidence out of a copy of `/proc`.
    fn evidence(sysctl: Option<&str>, status: &str) -> Evidence {
        let proc = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(proc.path().join("sys/kernel")).unwrap();
        std::fs::create_dir(proc.path().join("thread-self")).unwrap();
        if let Some(value) = sysctl {
            std::fs::write(proc.path().join("sys/kernel/io_uring_disabled"), format!("{value}\n")).unwrap();
        }
        std::fs::write(proc.path().join("thread-self/status"), status).unwrap();
        Evidence::read(proc.path())
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
