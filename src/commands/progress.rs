//! How far a long command has come, for whoever waits for it. It is no result: it goes to standard error, and what
//! cannot be written there is lost.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::services::audit::Progress;

/// How often a terminal's line is renewed.
const ON_TERMINAL: Duration = Duration::from_millis(200);
/// How often a line goes to a log or a pipe.
const IN_LOG: Duration = Duration::from_secs(10);
/// How many calls there are to one look at the clock.
const CALLS: u32 = 256;

/// Tells of progress now and then.
pub(super) struct Reporter {
    terminal: bool,
    every: Duration,
    last: Instant,
    calls: u32,
    written: bool,
}

impl Reporter {
    /// Tells at once what is done, and where.
    pub(super) fn new(what: &impl Display) -> Self {
        let _ = writeln!(io::stderr(), "{what}");
        let terminal = io::stderr().is_terminal();
        let every = if terminal { ON_TERMINAL } else { IN_LOG };
        Self { terminal, every, last: Instant::now(), calls: 0, written: false }
    }

    /// Hears of every step, and tells of few.
    pub(super) fn step(&mut self, progress: Progress) {
        self.calls = self.calls.wrapping_add(1);
        if !self.calls.is_multiple_of(CALLS) || self.last.elapsed() < self.every {
            return;
        }
        self.last = Instant::now();
        self.written = true;
        let Progress { what, done, total } = progress;
        let _ = if self.terminal {
            // To the beginning of the line, and away with the rest of it (ECMA-48, CR and EL).
            write!(io::stderr(), "\r{done} of {total} {what}\x1b[K")
        } else {
            writeln!(io::stderr(), "{done} of {total} {what}")
        };
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        if self.terminal && self.written {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
