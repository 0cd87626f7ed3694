//! The log as the feed of events reads it.

use std::cell::RefCell;
use std::rc::Rc;

use ringledger::models::posting::Command;
use ringledger::models::{EventKind, TransferId};
use ringledger::runtime::{Engine, Turns};
use ringledger::services::Events;
use ringledger::services::events::{Commits, End, Followers, Interest, News, Places, Told};
use tokio::task::{JoinSet, LocalSet};
use uuid::Uuid;

use crate::store::ledger::{ALL, Ledger, NOWHERE, OPERATOR, posted, second};

/// Readers that catch up at once.
const READERS: usize = 100;
/// Pages that they may have in one turn, where others have read them before.
const PAGES_A_TURN: usize = 32;
/// Events of some pages.
const EVENTS: usize = 300;

pub(crate) fn the_log_is_read_in_pages_from_any_place(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    assert_eq!(ledger.read(ledger.reader.events(0, ALL)), []);
    ledger.clock = second(7);
    let batch: Vec<_> = (0..5).map(|_| Command::Transfer(ledger.payment(bank, purse, 3))).collect();
    let made: Vec<_> = ledger.commit(&batch).into_iter().map(posted).collect();
    let events = ledger.read(ledger.reader.events(0, ALL));
    for (transfer, event) in made.iter().zip(&events) {
        assert_eq!((event.seq, event.at, event.transfer_id), (transfer.seq, second(7), transfer.id));
        assert!(matches!(event.kind, EventKind::Created(_)));
        assert_eq!(event.transfer_after(transfer), **transfer);
    }
    for (after, limit, expected) in [
        (0, 2, 0..2),
        (2, 2, 2..4),
        (4, 2, 4..5),
        (5, 2, 5..5),
        (u64::MAX, 2, 5..5),
        (i64::MAX as u64, 2, 5..5),
        (0, 0, 0..0),
    ] {
        let page = ledger.read(ledger.reader.events(after, limit));
        assert_eq!(page, events[expected], "{limit} behind {after}");
    }
}

pub(crate) fn transfers_and_owners_are_found_for_many_at_once(mut ledger: Ledger) {
    let owner = ledger.user("ada");
    let (bank, purse) = (ledger.bank(), ledger.purse_of(owner));
    let made = [ledger.pay(bank, purse, 1), ledger.pay(bank, purse, 2)];
    let unknown = TransferId::from_uuid(Uuid::nil());
    let mut found = ledger.read(ledger.reader.transfers_by_id(&[made[1].id, unknown, made[0].id]));
    found.sort_by_key(|transfer| transfer.seq);
    assert_eq!(found, made.map(|transfer| (*transfer).clone()));
    assert_eq!(ledger.read(ledger.reader.transfers_by_id(&[])), []);

    let bankers = ledger.account(bank).owner;
    let mut owners = ledger.read(ledger.reader.owners(&[purse, NOWHERE, bank]));
    let mut expected = [(bank, bankers), (purse, owner.id)];
    owners.sort_unstable();
    expected.sort_unstable();
    assert_eq!(owners, expected);
}

/// The feed of a core of its own, on which a frame is one byte for each event.
fn feed_of(ledger: &Ledger) -> (Rc<Events>, Rc<Turns>) {
    let encode = |news: &News<'_>, to: &mut Vec<u8>| {
        if matches!(news, News::Event(..)) {
            to.push(b'e');
        }
    };
    let (reader, turns) = (Rc::new(ledger.store.reader().unwrap()), Rc::new(Turns::default()));
    let commits = Commits::new(1).1.remove(0);
    let places = Places::new(READERS, READERS, Followers::default());
    (Rc::new(Events::new(reader, commits, places, Rc::clone(&turns), encode)), turns)
}

/// Requests wait for few pages, however many readers there are.
pub(crate) fn those_who_catch_up_have_few_pages_in_a_turn_together(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let batch: Vec<_> = (0..EVENTS).map(|_| Command::Transfer(ledger.payment(bank, purse, 1))).collect();
    ledger.commit(&batch);
    let (events, turns) = feed_of(&ledger);
    let pages = Rc::new(RefCell::new(Vec::new()));
    let mut readers = JoinSet::new();
    let local = LocalSet::new();
    for _ in 0..READERS {
        let (events, turns, pages) = (Rc::clone(&events), Rc::clone(&turns), Rc::clone(&pages));
        let read_all = async move {
            let feed = events.subscribe(OPERATOR.id, Interest::All, Some(0)).await.unwrap();
            let mut told = 0;
            while told < EVENTS {
                let Told::Frames(frames) = feed.next().await else { panic!("after {told} events") };
                pages.borrow_mut().push(turns.number());
                told += frames.len();
            }
        };
        readers.spawn_local_on(read_all, &local);
    }
    ledger.read(local.run_until(async {
        tokio::select! {
            _ = readers.join_all() => Ok(()),
            () = turns.run(Engine::Epoll) => unreachable!("it runs for ever"),
        }
    }));
    let pages = pages.take();
    assert!(pages.len() > 2 * READERS);
    let most = pages.chunk_by(|one, next| one == next).map(<[_]>::len).max();
    assert!(most <= Some(PAGES_A_TURN), "{most:?} in one turn");
}

/// At the end of the server, who could not be told all is not told that it was all.
pub(crate) fn an_end_that_cannot_be_read_is_not_told_as_the_end_of_the_log(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 1);
    let (events, turns) = feed_of(&ledger);
    let feed = ledger.read(async {
        let feed = events.subscribe(OPERATOR.id, Interest::All, Some(0)).await.unwrap();
        assert_eq!(feed.next().await, Told::Frames("e".into()));
        assert_eq!(feed.next().await, Told::Nothing, "it is told with all others from here on");
        Ok(feed)
    });
    ledger.pay(bank, purse, 1);
    ledger.pay(bank, purse, 1);
    ledger.fixture.execute("delete from events where seq = 2");
    events.finish(End::GoingAway);
    let told = ledger.read(async {
        tokio::select! {
            told = feed.next() => Ok(told),
            () = events.pump() => unreachable!("it runs for ever"),
            () = turns.run(Engine::Epoll) => unreachable!("it runs for ever"),
        }
    });
    assert_eq!(told, Told::End(End::Unavailable));
}
