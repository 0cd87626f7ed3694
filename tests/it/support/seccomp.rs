//! A seccomp filter that takes `io_uring` away, as container engines do. Knows nothing of what runs under it.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// From now on `io_uring_setup` answers with `errno` on this thread and in what it starts; all else is allowed. There is
/// no way back.
pub(crate) fn forbid_rings(errno: i32) {
    let refuse = SeccompAction::Errno(errno.try_into().unwrap());
    let rules = BTreeMap::from([(libc::SYS_io_uring_setup, Vec::new())]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, ARCH.try_into().unwrap()).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}
