//! `tuning/apply` and `tuning/undo` on a made-up root: what they say, what they change, and that nothing is left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Ran, run_command};

/// Files of the made-up host: some as wanted, some not, one better than wanted, one that is a choice.
const HOST: [(&str, &str); 9] = [
    ("proc/sys/net/core/somaxconn", "128"),
    ("proc/sys/net/core/netdev_max_backlog", "9000"),
    ("proc/sys/net/ipv4/tcp_migrate_req", "0"),
    ("proc/sys/net/ipv4/tcp_syncookies", "2"),
    ("proc/sys/kernel/io_uring_disabled", "2"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always"),
    ("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave"),
    ("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "performance"),
    ("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "schedutil"),
];

fn host() -> TempDir {
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for (path, content) in HOST {
        let place = root.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, format!("{content}\n")).unwrap();
    }
    root
}

/// Every file below `root` with its content.
fn files(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut folders = vec![root.to_owned()];
    let mut found = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

/// Runs a script of `tuning` on `root`, with `answer` as its standard input.
fn tuning(script: &str, root: &Path, arguments: &[&str], answer: &str) -> Ran {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tuning").join(script));
    command.arg("--root").arg(root).args(arguments);
    run_command(command, answer)
}

fn now(root: &Path, path: &str) -> String {
    fs::read_to_string(root.join(path)).unwrap().trim().to_owned()
}

#[test]
fn a_dry_run_says_what_and_why_and_changes_nothing() {
    let root = host();
    let before = files(root.path());
    let told = tuning("apply", root.path(), &["--dry-run"], "").ok();
    assert_eq!(files(root.path()), before);
    for words in [
        "change  /proc/sys/net/core/somaxconn: 128 -> 4096\n        At least server.backlog",
        "keep    /proc/sys/net/core/netdev_max_backlog = 9000",
        "keep    /proc/sys/net/ipv4/tcp_syncookies = 2",
        "change  /proc/sys/kernel/io_uring_disabled: 2 -> 0",
        "keep    /sys/devices/system/cpu/cpu1/cpufreq/scaling_governor = performance",
        "absent  /proc/sys/kernel/numa_balancing",
        "6 to change; nothing was changed",
    ] {
        assert!(told.contains(words), "{words:?} in {told}");
    }
}

#[test]
fn applied_and_undone_every_value_is_as_it_was() {
    let root = host();
    let before = files(root.path());
    tuning("apply", root.path(), &["--yes"], "").ok();
    assert_eq!(now(root.path(), "proc/sys/net/core/somaxconn"), "4096");
    assert_eq!(now(root.path(), "proc/sys/net/core/netdev_max_backlog"), "9000");
    assert_eq!(now(root.path(), "sys/kernel/mm/transparent_hugepage/enabled"), "madvise");
    for core in 0..3 {
        let path = format!("sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        assert_eq!(now(root.path(), &path), "performance");
    }
    // A second time there is nothing to do, and the values from before are still known.
    assert!(tuning("apply", root.path(), &["--yes"], "").ok().contains("nothing to change"));
    let applied = files(root.path());
    tuning("undo", root.path(), &["--dry-run"], "").ok();
    assert_eq!(files(root.path()), applied);
    tuning("undo", root.path(), &[], "").ok();
    assert_eq!(files(root.path()), before);
    assert!(tuning("undo", root.path(), &[], "").ok().contains("nothing to put back"));
}

#[test]
fn what_is_kept_for_good_lowers_nothing() {
    let root = host();
    let before = files(root.path());
    let told = tuning("apply", root.path(), &["--sysctl"], "").ok();
    assert_eq!(files(root.path()), before);
    let lines: Vec<_> = told.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            "net.core.somaxconn = 4096",
            "net.core.netdev_max_backlog = 9000",
            "net.ipv4.tcp_migrate_req = 1",
            "net.ipv4.tcp_syncookies = 2",
            "kernel.io_uring_disabled = 0",
        ]
    );
}

#[test]
fn only_a_yes_changes_anything() {
    let root = host();
    let before = files(root.path());
    for answer in ["", "\n", "n\n", "maybe\n"] {
        tuning("apply", root.path(), &[], answer).fails(1);
        assert_eq!(files(root.path()), before, "{answer:?}");
    }
    tuning("apply", root.path(), &[], "y\n").ok();
    assert_ne!(files(root.path()), before);
}

#[test]
fn values_from_before_are_never_written_over() {
    let root = host();
    tuning("apply", root.path(), &["--yes"], "").ok();
    fs::write(root.path().join("proc/sys/net/core/somaxconn"), "64\n").unwrap();
    let again = tuning("apply", root.path(), &["--yes"], "");
    assert!(again.fails(1).stderr.contains("run tuning/undo first"), "{again:?}");
    tuning("undo", root.path(), &[], "").ok();
    assert_eq!(now(root.path(), "proc/sys/net/core/somaxconn"), "128");
}

#[test]
fn what_could_not_be_changed_does_not_hold_up_the_undoing() {
    let root = host();
    let governor = root.path().join("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor");
    fs::remove_file(&governor).unwrap();
    std::os::unix::fs::symlink("/proc/sys/kernel/ostype", &governor).unwrap();
    let before = files(root.path());
    tuning("apply", root.path(), &["--yes"], "").fails(1);
    tuning("undo", root.path(), &[], "").ok();
    assert_eq!(files(root.path()), before);
    assert!(tuning("undo", root.path(), &[], "").ok().contains("nothing to put back"));
}

/// Cargo wants to see every member of the workspace, and the image's build is shown no more than it must see.
#[test]
fn the_build_of_the_image_sees_every_member_of_the_workspace() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let shown = fs::read_to_string(root.join(".dockerignore")).unwrap();
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let members: Vec<_> = members.split(',').map(|member| member.trim().trim_matches('"')).collect();
    assert!(members.len() > 3, "{members:?}");
    for member in members.into_iter().filter(|member| !member.is_empty() && *member != ".") {
        let manifest = format!("!{member}/Cargo.toml");
        let is_below =
            |line: &str| line.strip_prefix('!').is_some_and(|shown| Path::new(member).starts_with(shown));
        assert!(shown.lines().any(|line| is_below(line) || line == manifest), "{member}");
    }
}

#[test]
fn arguments_that_are_not_known_end_with_2() {
    let root = host();
    for script in ["apply", "undo"] {
        tuning(script, root.path(), &["--dance"], "").fails(2);
        tuning(script, Path::new("/nonexistent"), &[], "").fails(2);
    }
}
