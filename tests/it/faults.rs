//! Faults: what breaks around the server, and what its callers may rely on then. `tests/FAULTS.md` tells of all of them.

mod network;
mod panics;
