//! Settings of the network stack that connections and restarts depend on, and what it has dropped.

use super::finding::{Check, Finding, Group, Weight};
use super::host::Host;
use crate::config::{BusyPoll, Settings};

const BACKLOG: Check = Check {
    name: "net.core.somaxconn",
    wanted: "",
    why: "the kernel cuts server.backlog to it; a burst of connections beyond it is dropped and tries again a second \
          later",
    how: "",
    source: "listen(2); Linux Documentation/admin-guide/sysctl/net.rst",
    weight: Weight::Server,
};

const COOKIES: Check = Check {
    name: "net.ipv4.tcp_syncookies",
    wanted: "1",
    why: "without them a flood of handshakes fills the queue and shuts everybody out",
    how: "sysctl -w net.ipv4.tcp_syncookies=1",
    source: "tcp(7)",
    weight: Weight::Server,
};

const MIGRATION: Check = Check {
    name: "net.ipv4.tcp_migrate_req",
    wanted: "1",
    why: "connections that wait on a listener that closes go to another one of the port instead of being reset, when a \
          worker ends or a server takes over",
    how: "sysctl -w net.ipv4.tcp_migrate_req=1",
    source: "Linux Documentation/networking/ip-sysctl.rst, tcp_migrate_req (5.14)",
    weight: Weight::Server,
};

const RESTING: Check = Check {
    name: "net.ipv4.tcp_slow_start_after_idle",
    wanted: "0",
    why: "a keep-alive connection that rested begins anew with a small window: statements and pages take more round trips",
    how: "sysctl -w net.ipv4.tcp_slow_start_after_idle=0",
    source: "tcp(7); RFC 2861",
    weight: Weight::Server,
};

const OVERFLOW: Check = Check {
    name: "net.ipv4.tcp_abort_on_overflow",
    wanted: "0",
    why: "1 resets clients of a burst that would get in a moment later",
    how: "sysctl -w net.ipv4.tcp_abort_on_overflow=0",
    source: "tcp(7)",
    weight: Weight::Server,
};

const PORTS: Check = Check {
    name: "net.ipv4.ip_local_port_range",
    wanted: "at least 20,000 ports",
    why: "connections to Postgres, and a load tester's, each take a port of it",
    how: "sysctl -w net.ipv4.ip_local_port_range='10240 65535'",
    source: "ip(7)",
    weight: Weight::Note,
};

const DEVICE_QUEUE: Check = Check {
    name: "net.core.netdev_max_backlog",
    wanted: "no packet dropped for it",
    why: "packets beyond it are dropped and sent again after 200 ms",
    how: "sysctl -w net.core.netdev_max_backlog=5000",
    source: "Linux Documentation/admin-guide/sysctl/net.rst; /proc/net/softnet_stat",
    weight: Weight::Server,
};

const DROPPED: Check = Check {
    name: "listen queue overflows",
    wanted: "0 since boot",
    why: "a listener of this host turned connections away (not only ours)",
    how: "raise net.core.somaxconn and server.backlog, or look for the burst",
    source: "netstat(8) -s; TcpExt ListenOverflows",
    weight: Weight::Note,
};

const POLLED_READS: Check = Check {
    name: "net.core.busy_read",
    wanted: "0 on shared cores; 50 where runtime.busy_poll is on",
    why: "a receive looks at the device for so many µs before it sleeps: latency for CPU time",
    how: "sysctl -w net.core.busy_read=50 net.core.busy_poll=50",
    source: "socket(7), SO_BUSY_POLL; Linux Documentation/networking/napi.rst",
    weight: Weight::Note,
};

const POLLED_WAITS: Check = Check { name: "net.core.busy_poll", ..POLLED_READS };

/// Looks at what the kernel grants to sockets.
pub(super) fn check(host: &Host, settings: &Settings) -> Group {
    let spins = settings.runtime.busy_poll != BusyPoll::Off;
    let findings = vec![
        backlog(host, settings.server.backlog),
        equal(host, &COOKIES, &["1", "2"]),
        equal(host, &MIGRATION, &["1"]),
        equal(host, &RESTING, &["0"]),
        equal(host, &OVERFLOW, &["0"]),
        ports(host),
        device_queue(host),
        overflows(host),
        polled(host, &POLLED_READS, spins),
        polled(host, &POLLED_WAITS, spins),
    ];
    Group { title: "network", findings }
}

fn backlog(host: &Host, wanted: u16) -> Finding {
    let finding = match host.sysctl(BACKLOG.name) {
        Some(value) => {
            let enough = value.parse().is_ok_and(|value: u64| value >= u64::from(wanted));
            BACKLOG.found(value, enough)
        }
        None => BACKLOG.unknown("not told"),
    };
    finding
        .wanting(format!("at least server.backlog ({wanted})"))
        .by(format!("sysctl -w net.core.somaxconn={wanted}"))
}

/// A setting that is one of a few values.
fn equal(host: &Host, check: &Check, wanted: &[&str]) -> Finding {
    match host.sysctl(check.name) {
        Some(value) => {
            let fits = wanted.contains(&value.as_str());
            check.found(value, fits)
        }
        None => check.unknown("this kernel does not have it, or not in this network namespace"),
    }
}

