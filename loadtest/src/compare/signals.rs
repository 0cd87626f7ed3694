//! Ctrl-C, SIGTERM, a terminal that goes away: nothing that was started is left behind.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::subject::Children;

/// What a shell adds to the number of the signal that ended a process.
const ENDED_BY_SIGNAL: i32 = 128;

/// From now on these signals end the children, remove their directories and end this process with 128 and the signal's
/// number. Only SIGKILL leaves them running.
/// The terminal's SIGINT reaches the children too; ending them again does no harm.
pub(super) fn end_children_on_signal(children: &Children) -> io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
    let children = children.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if let Some(signal) = signals.forever().next() {
            children.exit(ENDED_BY_SIGNAL + signal);
        }
    })?;
    Ok(())
}
