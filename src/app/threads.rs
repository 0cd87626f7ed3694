//! The threads beside the workers, and their end. Knows nothing of what they do.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{AppFailure, failed};
use crate::runtime::CpuThreads;
use crate::services::posting::LaneThread;

/// The threads beside the workers.
pub(super) struct Threads {
    pub(super) lane: LaneThread,
    pub(super) pool: CpuThreads,
}

impl Threads {
    /// Waits for the lane to store what it has accepted and for the pool's running jobs. Nobody waits for those
    /// any more, and at `SCHED_IDLE` they may take for ever: past the deadline they end with the process.
    pub(super) async fn end(self, deadline: Duration) -> Result<(), AppFailure> {
        let (tell, ended) = oneshot::channel();
        let joining = std::thread::Builder::new().name("last-joins".into()).spawn(move || {
            let lane = self.lane.join();
            // The receiver lives until both have come or the process ends.
            let _ = tell.send(lane);
            self.pool.stop();
        });
        let joining = joining.map_err(failed)?;
        let lane = ended.await.map_err(failed)?.map_err(failed);
        let give_up = tokio::time::Instant::now() + deadline;
        while !joining.is_finished() {
            if tokio::time::Instant::now() >= give_up {
                tracing::warn!("a job of the CPU pool outlasts the deadline; it ends with the process");
                return lane;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        lane
    }
}
