//! Which I/O engine serves, and why: the operator's wish, a live probe of `io_uring`, and the words
//! for what stands in its way. Knows nothing of sockets or of what will be served.
//!
//! Features are probed, kernel versions never parsed: distributions backport, containers forbid.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, Probe, opcode, squeue, types};

use super::obstacle::{Evidence, Obstacle};
use super::sys;

/// Submission queue entries of a worker's ring.
///
/// A turn of the loop queues at most a send and a receive for each connection that it served, and
/// submits them together. A full queue is submitted early, which is merely an extra system call,
/// but tokio-uring panics if that submission fails: large enough that it stays the exception, and
/// small beside the connections themselves (64 bytes an entry).
pub(super) const RING_ENTRIES: u32 = 4096;

/// What the operator asked for (`runtime.io`, `--io`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoMode {
    /// `io_uring` where it works, else epoll.
    Auto,
    /// `io_uring`, or fail with the reason.
    Uring,
    /// epoll; `io_uring` is not even probed.
    Epoll,
}

/// Set-up flags of a ring, as far as they were found to work (`io_uring_setup(2)`).
///
/// Completions that do not interrupt the worker and a ring that only its thread submits to save
/// 7.7 → 6.2 µs a request. `DEFER_TASKRUN` is not among them: it hangs under tokio-uring 0.5,
/// which never asks for events when it submits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingSetup {
    coop_taskrun: bool,
    single_issuer: bool,
}

/// A flag of [`RingSetup`], by name and by how it is set.
pub(super) type Flag = (&'static str, fn(RingSetup) -> RingSetup);

impl RingSetup {
    /// Every flag, the most useful first.
    pub(super) const FLAGS: [Flag; 2] = [
        ("COOP_TASKRUN", |setup| Self { coop_taskrun: true, ..setup }),
        ("SINGLE_ISSUER", |setup| Self { single_issuer: true, ..setup }),
    ];

    fn all() -> Self {
        Self::FLAGS.iter().fold(Self::default(), |setup, (_, set)| set(setup))
    }

    pub(super) fn builder(self) -> io_uring::Builder {
        let mut builder = IoUring::builder();
        if self.coop_taskrun {
            builder.setup_coop_taskrun();
        }
        if self.single_issuer {
            builder.setup_single_issuer();
        }
        builder
    }
}

impl fmt::Display for RingSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |set: bool| {
            let with = Self::FLAGS.iter().filter(|(_, flag)| (flag(*self) == *self) == set);
            with.map(|(name, _)| *name).collect::<Vec<_>>().join(" and ")
        };
        match (named(true), named(false)) {
            (with, without) if without.is_empty() => f.write_str(&with),
            (with, without) if with.is_empty() => write!(f, "without {without}"),
            (with, without) => write!(f, "{with}, without {without}"),
        }
    }
}

/// The engine that a worker's runtime is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// `io_uring`, set up with the flags that the probe found.
    Uring(RingSetup),
    /// tokio's own epoll driver.
    Epoll,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring(_) => "io_uring",
            Self::Epoll => "epoll",
        })
    }
}

/// An engine and one plain line that says why it was chosen.
#[derive(Debug)]
pub struct Choice {
    /// What to serve with.
    pub engine: Engine,
    /// For the operator: what was asked for or what stood in the way, and what to do about it.
    pub reason: String,
}

/// Why `io_uring` cannot serve, or why a runtime could not be built.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// EPERM or EACCES: a sysctl, a seccomp filter or a security module.
    #[error("io_uring is forbidden here: {0}")]
    Forbidden(Obstacle),
    /// ENOSYS: no such system call, or a filter that says so.
    #[error("io_uring is not to be had here: {0}")]
    Missing(Obstacle),
    /// EINVAL on every rung, or an operation or feature that the probe ring lacks.
    #[error("io_uring of this kernel is too old ({0}): use Linux 5.19 or later")]
    TooOld(&'static str),
    /// ENOMEM: the ring may not be locked into memory.
    #[error(
        "no memory for an io_uring of {RING_ENTRIES} entries: the locked-memory limit is {limit} \
         bytes; raise it (ulimit -l, LimitMEMLOCK=) or serve with --io epoll"
    )]
    Memory {
        /// `RLIMIT_MEMLOCK`, soft, in bytes.
        limit: String,
    },
    /// EMFILE: the process may open no more files.
    #[error(
        "no file descriptor left for an io_uring: the limit is {limit} open files; raise it \
         (ulimit -n, LimitNOFILE=)"
    )]
    Files {
        /// `RLIMIT_NOFILE`, soft.
        limit: String,
    },
    /// Any other failure of the probe ring.
    #[error("the probe of io_uring failed: {0}")]
    Probe(io::Error),
    /// The runtime of a worker could not be built after the engine was chosen.
    #[error("the I/O runtime could not be built: {0}")]
    Build(io::Error),
}

