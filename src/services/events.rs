//! The feed of events: every reader of a core is told what concerns it, in the order of `seq`, from any point on.
//!
//! One task a core, the [pump](Events::pump), reads what was committed and gives it to the core's readers by their
//! interest; see `hub`. A reader that begins further back reads the log by itself until it has caught up; see
//! `feed`. The store is the only source of both: what wakes the pump says only that there may be something new, so a
//! wake-up that is lost or comes from another replica changes nothing but when it is read.
//!
//! Knows nothing of WebSockets: frames are made by an [`Encode`] that is handed in.

mod commits;
mod feed;
mod hub;
mod owners;
mod pace;
mod pages;
mod places;
#[cfg(test)]
mod tests;

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

pub use self::commits::{Commits, CoreCommits, relay};
pub use self::feed::{Feed, Told};
use self::hub::Hub;
use self::owners::Owners;
use self::pace::Pace;
use self::pages::{Pages, rest_of_page};
use self::places::Place as FeedPlace;
pub use self::places::{Followers, Places};
use super::{ServiceError, Services};
use crate::models::{AccountId, Actor, Event, Role, Timestamp, Transfer, TransferId, UserId};
use crate::runtime::Turns;
use crate::store::{Reader, StoreError};
use crate::telemetry::metrics::here;

/// Readers that are woken in one turn of the core's loop. Protects its requests: some 0.3 ms of sends lie between two
/// looks at the sockets.
const WOKEN_AT_ONCE: usize = 32;
/// How long the pump rests for each reader that it has woken: twice the CPU time of a send, so that at most about half
/// of a core goes into feeds, and many events share a send when there are many readers.
const REST_PER_READER: Duration = Duration::from_micros(20);
/// How long it rests at most: how much later than its commit an event may be read.
const REST_AT_MOST: Duration = Duration::from_millis(100);
/// How long the pump waits for a wake-up before it looks by itself. Covers wake-ups that were lost, as those of other
/// replicas while there is no connection to hear them by.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a reader is told of a place beyond what did not concern it.
const POSITION_EVERY: Duration = Duration::from_secs(1);

/// A place in the log, and the time of the event there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The event's `seq`; 0 before the first.
    pub seq: u64,
    /// Its commit time.
    pub at: Timestamp,
}

/// What a reader is told of.
#[derive(Debug)]
pub enum News<'a> {
    /// An event, and its transfer as it was after it.
    Event(&'a Event, &'a Transfer),
    /// Nothing that concerns the reader, up to here.
    Position(Place),
}

/// Appends one frame that tells the news.
pub type Encode = fn(&News<'_>, &mut Vec<u8>);

/// Which events concern a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// All.
    All,
    /// Those that debit or credit an account.
    Account(AccountId),
    /// Those that debit or credit any account of a user's.
    Owner(UserId),
}

/// Why a feed ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The reader is further behind than may be kept for it.
    Behind,
    /// The store did not answer, so there may be more than was told.
    Unavailable,
    /// The server ends; all that was committed has been told.
    GoingAway,
}

/// An event as it is given to readers.
#[derive(Debug)]
struct Occurrence {
    event: Event,
    /// As it was after the event.
    transfer: Transfer,
    /// Owners of debit and credit account, where somebody asked for them.
    owners: [Option<UserId>; 2],
    /// Its frame, once somebody who catches up was told of it.
    frame: OnceCell<Bytes>,
}

impl Occurrence {
    const fn accounts(&self) -> [AccountId; 2] {
        [self.transfer.terms.debit_account, self.transfer.terms.credit_account]
    }

    fn concerns(&self, interest: Interest) -> bool {
        match interest {
            Interest::All => true,
            Interest::Account(account) => self.accounts().contains(&account),
            Interest::Owner(owner) => self.owners.contains(&Some(owner)),
        }
    }

    fn frame(&self, encode: Encode) -> &[u8] {
        self.frame.get_or_init(|| encoded(&News::Event(&self.event, &self.transfer), encode))
    }

