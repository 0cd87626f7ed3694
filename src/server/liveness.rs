//! Whether a worker's loop turns: it answers when it is asked. Costs nothing while nobody asks.

use tokio::sync::{mpsc, oneshot};

/// Questions that wait for a worker: whoever asks waits for the answer before the next one.
const QUESTIONS: usize = 1;

/// Asks a worker.
#[derive(Debug)]
pub struct LivenessProbe(mpsc::Sender<oneshot::Sender<()>>);

/// A worker's side.
#[derive(Debug)]
pub struct LivenessReplies(mpsc::Receiver<oneshot::Sender<()>>);

/// The two sides of one worker.
pub fn liveness() -> (LivenessProbe, LivenessReplies) {
    let (ask, asked) = mpsc::channel(QUESTIONS);
    (LivenessProbe(ask), LivenessReplies(asked))
}

impl LivenessProbe {
    /// Returns once the worker's loop has turned, or has ended, which others see.
    pub async fn turns(&self) {
        let (reply, answered) = oneshot::channel();
        if self.0.send(reply).await.is_ok() {
            // An error: it has ended meanwhile.
            let _ = answered.await;
        }
    }
}

impl LivenessReplies {
    /// Answers until nobody can ask any more.
    pub(super) async fn answer(mut self) {
        while let Some(reply) = self.0.recv().await {
            // Who asked may have gone.
            let _ = reply.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_worker_that_is_stuck_does_not_answer() {
        let (probe, replies) = liveness();
        let mut turns = Box::pin(probe.turns());
        assert!(timeout(Duration::from_millis(20), &mut turns).await.is_err());
        let turning = tokio::spawn(replies.answer());
        turns.await;
        probe.turns().await;
        drop(probe);
        turning.await.unwrap();
    }

    #[tokio::test]
    async fn a_worker_that_has_ended_holds_nobody_up() {
        let (probe, replies) = liveness();
        drop(replies);
        probe.turns().await;
    }
}
