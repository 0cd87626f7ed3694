//! Waiting for a state that nothing tells of, and telling others that it has come.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The pause between two looks.
const POLL: Duration = Duration::from_millis(10);

/// Waits until `look` finds what must come; it says in words what it finds until then.
#[track_caller]
pub(crate) fn wait_until(within: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + within;
    while let Err(found) = look() {
        assert!(Instant::now() < deadline, "after {within:?} still: {found}");
        std::thread::sleep(POLL);
    }
}

/// Sets its flag when it goes, also by a panic, so that the threads of a scope that look at it end.
pub(crate) struct SetsAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetsAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
