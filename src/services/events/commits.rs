//! That something was committed, told by whoever commits to the cores that have readers. Says nothing of what it was.
//!
//! Costs whoever commits a look at one flag a core while nobody reads, and one wake-up for each core that does.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use atomic_waker::AtomicWaker;
use tokio::sync::Notify;

use crate::store::postgres::Listener;

/// Tells every core. The default has none to tell.
#[derive(Debug, Clone, Default)]
pub struct Commits(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    cores: Box<[Core]>,
    /// Told when a core begins to want to be told.
    wanted: Notify,
}

/// The flags of a core, on a cache line that no other core's share.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Core {
    /// Whether it has readers.
    wants: AtomicBool,
    /// Whether it was told since it last looked.
    told: AtomicBool,
    pump: AtomicWaker,
}

impl Core {
    fn tell(&self) {
        // Whoever has told before has woken it.
        if !self.told.swap(true, Ordering::AcqRel) {
            self.pump.wake();
        }
    }
}

impl Commits {
    /// For so many cores, and the share of each.
    pub fn new(cores: usize) -> (Self, Vec<CoreCommits>) {
        let shared = Arc::new(Shared {
            cores: std::iter::repeat_with(Core::default).take(cores).collect(),
            wanted: Notify::new(),
        });
        let shares = (0..cores).map(|index| CoreCommits { shared: Arc::clone(&shared), index }).collect();
        (Self(shared), shares)
    }

    /// Something may have been committed.
    pub fn announce(&self) {
        self.0.cores.iter().filter(|core| core.wants.load(Ordering::Acquire)).for_each(Core::tell);
    }

    /// Whether any core has readers.
    pub fn are_wanted(&self) -> bool {
        self.0.cores.iter().any(|core| core.wants.load(Ordering::Acquire))
    }

    /// Returns once a core has readers.
    pub async fn wanted(&self) {
        while !self.are_wanted() {
            self.0.wanted.notified().await;
        }
    }
}

/// Announces what other servers commit, while any core has readers; resolves never.
pub async fn relay(listener: Option<Listener>, commits: &Commits) {
    let Some(mut listener) = listener else { return pending().await };
    loop {
        commits.wanted().await;
        listener.heard().await;
        commits.announce();
        if !commits.are_wanted() {
            listener.rest();
        }
    }
}

/// One core's share.
#[derive(Debug)]
pub struct CoreCommits {
    shared: Arc<Shared>,
    index: usize,
}

impl CoreCommits {
    fn core(&self) -> &Core {
        &self.shared.cores[self.index]
    }

    /// Whether this core is to be told from now on.
    pub(super) fn want(&self, wants: bool) {
        self.core().wants.store(wants, Ordering::SeqCst);
        if wants {
            self.shared.wanted.notify_one();
        }
    }

    /// Wakes this core's pump.
    pub(super) fn tell(&self) {
        self.core().tell();
    }

    /// Returns when something was told since the last time.
    pub(super) async fn told(&self) {
        let core = self.core();
        poll_fn(|cx| {
            core.pump.register(cx.waker());
            if core.told.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}
