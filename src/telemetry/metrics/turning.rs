//! How a core's loop has turned: numbers that are counted elsewhere and asked for when somebody scrapes.

use std::fmt;
use std::time::Duration;

/// What a core's loop and its sockets have done so far. All but the last two only grow.
#[derive(Debug, Clone, Copy, Default)]
pub struct Turning {
    /// How often it woke up, or looked without sleeping.
    pub wakeups: u64,
    /// How long it ran tasks.
    pub busy: Duration,
    /// Operations that the ring has given back.
    pub completed: u64,
    /// Turns of busy polling that found something.
    pub busy_turns: u64,
    /// Turns of busy polling that found nothing.
    pub idle_turns: u64,
    /// Bytes received from clients.
    pub received_bytes: u64,
    /// Bytes sent to clients.
    pub sent_bytes: u64,
    /// Operations that the ring holds now.
    pub in_flight: u64,
}

/// Asks for it, from any thread.
pub type AskTurning = Box<dyn Fn() -> Turning + Send + Sync>;

/// The question, of one core.
pub(super) struct Asked(pub(super) AskTurning);

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0)().fmt(f)
    }
}
