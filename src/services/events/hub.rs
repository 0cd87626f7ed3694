//! The readers of a core that have caught up, found by what concerns them, and what waits for each.
//!
//! An event that concerns nobody costs a look into each map. A frame is made once and shared by all whom it is for;
//! those who read everything share one run of frames a page. Knows neither the store nor how frames look.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use super::{Encode, End, Interest, News, Occurrence, Place, encoded};
use crate::models::{AccountId, Timestamp, UserId};

/// Bytes of frames that may wait for a reader. Protects memory from one that takes nothing; it holds about half a
/// second of 5,000 events a second, beside what the sockets hold.
pub(super) const WAITING_BYTES: usize = 1024 * 1024;
/// Runs of frames that may wait for it: the memory of their handles, which small frames would let grow beyond that of
/// the frames.
pub(super) const WAITING_RUNS: usize = 4 * 1024;
/// Bytes up to which frames that wait are joined for one send.
const SEND_BYTES: usize = 16 * 1024;

/// The readers of a core.
pub(super) struct Hub {
    /// Everything up to here was given to those whom it concerns.
    live: Cell<Place>,
    readers: RefCell<Readers>,
    arrives: Notify,
}

#[derive(Default)]
struct Readers {
    of_all: Vec<Rc<Mailbox>>,
    of_account: HashMap<AccountId, Vec<Rc<Mailbox>>>,
    of_owner: HashMap<UserId, Vec<Rc<Mailbox>>>,
    count: usize,
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            live: Cell::new(Place { seq: 0, at: Timestamp::EPOCH }),
            readers: RefCell::default(),
            arrives: Notify::new(),
        }
    }
}

impl Hub {
    pub(super) fn live(&self) -> Place {
        self.live.get()
    }

    /// Whether all readers were given what is up to here, so that one more can join them.
    pub(super) fn has_come_to(&self, seq: u64) -> bool {
        self.has_readers() && self.live().seq <= seq
    }

    pub(super) fn has_readers(&self) -> bool {
        self.count() > 0
    }

    /// How many readers there are.
    pub(super) fn count(&self) -> usize {
        self.readers.borrow().count
    }

    /// Whether anybody needs to be found by the owner of an account.
    pub(super) fn asks_for_owners(&self) -> bool {
        !self.readers.borrow().of_owner.is_empty()
    }

    /// Returns once there is a reader.
    pub(super) async fn first_reader(&self) {
        while !self.has_readers() {
            self.arrives.notified().await;
        }
    }

    /// Gives a reader all that comes behind `after` and the live place. Where nobody was served, the live place goes on to
    /// `head`, which must be the end of the log or before; never back, since a page behind it may be on its way.
    pub(super) fn join(&self, interest: Interest, after: u64, head: Place) -> Rc<Mailbox> {
        let mut readers = self.readers.borrow_mut();
        if readers.count == 0 && head.seq > self.live.get().seq {
            self.live.set(head);
        }
        let mailbox = Rc::new(Mailbox::new(interest, after.max(self.live.get().seq)));
        readers.at_mut(interest).push(Rc::clone(&mailbox));
        readers.count += 1;
        self.arrives.notify_one();
        mailbox
    }

    /// Forgets a reader, if it is one.
    pub(super) fn leave(&self, mailbox: &Rc<Mailbox>) {
        self.readers.borrow_mut().remove(mailbox);
    }

    /// Gives a page to those whom it concerns. Returns who waits for it.
    pub(super) fn give<O: Borrow<Occurrence>>(&self, page: &[O], encode: Encode) -> Vec<Waker> {
        let page = page.iter().map(Borrow::borrow);
        let readers = self.readers.borrow();
        let mut due = Vec::new();
        let mut run = Run::default();
        // What was read before the live place was moved on is known already.
        for occurrence in page.clone().filter(|occurrence| occurrence.event.seq > self.live.get().seq) {
            let news = News::Event(&occurrence.event, &occurrence.transfer);
            if !readers.of_all.is_empty() {
                run.add(occurrence.event.seq, |to| encode(&news, to));
            }
            let mut frame = None;
            for mailbox in readers.concerned(occurrence) {
                let frame = frame.get_or_insert_with(|| encoded(&news, encode));
                mailbox.offer(occurrence.event.seq, frame, &mut due);
            }
        }
        run.offer_to(&readers.of_all, &mut due);
        if let Some(last) = page.last().filter(|last: &&Occurrence| last.event.seq > self.live.get().seq) {
            self.live.set(last.place());
        }
        due
    }

    /// Tells the live place to those who have nothing to read and were last told of an earlier one.
    pub(super) fn tell_position(&self, encode: Encode) -> Vec<Waker> {
        let live = self.live.get();
        let frame = encoded(&News::Position(live), encode);
        let mut due = Vec::new();
        for mailbox in self.readers.borrow().all().filter(|mailbox| mailbox.is_empty()) {
            mailbox.offer(live.seq, &frame, &mut due);
        }
        due
    }

    /// Has every reader end when it has taken what waits for it, and forgets them.
    pub(super) fn end(&self, end: End) -> Vec<Waker> {
        let readers = self.readers.take();
        let mut due = Vec::new();
        readers.all().for_each(|mailbox| mailbox.finish(end, &mut due));
        due
    }
}

impl Readers {
    fn all(&self) -> impl Iterator<Item = &Rc<Mailbox>> {
        let found = self.of_account.values().chain(self.of_owner.values()).flatten();
        self.of_all.iter().chain(found)
    }

