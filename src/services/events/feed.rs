//! One reader's way through the log: page by page from where it begins, and with all others once it has caught up.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use bytes::Bytes;
use tokio::time::Instant;

use super::hub::Mailbox;
use super::{End, Events, FeedPlace, Interest, News, Occurrence, POSITION_EVERY, Place};
use crate::store::StoreError;

/// What a reader is told next.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    /// Frames, in order.
    Frames(Bytes),
    /// Nothing yet, but there is more to look through.
    Nothing,
    /// No more.
    End(End),
}

/// What one reader is told. It leaves when it is dropped.
pub struct Feed {
    events: Rc<Events>,
    interest: Interest,
    /// Up to here it has read the log by itself.
    seen: Cell<u64>,
    /// Whether that was the end of the log when it read, or all that others were told.
    caught_up: Cell<bool>,
    joined: OnceCell<Joined>,
    /// When the reader was last told something of its own reading.
    told_at: Cell<Instant>,
    end: Cell<Option<End>>,
    _place: FeedPlace,
}

/// A reader that is told what all others are.
struct Joined {
    mailbox: Rc<Mailbox>,
    /// What is behind this `seq` comes by the mailbox.
    from: u64,
}

impl Feed {
    /// From behind `after` on.
    pub(super) fn new(events: Rc<Events>, place: FeedPlace, interest: Interest, after: u64) -> Self {
        Self {
            events,
            interest,
            seen: Cell::new(after),
            caught_up: Cell::new(false),
            joined: OnceCell::new(),
            told_at: Cell::new(Instant::now()),
            end: Cell::new(None),
            _place: place,
        }
    }

    /// Has it begin at the end of the log, which is `seq` or was a moment ago.
    pub(super) fn begin_at_end(&self, seq: u64) {
        self.seen.set(seq);
        self.caught_up.set(true);
    }

    /// What comes next. Not to be asked twice at once. May be dropped before it is there: nothing is lost.
    pub async fn next(&self) -> Told {
        if let Some(end) = self.end.get() {
            return Told::End(end);
        }
        let told = self.try_next().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "a feed ends: its events cannot be read");
            Told::End(End::Unavailable)
        });
        if let Told::End(end) = told {
            self.end.set(Some(end));
        }
        told
    }

    async fn try_next(&self) -> Result<Told, StoreError> {
        match self.joined.get() {
            Some(Joined { mailbox, .. }) if mailbox.is_overrun() => Ok(Told::End(End::Behind)),
            Some(Joined { mailbox, from }) if *from <= self.seen.get() => {
                Ok(mailbox.next().await.map_or_else(Told::End, Told::Frames))
            }
            None if self.caught_up.get() => {
                self.join().await?;
                Ok(Told::Nothing)
            }
            Some(_) | None => self.read_on().await,
        }
    }

    /// Goes on to the end of the page of the log.
    async fn read_on(&self) -> Result<Told, StoreError> {
        let mut step = self.events.pace.page().await;
        // Asked before the page is read: what was committed by then is in it.
        let finishing = self.events.finishing.get();
        let with_owners = matches!(self.interest, Interest::Owner(_));
        let (page, is_end) = match self.events.pages.behind(self.seen.get(), with_owners) {
            Some(page) => {
                step.is_cheap();
                (page, false)
            }
            None => self.events.read(self.seen.get(), with_owners).await?,
        };
        drop(step);
        let until = self.joined.get().map_or(u64::MAX, |joined| joined.from);
        let own: Vec<_> = page.iter().filter(|occurrence| occurrence.event.seq <= until).collect();
        let Some(last) = own.last().map(|last| last.place()) else {
            return self.at_the_end(finishing);
        };
        self.seen.set(last.seq);
        let caught_up = is_end || self.events.hub.has_come_to(last.seq);
        self.caught_up.set(caught_up && finishing.is_none());
        Ok(self.told(&own, last))
    }

    /// The log has nothing more.
    fn at_the_end(&self, finishing: Option<End>) -> Result<Told, StoreError> {
        if self.joined.get().is_some() {
            return Err(StoreError::Corrupt("the log ends before a place that was read of it".into()));
        }
        if let Some(end) = finishing {
            return Ok(Told::End(end));
        }
        self.caught_up.set(true);
        Ok(Told::Nothing)
    }

    /// Frames of what concerns the reader, or a sign that it goes on.
    fn told(&self, own: &[&Rc<Occurrence>], last: Place) -> Told {
        let encode = self.events.encode;
        let mut frames = Vec::new();
        for occurrence in own.iter().filter(|occurrence| occurrence.concerns(self.interest)) {
            frames.extend_from_slice(occurrence.frame(encode));
        }
        if frames.is_empty() && self.told_at.get().elapsed() >= POSITION_EVERY {
            encode(&News::Position(last), &mut frames);
        }
        if frames.is_empty() {
            return Told::Nothing;
        }
        self.told_at.set(Instant::now());
        Told::Frames(frames.into())
    }

    /// From here on the reader is told with all others.
    async fn join(&self) -> Result<(), StoreError> {
        let hub = &self.events.hub;
        let head = if hub.has_readers() {
            hub.live()
        } else {
            let head = self.events.reader.head().await?;
            Place { seq: head.seq, at: head.at }
        };
        if self.events.finishing.get().is_some() {
            // The others may have ended already.
            self.caught_up.set(false);
            return Ok(());
        }
        let mailbox = hub.join(self.interest, self.seen.get(), head);
        // Set once: a reader joins when it has not.
        let _ = self.joined.set(Joined { mailbox, from: hub.live().seq });
        Ok(())
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(joined) = self.joined.get() {
            self.events.hub.leave(&joined.mailbox);
        }
        if self.events.places.is_last() {
            self.events.pages.clear();
        }
    }
}
