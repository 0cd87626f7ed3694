//! Counts request heads in a stream of bytes. Knows nothing of where the bytes come from, and takes every head
//! for a request without a body.

use memchr::memmem::Finder;

/// The empty line that ends a head, and the line break before it (RFC 9112 §2.1).
const END: &[u8; 4] = b"\r\n\r\n";

/// Bytes that a server takes from a connection at once, as many as ringledger's streams do. Bounds what one
/// turn owes to a client that pipelines.
pub(crate) const RECEIVE_BYTES: usize = 8 * 1024;

/// Heads that may end in [`RECEIVE_BYTES`]: ends and nothing else, the first of them begun earlier.
pub(crate) const HEADS_BOUND: usize = RECEIVE_BYTES.div_ceil(END.len());

/// Finds ends of heads: 22 ns a request of wrk, where a loop over its bytes takes 100.
pub(crate) struct Heads(Finder<'static>);

/// Where one connection's stream stands between two pieces of it.
#[derive(Default)]
pub(crate) struct Progress {
    /// How many bytes of [`END`] the stream ends with; never all of them.
    matched: usize,
}

impl Heads {
    pub(crate) fn new() -> Self {
        Self(Finder::new(END))
    }

    /// How many heads end in `piece`, the next bytes of the stream that `progress` belongs to.
    pub(crate) fn count(&self, progress: &mut Progress, piece: &[u8]) -> usize {
        let missing = &END[progress.matched..];
        if piece.len() < missing.len() && missing.starts_with(piece) {
            progress.matched += piece.len();
            return 0;
        }
        let (mut heads, mut rest) = match piece.strip_prefix(missing) {
            Some(rest) if progress.matched > 0 => (1, rest),
            _ => (0, piece),
        };
        while let Some(at) = self.0.find(rest) {
            heads += 1;
            rest = &rest[at + END.len()..];
        }
        progress.matched = (1..END.len()).rev().find(|&bytes| rest.ends_with(&END[..bytes])).unwrap_or(0);
        heads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three heads; line breaks of all kinds that end none stand between.
    const STREAM: &[u8] =
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b\n\n\r\r\n\rHost\r\n\r\r\n\r\n\r\nGET /c\r\n\r\n\r";

    fn heads_in(pieces: &[&[u8]]) -> usize {
        let (heads, mut progress) = (Heads::new(), Progress::default());
        pieces.iter().map(|piece| heads.count(&mut progress, piece)).sum()
    }

    #[test]
    fn heads_are_counted_wherever_the_stream_is_split() {
        assert_eq!(heads_in(&[STREAM]), 3);
        for first in 0..=STREAM.len() {
            for second in first..=STREAM.len() {
                let pieces = [&STREAM[..first], &STREAM[first..second], &STREAM[second..]];
                assert_eq!(heads_in(&pieces), 3, "split at {first} and {second}");
            }
        }
        assert_eq!(heads_in(&STREAM.chunks(1).collect::<Vec<_>>()), 3);
    }

    #[test]
    fn no_piece_holds_more_heads_than_the_bound() {
        let ends = END.repeat(HEADS_BOUND + 1);
        for begun in 0..END.len() {
            let pieces = [&ends[..begun], &ends[begun..begun + RECEIVE_BYTES]];
            assert_eq!(heads_in(&pieces), HEADS_BOUND);
        }
    }
}