    /// Who must be told of an event beside those who are told of all; some of them twice.
    fn concerned(&self, occurrence: &Occurrence) -> impl Iterator<Item = &Rc<Mailbox>> {
        let by_account =
            occurrence.accounts().into_iter().filter_map(|account| self.of_account.get(&account));
        let owners = occurrence.owners.into_iter().flatten();
        by_account.chain(owners.filter_map(|owner| self.of_owner.get(&owner))).flatten()
    }

    fn at_mut(&mut self, interest: Interest) -> &mut Vec<Rc<Mailbox>> {
        match interest {
            Interest::All => &mut self.of_all,
            Interest::Account(account) => self.of_account.entry(account).or_default(),
            Interest::Owner(owner) => self.of_owner.entry(owner).or_default(),
        }
    }

    fn remove(&mut self, mailbox: &Rc<Mailbox>) {
        let readers = self.at_mut(mailbox.interest);
        if let Some(place) = readers.iter().position(|other| Rc::ptr_eq(other, mailbox)) {
            readers.swap_remove(place);
            self.count -= 1;
        }
        match mailbox.interest {
            Interest::Account(account) if self.at_mut(mailbox.interest).is_empty() => {
                self.of_account.remove(&account);
            }
            Interest::Owner(owner) if self.at_mut(mailbox.interest).is_empty() => {
                self.of_owner.remove(&owner);
            }
            Interest::All | Interest::Account(_) | Interest::Owner(_) => {}
        }
    }
}

/// The frames of a page behind each other, for those who are told of all.
#[derive(Default)]
struct Run {
    frames: Vec<u8>,
    /// Each event's `seq` and where its frame begins.
    begins: Vec<(u64, usize)>,
}

impl Run {
    fn add(&mut self, seq: u64, write: impl FnOnce(&mut Vec<u8>)) {
        self.begins.push((seq, self.frames.len()));
        write(&mut self.frames);
    }

    fn offer_to(self, readers: &[Rc<Mailbox>], due: &mut Vec<Waker>) {
        let Some(&(last, _)) = self.begins.last() else { return };
        let frames = Bytes::from(self.frames);
        for mailbox in readers {
            let seen = mailbox.seen.get();
            // Nearly always the first: only who has just joined has seen some of it.
            if let Some(&(_, begin)) = self.begins.iter().find(|(seq, _)| *seq > seen) {
                mailbox.offer(last, &frames.slice(begin..), due);
            }
        }
    }
}

/// What waits for a reader.
pub(super) struct Mailbox {
    interest: Interest,
    /// Up to here it was told, or it did not concern it.
    seen: Cell<u64>,
    runs: RefCell<VecDeque<Bytes>>,
    bytes: Cell<usize>,
    end: Cell<Option<End>>,
    reader: Cell<Option<Waker>>,
}

impl Mailbox {
    fn new(interest: Interest, seen: u64) -> Self {
        Self {
            interest,
            seen: Cell::new(seen),
            runs: RefCell::default(),
            bytes: Cell::new(0),
            end: Cell::new(None),
            reader: Cell::new(None),
        }
    }

    fn is_empty(&self) -> bool {
        self.runs.borrow().is_empty()
    }

    /// Puts frames in that end with the one of `seq`, unless the reader has seen that. One that is too far behind
    /// loses what waits for it and ends.
    fn offer(&self, seq: u64, frames: &Bytes, due: &mut Vec<Waker>) {
        if seq <= self.seen.get() || self.end.get().is_some() {
            return;
        }
        self.seen.set(seq);
        let mut runs = self.runs.borrow_mut();
        let bytes = self.bytes.get() + frames.len();
        // An empty mailbox takes any page, however long its metadata make it.
        if !runs.is_empty() && (bytes > WAITING_BYTES || runs.len() >= WAITING_RUNS) {
            *runs = VecDeque::new();
            self.bytes.set(0);
            self.end.set(Some(End::Behind));
        } else {
            runs.push_back(frames.clone());
            self.bytes.set(bytes);
        }
        due.extend(self.reader.take());
    }

    fn finish(&self, end: End, due: &mut Vec<Waker>) {
        if self.end.get().is_none() {
            self.end.set(Some(end));
        }
        due.extend(self.reader.take());
    }

    /// The next frames, several runs of them joined where they are short; or why there are no more.
    pub(super) async fn next(&self) -> Result<Bytes, End> {
        poll_fn(|cx| {
            if let Some(frames) = self.take() {
                return Poll::Ready(Ok(frames));
            }
            if let Some(end) = self.end.get() {
                return Poll::Ready(Err(end));
            }
            self.reader.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await
    }

    fn take(&self) -> Option<Bytes> {
        let mut runs = self.runs.borrow_mut();
        let first = runs.pop_front()?;
        let mut joined: Option<BytesMut> = None;
        let mut length = first.len();
        while let Some(next) = runs.front().filter(|next| length + next.len() <= SEND_BYTES) {
            length += next.len();
            joined.get_or_insert_with(|| BytesMut::from(&*first)).extend_from_slice(next);
            runs.pop_front();
        }
        self.bytes.set(self.bytes.get() - length);
        Some(joined.map_or(first, BytesMut::freeze))
    }

    /// Whether the reader was too far behind.
    pub(super) fn is_overrun(&self) -> bool {
        self.end.get() == Some(End::Behind)
    }
}