impl EngineError {
    pub(super) fn from_setup(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Forbidden(Evidence::of_caller().of_refusal()),
            Some(libc::ENOSYS) => Self::Missing(Evidence::of_caller().of_absence()),
            Some(libc::EINVAL) => Self::TooOld("it refuses the set-up flags"),
            Some(libc::ENOMEM) => Self::Memory { limit: sys::soft_limit(libc::RLIMIT_MEMLOCK) },
            Some(libc::EMFILE) => Self::Files { limit: sys::soft_limit(libc::RLIMIT_NOFILE) },
            _ => Self::Probe(error),
        }
    }

    /// Whether epoll is the right answer: `io_uring` is not to be had on this host. Where it is
    /// merely starved (memory, files), epoll would be starved a little later.
    fn is_absence(&self) -> bool {
        match self {
            Self::Forbidden(_) | Self::Missing(_) | Self::TooOld(_) => true,
            Self::Memory { .. } | Self::Files { .. } | Self::Probe(_) | Self::Build(_) => false,
        }
    }
}

/// Decides on the engine. `auto` and `uring` build a live ring as a worker would and run a no-op
/// through it.
///
/// Errors: with `uring` whatever stands in the way; with `auto` only what would hurt epoll too
/// (memory, file descriptors, the unknown).
pub fn choose(mode: IoMode) -> Result<Choice, EngineError> {
    decide(mode, try_ring)
}

/// How a worker's ring is set up on this host, found by building one.
///
/// Errors: whatever stands in the way.
pub(super) fn probe() -> Result<RingSetup, EngineError> {
    climb(try_ring)
}

fn decide(
    mode: IoMode,
    attempt: impl Fn(RingSetup) -> Result<(), EngineError>,
) -> Result<Choice, EngineError> {
    if mode == IoMode::Epoll {
        return Ok(Choice { engine: Engine::Epoll, reason: "asked for by --io epoll".to_owned() });
    }
    match climb(attempt) {
        Ok(setup) => {
            Ok(Choice { engine: Engine::Uring(setup), reason: format!("a probe ring works with {setup}") })
        }
        Err(absence) if mode == IoMode::Auto && absence.is_absence() => {
            Ok(Choice { engine: Engine::Epoll, reason: absence.to_string() })
        }
        Err(error) => Err(error),
    }
}

