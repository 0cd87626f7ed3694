//! A look at `io_uring` of this host for people: each feature by itself, and what a turn through a ring takes. Knows
//! nothing of what the answer is good for; the engine is chosen in `engine`.

use std::time::{Duration, Instant};

use io_uring::{Probe, opcode};

use super::engine::{self, EngineError, RING_ENTRIES, RingSetup};

/// Rings made only to look at, in entries.
const PROBE_ENTRIES: u32 = 8;

/// What is known of `io_uring` on this host.
#[derive(Debug)]
pub struct RingReport {
    /// How a worker's ring would be set up, or why there can be none.
    pub setup: Result<RingSetup, EngineError>,
    /// Every feature that was looked at; empty where no ring can be made.
    pub features: Vec<RingFeature>,
}

/// A feature and whether a live ring has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingFeature {
    /// As the manual names it.
    pub name: &'static str,
    /// Whether the ring engine cannot do without.
    pub needed: bool,
    /// Whether it works here.
    pub present: bool,
}

/// Looks at everything. Makes a few rings and lets go of them.
pub fn inspect_rings() -> RingReport {
    RingReport { setup: engine::probe(), features: features().unwrap_or_default() }
}

fn features() -> Result<Vec<RingFeature>, EngineError> {
    let mut ring = RingSetup::default().builder().build(PROBE_ENTRIES).map_err(EngineError::from_setup)?;
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).map_err(EngineError::from_setup)?;
    let needed = |name, present| RingFeature { name, needed: true, present };
    let mut found = vec![
        needed("NODROP", ring.params().is_feature_nodrop()),
        needed("FAST_POLL", ring.params().is_feature_fast_poll()),
        needed("cancel by descriptor", engine::cancels_by_descriptor(&mut ring).unwrap_or(false)),
    ];
    found.extend(engine::OPERATIONS.map(|(name, code)| needed(name, probe.is_supported(code))));
    found.extend(RingSetup::FLAGS.map(|(name, set)| {
        let present = set(RingSetup::default()).builder().build(PROBE_ENTRIES).is_ok();
        RingFeature { name, needed: false, present }
    }));
    Ok(found)
}

/// How long `count` no-ops take through a ring as a worker has it, one at a time: submission, completion and the
/// system call between them. Starts with as many that are not counted.
pub fn ring_round_trips(count: usize) -> Result<Vec<Duration>, EngineError> {
    let setup = engine::probe()?;
    let mut ring = setup.builder().build(RING_ENTRIES).map_err(EngineError::from_setup)?;
    let mut turn = || {
        let begin = Instant::now();
        engine::complete(&mut ring, &opcode::Nop::new().build()).map_err(EngineError::from_setup)?;
        Ok(begin.elapsed())
    };
    for _ in 0..count {
        turn()?;
    }
    (0..count).map(|_| turn()).collect()
}
