//! The process's limit of open files. Knows nothing of who opens them.
//!
//! A connection is an open file, and the usual soft limit of 1,024 stands only for programs that use
//! `select(2)`; the hard limit is what the administrator grants (`getrlimit(2)`, systemd's "File
//! Descriptor Limits").

use std::io;

use super::sys;

/// The soft limit of open files of this process, in descriptors; `u64::MAX` is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLimit {
    /// As it was.
    pub before: u64,
    /// As it is now: the hard limit.
    pub now: u64,
}

/// Raises the soft `RLIMIT_NOFILE` to the hard limit, which needs no privilege. Call it before the
/// first connection; it holds for every thread and for child processes.
///
/// Fails when the kernel refuses, as a seccomp filter may; the limit is unchanged then.
pub fn raise_file_limit() -> io::Result<FileLimit> {
    let mut limit = sys::limit(libc::RLIMIT_NOFILE)?;
    let before = limit.rlim_cur;
    if before < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        sys::set_limit(libc::RLIMIT_NOFILE, &limit)?;
    }
    Ok(FileLimit { before, now: limit.rlim_cur })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_soft_limit_comes_back_to_the_hard_one() {
        let granted = sys::limit(libc::RLIMIT_NOFILE).unwrap();
        // Below the hard limit, and far above what the other tests of this process have open.
        let lowered = granted.rlim_max - 1;
        sys::set_limit(libc::RLIMIT_NOFILE, &libc::rlimit { rlim_cur: lowered, ..granted }).unwrap();
        let raised = FileLimit { before: lowered, now: granted.rlim_max };
        assert_eq!(raise_file_limit().unwrap(), raised);
        assert_eq!(sys::limit(libc::RLIMIT_NOFILE).unwrap().rlim_cur, granted.rlim_max);
        assert_eq!(raise_file_limit().unwrap(), FileLimit { before: raised.now, now: raised.now });
    }
}
