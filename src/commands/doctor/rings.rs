//! `io_uring`: whether it can be had, which of its features, and what stands in its way.

use super::finding::{Check, Finding, Group, Weight};
use super::host::Host;
use crate::config::{IoMode, Settings};
use crate::runtime::{EngineError, Obstacle, RingFeature, RingReport};

const KERNEL: Check = Check {
    name: "kernel",
    wanted: "Linux 5.19 or later",
    why: "cancelling by descriptor came with it; everything else is probed, for distributions backport and containers \
          forbid",
    how: "install a newer kernel",
    source: "io_uring_prep_cancel(3)",
    weight: Weight::Note,
};

const RING: Check = Check {
    name: "io_uring",
    wanted: "a live ring with COOP_TASKRUN and SINGLE_ISSUER",
    why: "at 64 connections a request costs 0.1 system calls on a ring and 2.0 on epoll; without it the service runs on \
          epoll",
    how: "use Linux 6.0 or later",
    source: "ARCHITECTURE.md, Engine; io_uring_setup(2)",
    weight: Weight::Server,
};

const SYSCTL: Check = Check {
    name: "kernel.io_uring_disabled",
    wanted: "0",
    why: "1 keeps io_uring from unprivileged processes outside of kernel.io_uring_group, 2 from all",
    how: "sysctl -w kernel.io_uring_disabled=0",
    source: "Linux Documentation/admin-guide/sysctl/kernel.rst",
    weight: Weight::Server,
};

const SECCOMP: Check = Check {
    name: "seccomp",
    wanted: "no filter, or one that lets the three io_uring calls through",
    why: "the default profiles of container engines refuse io_uring since 2023",
    how: "docker run --security-opt seccomp=tuning/seccomp/ringledger.json; on Kubernetes a localhostProfile \
          of tuning/seccomp/ringledger-oci.json",
    source: "seccomp(2); tuning/README.md",
    weight: Weight::Server,
};

const CONTAINER: Check = Check {
    name: "container",
    wanted: "known",
    why: "in a container limits come from its engine, and sysctls of the host cannot be changed from inside",
    how: "nothing to do",
    source: "systemd's container interface; the marks of Docker and Podman",
    weight: Weight::Note,
};

const NEEDED: Check = Check {
    name: "",
    wanted: "works",
    why: "the ring engine cannot do without; the service runs on epoll where it is missing",
    how: "use Linux 5.19 or later",
    source: "io_uring_setup(2), io_uring_enter(2)",
    weight: Weight::Server,
};

const FASTER: Check = Check {
    wanted: "works",
    why: "completions that do not interrupt the worker, and a ring that only its thread submits to: together 7.7 to 6.2 \
          µs a request",
    how: "use Linux 6.0 or later",
    source: "io_uring_setup(2); measured, src/runtime/engine.rs",
    ..NEEDED
};

/// Looks at a probe of `io_uring` and at what the host's files say about it.
pub(super) fn check(host: &Host, settings: &Settings, report: &RingReport) -> Group {
    let mut findings =
        vec![kernel(host), ring(settings, report), sysctl(host, report), seccomp(host, report)];
    findings.extend(report.features.iter().map(feature));
    findings.push(container(host));
    Group { title: "io_uring", findings }
}

fn kernel(host: &Host) -> Finding {
    match host.sysctl("kernel.osrelease") {
        // Not a judgement: the probes below are.
        Some(release) => KERNEL.found(release, true),
        None => KERNEL.unknown("not told"),
    }
}

fn ring(settings: &Settings, report: &RingReport) -> Finding {
    let weight = match settings.runtime.io {
        IoMode::Auto => Weight::Server,
        IoMode::Uring => Weight::Blocker,
        IoMode::Epoll => Weight::Note,
    };
    match &report.setup {
        Ok(setup) => {
            let words = setup.to_string();
            let whole = !words.contains("without");
            RING.found(format!("works with {words}"), whole)
        }
        Err(EngineError::Forbidden(obstacle) | EngineError::Missing(obstacle)) => {
            RING.found(obstacle.cause(), false).by(obstacle.cure()).weighing(weight)
        }
        // Short memory or descriptors would stop the service whatever the setting, unless it does without rings.
        Err(error @ (EngineError::Memory { .. } | EngineError::Files { .. })) => {
            let weight = if settings.runtime.io == IoMode::Epoll { Weight::Note } else { Weight::Blocker };
            RING.found(error.to_string(), false).by("raise the limit it names").weighing(weight)
        }
        Err(error @ (EngineError::TooOld(_) | EngineError::Probe(_) | EngineError::Build(_))) => {
            RING.found(error.to_string(), false).by("use Linux 5.19 or later").weighing(weight)
        }
    }
}

fn sysctl(host: &Host, report: &RingReport) -> Finding {
    match host.sysctl(SYSCTL.name) {
        Some(value) if value == "0" => SYSCTL.found(value, true),
        // Value 1 lets root through, and the service then too if it is run as root.
        Some(value) => {
            let weight = if report.setup.is_ok() { Weight::Note } else { Weight::Server };
            SYSCTL.found(value, false).weighing(weight)
        }
        None => SYSCTL.found("no such sysctl (Linux before 6.6)", true),
    }
}