    const fn place(&self) -> Place {
        Place { seq: self.event.seq, at: self.event.at }
    }
}

fn encoded(news: &News<'_>, encode: Encode) -> Bytes {
    let mut frame = Vec::new();
    encode(news, &mut frame);
    frame.into()
}

impl Services {
    /// A feed of the events that the actor may see: an operator all, a user those of own accounts; of one account if
    /// it is named.
    pub async fn subscribe(
        &self,
        actor: Actor,
        account: Option<AccountId>,
        after: Option<u64>,
    ) -> Result<Feed, ServiceError> {
        let interest = match account {
            Some(id) => Interest::Account(self.account(actor, id).await?.id),
            None if actor.role == Role::Operator => Interest::All,
            None => Interest::Owner(actor.id),
        };
        self.events.subscribe(actor.id, interest, after).await
    }
}

/// The feed of one core.
pub struct Events {
    hub: Hub,
    reader: Rc<Reader>,
    owners: Owners,
    commits: CoreCommits,
    places: Rc<Places>,
    pace: Pace,
    pages: Pages,
    encode: Encode,
    /// How feeds end that have told what is committed, once nothing more will be committed here.
    finishing: Cell<Option<End>>,
}

impl Events {
    /// The feed of the core that `reader` belongs to, and whose loop has these `turns`.
    pub fn new(
        reader: Rc<Reader>,
        commits: CoreCommits,
        places: Places,
        turns: Rc<Turns>,
        encode: Encode,
    ) -> Self {
        Self {
            hub: Hub::default(),
            reader,
            owners: Owners::default(),
            commits,
            places: Rc::new(places),
            pace: Pace::new(turns),
            pages: Pages::default(),
            encode,
            finishing: Cell::new(None),
        }
    }

    /// A feed for a user of what concerns `interest`, from behind `after` on, or from now on. A place that is not reached yet is
    /// waited for.
    pub async fn subscribe(
        self: &Rc<Self>,
        user: UserId,
        interest: Interest,
        after: Option<u64>,
    ) -> Result<Feed, ServiceError> {
        let place = self.places.take(user)?;
        // From here on the feed gives back what its place stands for, also where it is not begun.
        let feed = Feed::new(Rc::clone(self), place, interest, after.unwrap_or_default());
        if after.is_none() {
            feed.begin_at_end(self.reader.head().await?.seq);
        }
        Ok(feed)
    }

    /// Has every feed end so once it has told what is committed by now.
    pub fn finish(&self, end: End) {
        self.finishing.set(Some(end));
        self.commits.tell();
    }

    /// Gives what is committed to the readers; resolves never. One task of the core runs it.
    pub async fn pump(&self) {
        loop {
            self.hub.first_reader().await;
            self.commits.want(true);
            self.serve().await;
            // The last page may have come when the last reader had gone.
            self.pages.clear();
            self.commits.want(false);
            here::events_given(0, self.hub.live().seq);
        }
    }

