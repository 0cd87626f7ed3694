//! Faults: nothing that was acknowledged is lost, nothing is applied twice, and nothing is stuck. `tests/FAULTS.md` is
//! the table of them.

mod crash;
mod disk;
mod limits;
mod network;
mod panics;
mod power_cut;
mod tampering;
