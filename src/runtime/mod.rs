//! Threads, rings and sockets: the leaf on which everything else runs. It knows nothing of HTTP,
//! of settings or of the ledger, so it could serve another application unchanged.
//!
//! Work runs in three places, and this module makes two of them:
//!
//! - **Rings** do I/O. A worker is one pinned thread ([`cores`]) that drives one current-thread
//!   runtime ([`block_on`]) over its own `SO_REUSEPORT` listener ([`bind`]), or one that the process
//!   was started with ([`inherited`]), and owns its
//!   connections from accept to close. The same worker runs on `io_uring` ([`RingListener`]) or on
//!   epoll ([`EpollListener`]); [`choose`] says which, and why.
//! - **The CPU pool** burns cycles ([`CpuPool`]): few threads at `SCHED_IDLE`, so that a ring on
//!   the same core always goes first, and one that steps in when that leaves them nothing.
//! - **The posting lane** is a thread of the ledger; it needs nothing from here.
//!
//! `unsafe` lives in this directory only: in `sys`, in `ring::ops`, in `epoll`, in `inherited` and in the engine's
//! probe.

use crate as runtime;

mod block_on;
mod busy;
pub mod cores;
mod counters;
mod engine;
mod epoll;
mod inherited;
mod inspect;
mod limits;
mod listen;
mod memory;
mod net;
mod obstacle;
mod pool;
mod ring;
mod sys;
#[cfg(test)]
mod tests;
mod turns;

pub use block_on::block_on;
pub use busy::{BusyPoll, busy_poll};
pub use counters::{Counters, Counts, counters};
pub use engine::{Choice, Engine, EngineError, IoMode, RingSetup, choose};
pub use epoll::{EpollKicker, EpollListener, EpollStream};
pub use inherited::{InheritedError, deal, inherited};
pub use inspect::{RingFeature, RingReport, inspect_rings, ring_round_trips};
pub use limits::{FileLimit, raise_file_limit};
pub use listen::{ListenOptions, ListenSocket, Turn, bind, probe_free};
pub use memory::{give_memory_back, keep_pages_small};
pub use net::{Kick, Listener, Stream};
pub use obstacle::Obstacle;
pub use pool::{CpuPool, CpuThreads, PoolError, Timing};
pub use ring::{RingKicker, RingListener, RingStream, WRITE_BOUND};
pub use turns::Turns;