    /// Serves readers until there are none.
    async fn serve(&self) {
        let turns = self.pace.turns();
        let mut position_due = Instant::now() + POSITION_EVERY;
        let mut failing = false;
        while self.hub.has_readers() {
            let mut finishing = self.finishing.get();
            let (woken, more) = match self.give_page().await {
                Ok(given) => {
                    failing = false;
                    given
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "cannot read events; readers wait");
                    }
                    // Nobody may take it for the end of the log.
                    finishing = finishing.map(|_| End::Unavailable);
                    (Vec::new(), false)
                }
            };
            let rest = rest_after(woken.len());
            wake(woken, turns).await;
            if more {
                // Readers take what they were given, and requests are answered, before the next page is read.
                next(turns).await;
            }
            if let Some(end) = finishing.filter(|_| !more) {
                wake(self.hub.end(end), turns).await;
                return;
            }
            if Instant::now() >= position_due {
                position_due = Instant::now() + POSITION_EVERY;
                wake(self.hub.tell_position(self.encode), turns).await;
            }
            sleep_unless_zero(rest).await;
            if !more {
                // Late is as good as told.
                let _ = timeout(LOOK_EVERY, self.commits.told()).await;
            }
        }
    }

    /// Reads on and gives it to the readers. Returns who is to be woken, and whether there may be more.
    async fn give_page(&self) -> Result<(Vec<Waker>, bool), StoreError> {
        let (page, is_end) = self.read(self.hub.live().seq, self.hub.asks_for_owners()).await?;
        let woken = self.hub.give(&page, self.encode);
        here::events_given(self.hub.count(), self.hub.live().seq);
        Ok((woken, !is_end))
    }

    /// Reads the next events behind a place, to the end of its page at most; and whether that was the end of the log.
    async fn read(&self, after: u64, with_owners: bool) -> Result<(Vec<Rc<Occurrence>>, bool), StoreError> {
        let wanted = rest_of_page(after);
        let events = self.reader.events(after, wanted).await?;
        check_gapless(after, &events)?;
        let is_end = events.len() < wanted as usize;
        let mut page = self.with_transfers(events).await?;
        if with_owners {
            self.owners.look_up(&self.reader, &mut page).await?;
        }
        let page: Vec<_> = page.into_iter().map(Rc::new).collect();
        self.pages.keep(&page, with_owners);
        Ok((page, is_end))
    }

    /// What happened, with the transfer of each event.
    async fn with_transfers(&self, events: Vec<Event>) -> Result<Vec<Occurrence>, StoreError> {
        let mut wanted: Vec<TransferId> = events
            .iter()
            .filter(|event| event.created_transfer().is_none())
            .map(|event| event.transfer_id)
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        let made = if wanted.is_empty() { Vec::new() } else { self.reader.transfers_by_id(&wanted).await? };
        let occurrence = |event: Event| {
            let transfer = event.created_transfer().or_else(|| {
                let made = made.iter().find(|transfer| transfer.id == event.transfer_id)?;
                Some(event.transfer_after(made))
            });
            let transfer = transfer.ok_or_else(|| {
                StoreError::Corrupt(format!("event {} is about a transfer that is missing", event.seq))
            })?;
            Ok(Occurrence { event, transfer, owners: [None; 2], frame: OnceCell::new() })
        };
        events.into_iter().map(occurrence).collect()
    }
}

/// A gap would be an event that no reader is told of.
fn check_gapless(after: u64, events: &[Event]) -> Result<(), StoreError> {
    let numbers = events.iter().map(|event| event.seq);
    let first = events.first().map_or(0, |event| event.seq);
    // A reader may wait for a place that is not reached yet; nothing is behind it then.
    if numbers.zip(after.saturating_add(1)..).all(|(found, due)| found == due) {
        return Ok(());
    }
    Err(StoreError::Corrupt(format!("the log has a gap between {after} and {first} or in the events behind")))
}

/// How long the pump rests after it has woken so many readers.
fn rest_after(woken: usize) -> Duration {
    let woken = u32::try_from(woken).unwrap_or(u32::MAX);
    // One reader has its events at once.
    REST_PER_READER.saturating_mul(woken.saturating_sub(1)).min(REST_AT_MOST)
}

async fn sleep_unless_zero(duration: Duration) {
    if !duration.is_zero() {
        sleep(duration).await;
    }
}

/// Wakes readers, some in each turn.
async fn wake(due: Vec<Waker>, turns: &Turns) {
    let mut due = due.into_iter().peekable();
    while due.peek().is_some() {
        due.by_ref().take(WOKEN_AT_ONCE).for_each(Waker::wake);
        if due.peek().is_some() {
            next(turns).await;
        }
    }
}

/// Waits for the next turn of the worker's loop.
async fn next(turns: &Turns) {
    let turn = turns.number();
    std::future::poll_fn(|cx| turns.poll_after(turn, cx)).await;
}
