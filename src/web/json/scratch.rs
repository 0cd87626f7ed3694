//! Memory to decode JSON in place, reused from body to body.
//!
//! Knows the decoder's buffers and their bounds; what is refused is explained elsewhere.

use std::cell::RefCell;
use std::mem;

use serde::Deserialize;
use simd_json::{Buffers, Deserializer, Tape};

use super::MAX_DEPTH;
use super::strict::Strict;

/// Scratches a thread keeps; more than this many bodies are rarely decoded at once, and the rest
/// is given back. With the two bounds below, keeps what a thread holds under 10 MiB.
const KEPT_SCRATCHES: usize = 16;

/// Largest body, in bytes, whose scratch is kept. Keeps a rare batch from pinning its megabytes.
const KEPT_BODY_BYTES: usize = 64 * 1024;

/// Most values in a body whose scratch is kept: a short body of `[[],[],…]` decodes into twelve
/// times its size.
const KEPT_TAPE_NODES: usize = 8 * 1024;

/// First size of the buffers, in bytes of body.
const USUAL_BODY_BYTES: usize = 512;

thread_local! {
    /// Per thread rather than per connection: idle connections then hold none, and a warm thread
    /// allocates nothing to decode.
    #[expect(clippy::vec_box, reason = "a body holds the box, and is moved more often than decoded")]
    static POOL: RefCell<Vec<Box<Scratch>>> = const { RefCell::new(Vec::new()) };
}

/// A copy of a body that the decoder may overwrite, and the decoder's buffers.
pub(crate) struct Scratch {
    text: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Scratch {
    /// One that this thread has used before, or a new one.
    pub(crate) fn take() -> Box<Self> {
        POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            Box::new(Self {
                text: Vec::with_capacity(USUAL_BODY_BYTES),
                buffers: Buffers::with_max_depth(USUAL_BODY_BYTES, MAX_DEPTH),
                tape: Tape(Vec::new()),
            })
        })
    }

    /// Gives `scratch` back to this thread, unless it grew too large or enough are kept.
    pub(crate) fn keep(scratch: Box<Self>) {
        if !scratch.is_small() {
            return;
        }
        // Refused only while the thread's locals are torn down: then the memory just goes.
        let _ = POOL.try_with(|pool| {
            let mut kept = pool.borrow_mut();
            if kept.len() < KEPT_SCRATCHES {
                kept.push(scratch);
            }
        });
    }

    fn is_small(&self) -> bool {
        self.text.capacity() <= KEPT_BODY_BYTES && self.tape.0.capacity() <= KEPT_TAPE_NODES
    }

    /// Decodes `original` in this memory.
    pub(super) fn decode<'de, T: Deserialize<'de>>(&'de mut self, original: &[u8]) -> simd_json::Result<T> {
        self.text.clear();
        self.text.extend_from_slice(original);
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let filled = simd_json::fill_tape(&mut self.text, &mut self.buffers, &mut tape);
        let mut decoder = Deserializer::from_tape(tape);
        let value = filled.and_then(|()| T::deserialize(Strict(&mut decoder)));
        self.tape = decoder.into_tape().reset();
        value
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::*;

    fn kept() -> usize {
        POOL.with_borrow(Vec::len)
    }

    fn decode_and_keep(body: &[u8]) {
        let mut scratch = Scratch::take();
        scratch.decode::<IgnoredAny>(body).unwrap();
        Scratch::keep(scratch);
    }

    #[test]
    fn only_small_scratches_are_kept() {
        decode_and_keep(b"[]");
        assert_eq!(kept(), 1);
        let long = format!("\"{}\"", "x".repeat(KEPT_BODY_BYTES));
        decode_and_keep(long.as_bytes());
        assert_eq!(kept(), 0);
        let dense = format!("[{}1]", "1,".repeat(KEPT_TAPE_NODES));
        assert!(dense.len() < KEPT_BODY_BYTES);
        decode_and_keep(dense.as_bytes());
        assert_eq!(kept(), 0);
    }

    #[test]
    fn a_thread_keeps_a_bounded_number() {
        let taken: Vec<_> = (0..=KEPT_SCRATCHES).map(|_| Scratch::take()).collect();
        taken.into_iter().for_each(Scratch::keep);
        assert_eq!(kept(), KEPT_SCRATCHES);
    }
}
