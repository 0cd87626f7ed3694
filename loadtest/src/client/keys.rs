//! Keys that no two requests share, written as digits of a fixed width. Knows nothing of what carries them.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::requests::UNIQUE_BYTES;

/// Digits that tell one client from any earlier one: microseconds since 1970 need no more until the year 2286.
const PREFIX_DIGITS: usize = 16;
/// Digits that tell the threads of a client apart.
const THREAD_DIGITS: usize = 4;

/// What keys of a client begin with if it begins now.
pub(super) fn prefix_of_now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros()
}

/// The keys of one thread, in turn.
#[derive(Debug)]
pub(super) struct Keys {
    digits: [u8; UNIQUE_BYTES],
}

impl Keys {
    pub(super) fn new(prefix: u128, thread: usize) -> Self {
        let width = UNIQUE_BYTES - PREFIX_DIGITS - THREAD_DIGITS;
        let text = format!("{prefix:0PREFIX_DIGITS$}{thread:0THREAD_DIGITS$}{:0width$}", 0);
        let mut digits = [b'0'; UNIQUE_BYTES];
        for (to, from) in digits.iter_mut().rev().zip(text.bytes().rev()) {
            *to = from;
        }
        Self { digits }
    }

    /// Counts in decimal in place: on average 1.1 digits are written a key, and nothing is divided.
    pub(super) fn next(&mut self) -> &[u8; UNIQUE_BYTES] {
        for digit in self.digits.iter_mut().rev() {
            if *digit < b'9' {
                *digit += 1;
                break;
            }
            *digit = b'0';
        }
        &self.digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_count_up_and_differ_between_threads_and_clients() {
        let mut keys = Keys::new(7, 3);
        let first: Vec<_> = (0..1_000).map(|_| *keys.next()).collect();
        assert!(first.is_sorted_by(|a, b| a < b));
        assert_eq!(&first[999], b"00000000000000070003000000001000");
        assert_ne!(Keys::new(7, 4).next(), &first[0]);
        assert_ne!(Keys::new(8, 3).next(), &first[0]);
    }
}