fn seccomp(host: &Host, report: &RingReport) -> Finding {
    let filters = || host.status("Seccomp_filters").unwrap_or_else(|| "a number of".to_owned());
    match host.status("Seccomp").as_deref() {
        Some("0") => SECCOMP.found("no filter", true),
        Some("2") => {
            let (effect, fine) = match &report.setup {
                Err(EngineError::Forbidden(Obstacle::Filter) | EngineError::Missing(Obstacle::Filter)) => {
                    ("refuses io_uring", false)
                }
                Err(EngineError::Missing(Obstacle::KernelOrFilter)) => ("may be what hides io_uring", false),
                _ => ("not seen to refuse io_uring", true),
            };
            SECCOMP.found(format!("filters: {}; {effect}", filters()), fine)
        }
        Some(other) => SECCOMP.unknown(format!("mode {other}")),
        None => SECCOMP.unknown("not told"),
    }
}

fn feature(feature: &RingFeature) -> Finding {
    let check = if feature.needed { &NEEDED } else { &FASTER };
    let mut finding = check.found(if feature.present { "works" } else { "missing" }, feature.present);
    finding.name = feature.name.into();
    finding
}

fn container(host: &Host) -> Finding {
    match container_engine(host) {
        Some(engine) => CONTAINER.found(engine, true),
        None => CONTAINER.found("none seen", true),
    }
}

/// The container engine that this process runs under, as far as it leaves a mark.
pub(super) fn container_engine(host: &Host) -> Option<&'static str> {
    if host.has("var/run/secrets/kubernetes.io") {
        return Some("Kubernetes");
    }
    if host.has(".dockerenv") {
        return Some("Docker");
    }
    if host.has("run/.containerenv") {
        return Some("Podman");
    }
    host.has("run/systemd/container").then_some("a container")
}

#[cfg(test)]
mod tests {
    use super::super::finding::{Level, State, worst};
    use super::super::host::fixture;
    use super::*;
    use crate::cli::Profile;

    fn refused(error: EngineError) -> RingReport {
        RingReport { setup: Err(error), features: Vec::new() }
    }

    fn differing(group: &Group) -> Vec<&str> {
        let differs = group.findings.iter().filter(|finding| finding.state == State::Differs);
        differs.map(|finding| &*finding.name).collect()
    }

    const OPEN: [(&str, &str); 3] = [
        ("proc/sys/kernel/osrelease", "6.18.0\n"),
        ("proc/sys/kernel/io_uring_disabled", "0\n"),
        ("proc/self/status", "Seccomp:\t0\n"),
    ];

    #[test]
    fn a_filter_is_blamed_and_not_the_kernel() {
        let (_root, host) = fixture::host(&[
            OPEN[0],
            OPEN[1],
            ("proc/self/status", "Seccomp:\t2\nSeccomp_filters:\t1\n"),
            (".dockerenv", ""),
        ]);
        let report = refused(EngineError::Forbidden(Obstacle::Filter));
        let group = check(&host, &Settings::default(), &report);
        assert_eq!(differing(&group), ["io_uring", "seccomp"]);
        assert_eq!(worst(&[group], Profile::Container), Level::Warning);
        assert_eq!(container_engine(&host), Some("Docker"));
    }

    #[test]
    fn the_sysctl_is_blamed_and_not_a_filter() {
        let (_root, host) = fixture::host(&[OPEN[0], ("proc/sys/kernel/io_uring_disabled", "2\n"), OPEN[2]]);
        let report = refused(EngineError::Forbidden(Obstacle::Sysctl("2".to_owned())));
        let group = check(&host, &Settings::default(), &report);
        assert_eq!(differing(&group), ["io_uring", "kernel.io_uring_disabled"]);
        assert!(group.findings[1].now.contains("kernel.io_uring_disabled is 2"), "{group:?}");
    }

    #[test]
    fn no_ring_blocks_only_who_asked_for_one() {
        let (_root, host) = fixture::host(&OPEN);
        let report = refused(EngineError::Missing(Obstacle::Kernel));
        let level = |io| {
            let mut settings = Settings::default();
            settings.runtime.io = io;
            worst(&[check(&host, &settings, &report)], Profile::Container)
        };
        assert_eq!(level(IoMode::Uring), Level::Blocker);
        assert_eq!(level(IoMode::Auto), Level::Warning);
        assert_eq!(level(IoMode::Epoll), Level::Note);
    }

    #[test]
    fn starvation_blocks_as_it_stops_the_start() {
        let (_root, host) = fixture::host(&OPEN);
        let report = refused(EngineError::Memory { limit: "65536".to_owned() });
        let group = check(&host, &Settings::default(), &report);
        assert!(group.findings[1].now.contains("65536"), "{group:?}");
        assert_eq!(worst(&[group], Profile::Dev), Level::Blocker);
    }

    #[test]
    fn a_missing_feature_is_named() {
        let (_root, host) = fixture::host(&OPEN);
        let feature = |name, needed, present| RingFeature { name, needed, present };
        let features = vec![feature("NODROP", true, true), feature("SINGLE_ISSUER", false, false)];
        let report = RingReport { setup: Err(EngineError::TooOld("x")), features };
        let group = check(&host, &Settings::default(), &report);
        assert_eq!(differing(&group), ["io_uring", "SINGLE_ISSUER"]);
    }
}