/// All flags if the kernel takes them together, else each that it takes beside those before it.
/// Only "too old" may be the fault of a flag.
fn climb(attempt: impl Fn(RingSetup) -> Result<(), EngineError>) -> Result<RingSetup, EngineError> {
    match attempt(RingSetup::all()) {
        Ok(()) => return Ok(RingSetup::all()),
        Err(EngineError::TooOld(_)) => attempt(RingSetup::default())?,
        Err(error) => return Err(error),
    }
    let mut found = RingSetup::default();
    for (_, set) in RingSetup::FLAGS {
        match attempt(set(found)) {
            Ok(()) => found = set(found),
            Err(EngineError::TooOld(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// The operations that sockets are made of, by the names of `io_uring_enter(2)`.
pub(super) const OPERATIONS: [(&str, u8); 6] = [
    ("IORING_OP_ACCEPT", opcode::Accept::CODE),
    ("IORING_OP_RECV", opcode::Recv::CODE),
    ("IORING_OP_SEND", opcode::Send::CODE),
    ("IORING_OP_POLL_ADD", opcode::PollAdd::CODE),
    ("IORING_OP_ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("IORING_OP_NOP", opcode::Nop::CODE),
];

/// Builds a ring as a worker would, checks what the streams need and runs a no-op through it.
fn try_ring(setup: RingSetup) -> Result<(), EngineError> {
    let mut ring = setup.builder().build(RING_ENTRIES).map_err(EngineError::from_setup)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(EngineError::from_setup)?;
    if !ring.params().is_feature_nodrop() || !ring.params().is_feature_fast_poll() {
        return Err(EngineError::TooOld("it lacks NODROP or FAST_POLL"));
    }
    if !OPERATIONS.iter().all(|&(_, code)| probe.is_supported(code)) {
        return Err(EngineError::TooOld("it lacks accept, recv, send, poll or cancel"));
    }
    complete(&mut ring, &opcode::Nop::new().build()).map_err(EngineError::from_setup)?;
    if !cancels_by_descriptor(&mut ring).map_err(EngineError::from_setup)? {
        return Err(EngineError::TooOld("it cannot cancel by descriptor"));
    }
    Ok(())
}

/// Whether an operation can be cancelled by its descriptor, which is how a resting connection gets
/// its receive buffer back (Linux 5.19). Nothing is in flight, so the answer is "not found" where
/// it is supported.
pub(super) fn cancels_by_descriptor(ring: &mut IoUring) -> io::Result<bool> {
    let descriptor = types::Fd(ring.as_raw_fd());
    let entry = opcode::AsyncCancel2::new(types::CancelBuilder::fd(descriptor).all()).build();
    match complete(ring, &entry) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Runs one operation, which must refer to no memory, to its end.
pub(super) fn complete(ring: &mut IoUring, entry: &squeue::Entry) -> io::Result<()> {
    // SAFETY: the callers build operations without buffers, so nothing needs to outlive them.
    unsafe { ring.submission().push(entry) }.expect("a fresh submission queue has room for one entry");
    ring.submit_and_wait(1)?;
    let completion = ring.completion().next().ok_or(io::ErrorKind::WriteZero)?;
    match completion.result() {
        status if status < 0 => Err(io::Error::from_raw_os_error(-status)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusing(errno: i32) -> impl Fn(RingSetup) -> Result<(), EngineError> {
        move |_| Err(EngineError::from_setup(io::Error::from_raw_os_error(errno)))
    }

    #[test]
    fn auto_falls_back_with_a_line_that_says_what_to_do() {
        let cases = [
            (libc::EPERM, "forbidden here"),
            (libc::EACCES, "forbidden here"),
            (libc::ENOSYS, "not to be had here"),
            (libc::EINVAL, "5.19"),
        ];
        for (errno, words) in cases {
            let choice = decide(IoMode::Auto, refusing(errno)).unwrap();
            assert_eq!(choice.engine, Engine::Epoll);
            assert!(choice.reason.contains(words), "{}", choice.reason);
            assert!(!choice.reason.contains('\n'));
        }
    }

    #[test]
    fn uring_fails_with_the_same_words() {
        for errno in [libc::EPERM, libc::ENOSYS, libc::EINVAL] {
            let fallback = decide(IoMode::Auto, refusing(errno)).unwrap();
            let error = decide(IoMode::Uring, refusing(errno)).unwrap_err();
            assert_eq!(error.to_string(), fallback.reason);
        }
    }

    #[test]
    fn exhaustion_is_an_error_that_names_the_limit() {
        for (errno, words) in [(libc::ENOMEM, "LimitMEMLOCK"), (libc::EMFILE, "LimitNOFILE")] {
            let error = decide(IoMode::Auto, refusing(errno)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
        }
    }

    #[test]
    fn each_flag_is_tried_by_itself() {
        let refuses = |refused: fn(RingSetup) -> bool| {
            let attempt =
                move |setup| if refused(setup) { Err(EngineError::TooOld("flags")) } else { Ok(()) };
            decide(IoMode::Auto, attempt).unwrap().reason
        };
        assert!(refuses(|_| false).ends_with("COOP_TASKRUN and SINGLE_ISSUER"));
        assert!(refuses(|setup| setup.single_issuer).ends_with("COOP_TASKRUN, without SINGLE_ISSUER"));
        assert!(refuses(|setup| setup.coop_taskrun).ends_with("SINGLE_ISSUER, without COOP_TASKRUN"));
        let bare = refuses(|setup| setup != RingSetup::default());
        assert!(bare.ends_with("without COOP_TASKRUN and SINGLE_ISSUER"), "{bare}");
    }

    #[test]
    fn epoll_does_not_probe() {
        let choice = decide(IoMode::Epoll, |_| unreachable!("no probe was asked for")).unwrap();
        assert_eq!(choice.engine, Engine::Epoll);
    }
}
