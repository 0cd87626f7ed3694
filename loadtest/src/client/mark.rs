//! Looks for a text in a body that comes in pieces. Keeps no more of the body than could be the beginning of the text.

use memchr::memmem;

/// The text, and the end of what was looked at.
#[derive(Debug)]
pub(super) struct Mark {
    text: &'static [u8],
    /// The last bytes of the body so far, fewer than the text has.
    end: Vec<u8>,
}

impl Mark {
    pub(super) const fn new(text: &'static [u8]) -> Self {
        Self { text, end: Vec::new() }
    }

    /// The same text, in a body that begins.
    pub(super) const fn afresh(&self) -> Self {
        Self::new(self.text)
    }

    /// Whether the text ends in this piece.
    pub(super) fn is_in(&mut self, piece: &[u8]) -> bool {
        let kept = self.text.len().saturating_sub(1);
        self.end.extend_from_slice(&piece[..piece.len().min(kept)]);
        let found = memmem::find(&self.end, self.text).or_else(|| memmem::find(piece, self.text)).is_some();
        if piece.len() >= kept {
            self.end.clear();
            self.end.extend_from_slice(&piece[piece.len() - kept..]);
        } else {
            self.end.drain(..self.end.len().saturating_sub(kept));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_however_the_body_is_cut() {
        let body = b"0123 mar mark 456";
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let mut mark = Mark::new(b"mark");
                let pieces = [&body[..first], &body[first..second], &body[second..]];
                let found: Vec<_> = pieces.iter().map(|piece| mark.is_in(piece)).collect();
                assert!(found.contains(&true), "{first} {second}");
                let mut other = Mark::new(b"mask");
                assert!(!pieces.iter().any(|piece| other.is_in(piece)), "{first} {second}");
            }
        }
    }

    #[test]
    fn what_an_earlier_body_ended_with_is_forgotten() {
        let mut mark = Mark::new(b"mark");
        assert!(!mark.is_in(b"ma"));
        assert!(!mark.afresh().is_in(b"rk"));
        assert!(mark.is_in(b"rk"));
    }
}
