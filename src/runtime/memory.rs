//! Memory that was freed and should not stay with the process. Knows nothing of who freed it.

use std::io;

use super::sys;

/// Keeps the kernel from making huge pages of the process's memory (`prctl(2)`, `PR_SET_THP_DISABLE`). It would fill
/// the holes that parked connections leave: 9,000 of them then kept 3.1 KB each instead of 1.6. Call it at the start.
///
/// Fails when the kernel refuses; nothing but that memory depends on it.
pub fn keep_pages_small() -> io::Result<()> {
    sys::disable_huge_pages()
}

/// Gives the pages back to the system that this thread has freed. mimalloc returns them when it is next asked
/// for memory, so a thread that falls idle after a wave of work would keep them. Takes about a millisecond
/// after 10,000 freed buffers; harmless where another allocator serves.
pub fn give_memory_back() {
    sys::collect_freed_pages();
}
