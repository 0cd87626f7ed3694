//! A file, line by line.

use std::io::{BufRead, Read};

use sha2::{Digest, Sha256};

use super::{LINE_BYTES_MAX, Problem};

/// A file, line by line.
pub(super) struct Lines<R> {
    file: R,
    /// Of all lines that were read.
    pub(super) digest: Sha256,
    /// How many.
    pub(super) read: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, digest: Sha256::new(), read: 0, buffer: Vec::new() }
    }

    /// The next line; `None` at the end of the file. A line without its end was cut off.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, Problem> {
        self.buffer.clear();
        let length = self.file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.buffer)?;
        if length == 0 {
            return Ok(None);
        }
        self.read += 1;
        if self.buffer.last() != Some(&b'\n') {
            let full = self.buffer.len() as u64 == LINE_BYTES_MAX;
            return Err(if full { Problem::TooLong } else { Problem::Truncated });
        }
        self.digest.update(&self.buffer);
        Ok(Some(&self.buffer))
    }
}