fn ports(host: &Host) -> Finding {
    let range = host.sysctl(PORTS.name).unwrap_or_default();
    let mut bounds = range.split_whitespace().filter_map(|bound| bound.parse::<u32>().ok());
    match (bounds.next(), bounds.next()) {
        (Some(first), Some(last)) => {
            PORTS.found(format!("{first} to {last}"), last.saturating_sub(first) >= 20_000)
        }
        _ => PORTS.unknown("not told"),
    }
}

fn device_queue(host: &Host) -> Finding {
    // A line a core, hexadecimal; the second field counts drops.
    let stat = host.read("proc/net/softnet_stat").unwrap_or_default();
    let dropped = |line: &str| u64::from_str_radix(line.split_whitespace().nth(1)?, 16).ok();
    let counts: Vec<u64> = stat.lines().filter_map(dropped).collect();
    if counts.is_empty() {
        return DEVICE_QUEUE.unknown("not told");
    }
    let total: u64 = counts.iter().sum();
    let bound = host.sysctl(DEVICE_QUEUE.name).unwrap_or_else(|| "unknown".to_owned());
    DEVICE_QUEUE.found(format!("{bound}; {total} dropped since boot"), total == 0)
}

fn overflows(host: &Host) -> Finding {
    match host.read("proc/net/netstat").and_then(|text| counter(&text, "TcpExt", "ListenOverflows")) {
        Some(count) => DROPPED.found(count.to_string(), count == 0),
        None => DROPPED.unknown("not told"),
    }
}

/// A counter of `/proc/net/netstat`: a line of names, then a line of values, both behind the family.
fn counter(text: &str, family: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(family)?.strip_prefix(':'));
    let place = lines.next()?.split_whitespace().position(|field| field == name)?;
    lines.next()?.split_whitespace().nth(place)?.parse().ok()
}

fn polled(host: &Host, check: &Check, spins: bool) -> Finding {
    match host.sysctl(check.name) {
        Some(value) => {
            let fits = spins != (value == "0");
            check.found(value, fits)
        }
        None => check.unknown("this kernel does not have it, or not in this network namespace"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::super::host::fixture;
    use super::*;

    const HOST: [(&str, &str); 10] = [
        ("proc/sys/net/core/somaxconn", "4096\n"),
        ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
        ("proc/sys/net/ipv4/tcp_migrate_req", "1\n"),
        ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "0\n"),
        ("proc/sys/net/ipv4/tcp_abort_on_overflow", "0\n"),
        ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
        ("proc/net/softnet_stat", "0000ffff 00000000 0\n00000001 00000000 0\n"),
        ("proc/net/netstat", "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 0\nIpExt: A\nIpExt: 1\n"),
        ("proc/sys/net/core/busy_read", "0\n"),
        ("proc/sys/net/core/busy_poll", "0\n"),
    ];

    fn differing(path: &str, content: &str, settings: &Settings) -> Vec<String> {
        let files = HOST.map(|file| if file.0 == path { (path, content) } else { file });
        let (_root, host) = fixture::host(&files);
        let differs = |finding: Finding| (finding.state == State::Differs).then(|| finding.name.into_owned());
        check(&host, settings).findings.into_iter().filter_map(differs).collect()
    }

    #[test]
    fn each_setting_is_judged_by_itself() {
        let settings = Settings::default();
        assert!(differing("", "", &settings).is_empty());
        let cases = [
            ("proc/sys/net/core/somaxconn", "128", "net.core.somaxconn"),
            ("proc/sys/net/ipv4/tcp_syncookies", "0", "net.ipv4.tcp_syncookies"),
            ("proc/sys/net/ipv4/tcp_migrate_req", "0", "net.ipv4.tcp_migrate_req"),
            ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "1", "net.ipv4.tcp_slow_start_after_idle"),
            ("proc/sys/net/ipv4/tcp_abort_on_overflow", "1", "net.ipv4.tcp_abort_on_overflow"),
            ("proc/sys/net/ipv4/ip_local_port_range", "60000 60999", "net.ipv4.ip_local_port_range"),
            ("proc/net/softnet_stat", "0 1 0\n0 a 0", "net.core.netdev_max_backlog"),
            ("proc/net/netstat", "TcpExt: ListenOverflows\nTcpExt: 7", "listen queue overflows"),
            ("proc/sys/net/core/busy_read", "50", "net.core.busy_read"),
        ];
        for (path, content, name) in cases {
            assert_eq!(differing(path, content, &settings), [name], "{path}");
        }
    }

    #[test]
    fn the_backlog_is_the_settings_own() {
        let mut settings = Settings::default();
        settings.server.backlog = 8_192;
        assert_eq!(differing("", "", &settings), ["net.core.somaxconn"]);
    }

    #[test]
    fn who_spins_wants_the_kernel_to_spin_too() {
        let mut settings = Settings::default();
        settings.runtime.busy_poll = BusyPoll::Always;
        assert_eq!(differing("", "", &settings), ["net.core.busy_read", "net.core.busy_poll"]);
    }

    #[test]
    fn a_host_that_tells_nothing_is_no_warning() {
        let (_root, host) = fixture::host(&[]);
        let states = check(&host, &Settings::default()).findings.into_iter().map(|finding| finding.state);
        assert!(states.into_iter().all(|state| state == State::Unknown));
    }
}
