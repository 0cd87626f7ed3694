//! How the outcomes of a batch come to those who wait: one wake-up a core, whoever is woken hands on the others'.
//!
//! Waking a thread that sleeps costs a system call on this side and a context switch on the other, and a core that is
//! woken for each of a batch's outcomes takes them one by one. Woken once, it answers all in one turn.

use super::round::Times;
use super::{LaneError, Waiter};
use crate::models::posting::Outcome;

/// An outcome, and where its time went.
type Told = (Result<Outcome, LaneError>, Times);

/// Outcomes on their way, by core. Few cores, so a search through all is the fastest.
#[derive(Debug, Default)]
pub(super) struct Outbox(Vec<(u32, Vec<(Waiter, Told)>)>);

impl Outbox {
    pub(super) fn add(&mut self, core: u32, waiter: Waiter, told: Told) {
        match self.0.iter_mut().find(|(other, _)| *other == core) {
            Some((_, waiters)) => waiters.push((waiter, told)),
            None => self.0.push((core, vec![(waiter, told)])),
        }
    }

    pub(super) fn send(self) {
        for (_, waiters) in self.0 {
            send(waiters);
        }
    }
}

/// Sends everything to the last one that still waits, to be handed on.
fn send(mut waiters: Vec<(Waiter, Told)>) {
    while let Some((waiter, told)) = waiters.pop() {
        let delivery = Delivery { told: Some(told), others: waiters };
        match waiter.send(delivery) {
            Ok(()) => return,
            // A caller who has gone finds the outcome under its key.
            Err(mut unread) => waiters = std::mem::take(&mut unread.others),
        }
    }
}

/// An outcome, and those of others who wait on the same core. They are handed on when it is opened, or when it is
/// dropped unread.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Present until it is opened.
    told: Option<Told>,
    others: Vec<(Waiter, Told)>,
}

impl Delivery {
    pub(super) fn open(mut self) -> Told {
        self.told.take().unwrap_or((Err(LaneError::Ended), Times::default()))
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        for (waiter, told) in self.others.drain(..) {
            // As above; and nothing of it is left to hand on.
            let _ = waiter.send(Self { told: Some(told), others: Vec::new() });
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn waiters(count: usize) -> (Vec<Waiter>, Vec<oneshot::Receiver<Delivery>>) {
        (0..count).map(|_| oneshot::channel()).unzip()
    }

    fn outbox(senders: Vec<Waiter>, cores: u32) -> Outbox {
        let mut outbox = Outbox::default();
        for (sender, n) in senders.into_iter().zip(0..) {
            outbox.add(n % cores, sender, (Err(LaneError::Full), Times::default()));
        }
        outbox
    }

    fn is_there(receiver: &mut oneshot::Receiver<Delivery>) -> bool {
        matches!(receiver.try_recv().map(Delivery::open), Ok((Err(LaneError::Full), _)))
    }

    #[test]
    fn one_of_each_core_is_told_and_tells_the_others() {
        let (senders, mut receivers) = waiters(6);
        outbox(senders, 2).send();
        assert!(receivers[..4].iter_mut().all(|receiver| receiver.try_recv().is_err()));
        assert!(is_there(&mut receivers[4]));
        assert!(is_there(&mut receivers[0]) && is_there(&mut receivers[2]));
        assert!(receivers[1].try_recv().is_err() && receivers[3].try_recv().is_err());
        assert!(is_there(&mut receivers[5]));
        assert!(is_there(&mut receivers[1]) && is_there(&mut receivers[3]));
    }

    #[test]
    fn who_has_gone_keeps_nothing_from_the_others() {
        // The last has gone before the batch was committed, the one before it while the outcome was on its way.
        let (senders, mut receivers) = waiters(4);
        drop(receivers.pop());
        outbox(senders, 1).send();
        drop(receivers.pop());
        assert!(receivers.iter_mut().all(is_there));
    }
}
