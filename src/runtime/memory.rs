//! Memory that was freed and should not stay with the process. Knows nothing of who freed it.
#![allow(unsafe_code)]

/// Gives the pages back to the system that this thread has freed. mimalloc returns them when it is next asked
/// for memory, so a thread that falls idle after a wave of work would keep them. Takes about a millisecond
/// after 10,000 freed buffers; harmless where another allocator serves.
pub fn give_memory_back() {
    // SAFETY: takes no pointer and may be called by any thread at any time; it works on the thread's own heap.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
