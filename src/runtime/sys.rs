//! The few system calls that no crate wraps safely: scheduling class, thread clock, limits, pages.
//! Knows nothing of why they are asked for.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// CPU time that the calling thread has used, user and system (`clock_gettime(2)`,
/// `CLOCK_THREAD_CPUTIME_ID`).
pub(super) fn thread_cpu_time() -> Duration {
    read_clock(libc::CLOCK_THREAD_CPUTIME_ID).expect("every Linux thread has a CPU clock")
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `time` is a live, writable timespec of this frame; the kernel keeps no pointer.
    if unsafe { libc::clock_gettime(clock, time.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above succeeded, so it has filled the whole value.
    let time = unsafe { time.assume_init() };
    let secs = u64::try_from(time.tv_sec).expect("a CPU clock starts at zero and only rises");
    let nanos = u32::try_from(time.tv_nsec).expect("a timespec holds less than 10^9 ns");
    Ok(Duration::new(secs, nanos))
}

/// How many cores are online (`sysconf(3)`).
pub(super) fn online_cores() -> Option<usize> {
    // SAFETY: takes no pointer.
    let cores = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(cores).ok()
}

/// The CPU clock of one thread, to be read by others (`pthread_getcpuclockid(3)`).
pub(super) struct ThreadClock(libc::clockid_t);

impl ThreadClock {
    /// The clock of the calling thread.
    pub(super) fn of_caller() -> Self {
        let mut clock: libc::clockid_t = 0;
        // SAFETY: takes nothing and returns the handle of the calling thread.
        let caller = unsafe { libc::pthread_self() };
        // SAFETY: `caller` runs, so its handle is valid; `clock` is a live, writable value of this frame.
        let status = unsafe { libc::pthread_getcpuclockid(caller, &raw mut clock) };
        assert_eq!(status, 0, "every Linux thread has a CPU clock");
        Self(clock)
    }

    /// CPU time that the thread has used; `None` when it has ended.
    pub(super) fn read(&self) -> Option<Duration> {
        read_clock(self.0).ok()
    }
}

/// The calling thread, for system calls that take a thread id.
const CALLING_THREAD: libc::pid_t = 0;

/// Keeps the kernel from making huge pages of this process's memory (`prctl(2)`, `PR_SET_THP_DISABLE`).
pub(super) fn disable_huge_pages() -> io::Result<()> {
    const UNUSED: libc::c_ulong = 0;
    const DISABLE: libc::c_ulong = 1;
    // SAFETY: this option takes numbers only.
    check(unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, DISABLE, UNUSED, UNUSED, UNUSED) })
}

/// Has mimalloc give the pages back that the calling thread has freed.
pub(super) fn collect_freed_pages() {
    // SAFETY: takes no pointer and may be called by any thread at any time; it works on the thread's own heap.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Puts the calling thread into `SCHED_IDLE`: it runs only where nothing else wants to
/// (`sched(7)`). Without privilege there is no way back.
pub(super) fn become_idle_class() -> io::Result<()> {
    set_class(libc::SCHED_IDLE)
}

/// Puts the calling thread into `SCHED_BATCH`, where waking does not preempt, with so much more niceness (`sched(7)`).
/// Neither needs privilege.
pub(super) fn become_batch(more_nice: u8) -> io::Result<()> {
    set_class(libc::SCHED_BATCH)?;
    // SAFETY: takes no pointer. On Linux niceness belongs to the thread; to raise it never fails, and beyond 19 it is 19
    // (nice(2)).
    unsafe { libc::nice(more_nice.into()) };
    Ok(())
}

fn set_class(class: libc::c_int) -> io::Result<()> {
    let param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` lives across the call; the kernel copies it and keeps no pointer.
    check(unsafe { libc::sched_setscheduler(CALLING_THREAD, class, &raw const param) })
}

fn check(status: libc::c_int) -> io::Result<()> {
    if status == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The soft and the hard limit of a resource; `RLIM_INFINITY` is none (`getrlimit(2)`).
pub(super) fn limit(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = MaybeUninit::<libc::rlimit>::uninit();
    // SAFETY: `limit` is a live, writable rlimit of this frame; the kernel keeps no pointer.
    check(unsafe { libc::getrlimit(resource, limit.as_mut_ptr()) })?;
    // SAFETY: the call above succeeded, so it has filled the whole value.
    Ok(unsafe { limit.assume_init() })
}

/// Sets both limits of a resource for the whole process (`setrlimit(2)`).
pub(super) fn set_limit(resource: libc::__rlimit_resource_t, limit: &libc::rlimit) -> io::Result<()> {
    // SAFETY: `limit` is borrowed for the whole call; the kernel copies it and keeps no pointer.
    check(unsafe { libc::setrlimit(resource, limit) })
}

/// A soft resource limit in words: a number, or `unlimited`.
pub(super) fn soft_limit(resource: libc::__rlimit_resource_t) -> String {
    match limit(resource).map(|limit| limit.rlim_cur) {
        Err(_) => "unknown".to_owned(),
        Ok(libc::RLIM_INFINITY) => "unlimited".to_owned(),
        Ok(bound) => bound.to_string(),
    }
}

/// The scheduling class of the calling thread, such as `libc::SCHED_IDLE`.
#[cfg(test)]
pub(super) fn scheduling_class() -> libc::c_int {
    // SAFETY: takes no pointer; 0 is the calling thread, which exists.
    unsafe { libc::sched_getscheduler(0) }
}
