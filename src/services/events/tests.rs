//! The hub without a store: who is told what, in which order, and what becomes of those who do not read. With a store:
//! what is kept for whom.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use uuid::Uuid;

use super::hub::{Mailbox, WAITING_BYTES, WAITING_RUNS};
use super::*;
use crate::models::event::Creation;
use crate::models::posting::{Command, OpenAccount, Owner, TransferRequest};
use crate::models::{Amount, EventKind, Fingerprint, Money, Terms};
use crate::services::now;
use crate::services::users::register_command;
use crate::store::{Location, Store};

/// Frames are numbers of eight digits, so that what a reader was told can be read back.
fn encode(news: &News<'_>, to: &mut Vec<u8>) {
    let text = match news {
        News::Event(event, _) => format!("{:8}", event.seq),
        News::Position(place) => format!("at{:6}", place.seq),
    };
    to.extend_from_slice(text.as_bytes());
}

fn long(news: &News<'_>, to: &mut Vec<u8>) {
    encode(news, to);
    to.resize(to.len() + 1000, b' ');
}

fn account(n: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(n))
}

fn user(n: u128) -> UserId {
    UserId::from_uuid(Uuid::from_u128(n))
}

fn place(seq: u64) -> Place {
    Place { seq, at: Timestamp::EPOCH }
}

fn terms(debit: u128, credit: u128) -> Terms {
    Terms {
        debit_account: account(debit),
        credit_account: account(credit),
        amount: Amount::new(1).unwrap(),
        currency: "EUR".parse().unwrap(),
        description: None,
        metadata: None,
        reference: None,
    }
}

/// A transfer between accounts, each owned by the user of its number.
pub(super) fn occurrence(seq: u64, debit: u128, credit: u128) -> Occurrence {
    let creation = Creation {
        terms: terms(debit, credit),
        pending: false,
        expires_at: None,
        created_by: user(0),
        idempotency_key: "k".parse().unwrap(),
    };
    let transfer_id = TransferId::from_uuid(Uuid::from_u128(seq.into()));
    let event = Event { seq, at: Timestamp::EPOCH, transfer_id, kind: EventKind::Created(creation) };
    let transfer = event.created_transfer().unwrap();
    Occurrence { event, transfer, owners: [Some(user(debit)), Some(user(credit))], frame: OnceCell::new() }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn next(mailbox: &Mailbox) -> Poll<Result<String, End>> {
    next_with(mailbox, Waker::noop())
}

fn next_with(mailbox: &Mailbox, waker: &Waker) -> Poll<Result<String, End>> {
    let polled = std::pin::pin!(mailbox.next()).poll(&mut Context::from_waker(waker));
    polled.map(|told| told.map(|frames| String::from_utf8(frames.to_vec()).unwrap()))
}

/// All that waits for a reader, by word.
#[track_caller]
fn told(mailbox: &Mailbox) -> Vec<String> {
    let mut words = Vec::new();
    while let Poll::Ready(frames) = next(mailbox) {
        words.extend(frames.unwrap().split_whitespace().map(str::to_owned));
    }
    words
}

fn joined(hub: &Hub, interest: Interest, after: u64) -> Rc<Mailbox> {
    hub.join(interest, after, place(after))
}

#[test]
fn each_is_told_what_concerns_it_once_and_in_order() {
    let hub = Hub::default();
    let all = joined(&hub, Interest::All, 0);
    let one = joined(&hub, Interest::Account(account(1)), 0);
    let owner = joined(&hub, Interest::Owner(user(2)), 0);
    let stranger = joined(&hub, Interest::Owner(user(9)), 0);
    hub.give(&[occurrence(1, 1, 2), occurrence(2, 2, 3), occurrence(3, 4, 1)], encode);
    hub.give(&[occurrence(4, 2, 2)], encode);
    assert_eq!(told(&all), ["1", "2", "3", "4"]);
    assert_eq!(told(&one), ["1", "3"]);
    assert_eq!(told(&owner), ["1", "2", "4"]);
    assert_eq!(told(&stranger), [] as [&str; 0]);
    assert_eq!(hub.live(), place(4));
}

#[test]
fn who_joins_is_told_neither_what_it_has_seen_nor_what_it_must_read() {
    let hub = Hub::default();
    let first = joined(&hub, Interest::All, 10);
    assert_eq!(hub.live().seq, 10);
    // One has read further than the pump, one less far.
    let ahead = joined(&hub, Interest::All, 12);
    let behind = joined(&hub, Interest::Account(account(1)), 3);
    assert_eq!(hub.live().seq, 10);
    hub.give(&[occurrence(11, 1, 2), occurrence(12, 1, 2), occurrence(13, 1, 2)], encode);
    assert_eq!(told(&first), ["11", "12", "13"]);
    assert_eq!(told(&ahead), ["13"]);
    assert_eq!(told(&behind), ["11", "12", "13"]);
}

#[test]
fn a_page_that_was_read_for_readers_who_have_left_is_not_given_twice() {
    let hub = Hub::default();
    let gone = joined(&hub, Interest::All, 1);
    let page = [occurrence(2, 1, 2), occurrence(3, 1, 2)];
    hub.leave(&gone);
    assert!(!hub.has_readers());
    let new = joined(&hub, Interest::All, 2);
    hub.give(&page, encode);
    assert_eq!(told(&new), ["3"]);
}

#[test]
fn an_old_head_does_not_take_the_live_place_back() {
    let hub = Hub::default();
    let gone = joined(&hub, Interest::All, 1);
    hub.give(&[occurrence(2, 1, 2), occurrence(3, 1, 2), occurrence(4, 1, 2)], encode);
    hub.leave(&gone);
    // Its head was read before the others were told; up to the live place it reads by itself.
    let late = joined(&hub, Interest::All, 2);
    assert_eq!(hub.live().seq, 4);
    hub.give(&[occurrence(5, 1, 2)], encode);
    assert_eq!(told(&late), ["5"]);
}

#[test]
fn places_are_told_to_those_who_were_told_nothing_else() {
    let hub = Hub::default();
    let all = joined(&hub, Interest::All, 0);
    let other = joined(&hub, Interest::Account(account(9)), 0);
    let waiting = joined(&hub, Interest::All, 0);
    hub.give(&[occurrence(1, 1, 2)], encode);
    assert_eq!(told(&all), ["1"]);
    hub.tell_position(encode);
    hub.tell_position(encode);
    assert_eq!(told(&other), ["at", "1"]);
    assert_eq!(told(&all), [] as [&str; 0]);
    assert_eq!(told(&waiting), ["1"]);
    let future = joined(&hub, Interest::All, 100);
    hub.give(&[occurrence(2, 1, 2)], encode);
    hub.tell_position(encode);
    assert_eq!(told(&future), [] as [&str; 0], "it waits for a place that is not reached");
}

#[test]
fn a_reader_that_does_not_read_loses_its_place_and_nobody_elses() {
    let hub = Hub::default();
    let (stuck, fine) = (joined(&hub, Interest::All, 0), joined(&hub, Interest::All, 0));
    let stuck_one = joined(&hub, Interest::Account(account(1)), 0);
    let mut seen = 0;
    for seq in 1..=2 * (WAITING_BYTES as u64 / 1000) {
        hub.give(&[occurrence(seq, 1, 2)], long);
        seen += told(&fine).len() as u64;
        assert_eq!(seen, seq);
    }
    for mailbox in [stuck, stuck_one] {
        assert!(mailbox.is_overrun());
        assert_eq!(next(&mailbox), Poll::Ready(Err(End::Behind)));
    }
}

#[test]
fn what_waits_is_bounded_by_number_too() {
    let hub = Hub::default();
    let (stuck, one) = (joined(&hub, Interest::All, 0), joined(&hub, Interest::Account(account(1)), 0));
    let runs = WAITING_RUNS as u64;
    for seq in 1..=runs {
        hub.give(&[occurrence(seq, 1, 2)], encode);
    }
    assert!(!stuck.is_overrun() && !one.is_overrun());
    hub.give(&[occurrence(runs + 1, 1, 2)], encode);
    assert!(stuck.is_overrun() && one.is_overrun());
}

#[test]
fn one_reader_is_woken_once_however_much_came() {
    let hub = Hub::default();
    let mailbox = joined(&hub, Interest::Account(account(1)), 0);
    let woken = Arc::new(Woken::default());
    assert_eq!(next_with(&mailbox, &Waker::from(Arc::clone(&woken))), Poll::Pending);
    assert!(hub.give(&[occurrence(1, 3, 4)], encode).is_empty(), "it does not concern it");
    let due = hub.give(&[occurrence(2, 1, 1), occurrence(3, 1, 2)], encode);
    due.into_iter().for_each(Waker::wake);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(told(&mailbox), ["2", "3"]);
}

#[test]
fn at_the_end_all_that_waits_is_told_first() {
    let hub = Hub::default();
    let mailbox = joined(&hub, Interest::All, 0);
    hub.give(&[occurrence(1, 1, 2)], encode);
    hub.end(End::GoingAway);
    assert!(!hub.has_readers());
    assert_eq!(next(&mailbox), Poll::Ready(Ok("       1".into())));
    assert_eq!(next(&mailbox), Poll::Ready(Err(End::GoingAway)));
    hub.leave(&mailbox);
}

#[test]
fn a_gap_in_the_log_is_no_page() {
    let events =
        |numbers: &[u64]| -> Vec<Event> { numbers.iter().map(|&seq| occurrence(seq, 1, 2).event).collect() };
    assert!(check_gapless(3, &events(&[4, 5])).is_ok());
    assert!(check_gapless(u64::MAX, &events(&[])).is_ok());
    assert!(check_gapless(3, &events(&[5])).is_err());
    assert!(check_gapless(3, &events(&[4, 6])).is_err());
}

#[test]
fn a_core_is_told_when_it_wants_to_be() {
    let (commits, cores) = Commits::new(2);
    let is_told = |core: &CoreCommits| {
        let told = std::pin::pin!(core.told());
        told.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    };
    commits.announce();
    assert!(!is_told(&cores[0]) && !commits.are_wanted());
    cores[1].want(true);
    commits.announce();
    commits.announce();
    assert!(commits.are_wanted());
    assert!(!is_told(&cores[0]) && is_told(&cores[1]));
    assert!(!is_told(&cores[1]), "what was told twice is heard once");
}

#[test]
fn the_pump_rests_longer_the_more_it_has_woken() {
    assert_eq!(rest_after(0), Duration::ZERO);
    assert_eq!(rest_after(1), Duration::ZERO);
    assert_eq!(rest_after(501), Duration::from_millis(10));
    assert_eq!(rest_after(usize::MAX), REST_AT_MOST);
}

/// A ledger with one event.
fn ledger_of_one() -> Vec<Command> {
    let owner = Owner::Name("anna".parse().unwrap());
    let open = |n, min_balance| {
        let (id, currency, owner) = (account(n), "EUR".parse().unwrap(), owner.clone());
        Command::OpenAccount(OpenAccount { id, owner, name: None, currency, min_balance })
    };
    let terms = terms(1, 2);
    let transfer = TransferRequest {
        actor: Actor { id: user(0), role: Role::Operator },
        key: "k".parse().unwrap(),
        fingerprint: Fingerprint::of_transfer(&terms, None),
        id: TransferId::from_uuid(Uuid::from_u128(1)),
        terms,
        hold: None,
        request_id: "r".into(),
    };
    vec![
        register_command("anna".parse().unwrap(), Role::User, "no hash".to_owned()),
        open(1, None),
        open(2, Some(Money::ZERO)),
        Command::Transfer(transfer),
    ]
}

#[tokio::test]
async fn nothing_is_kept_for_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Sqlite { directory: directory.path().to_owned() }).unwrap();
    store.writer().unwrap().commit(&ledger_of_one(), &now).await.unwrap();
    let (_, mut cores) = Commits::new(1);
    let places = Places::new(8, 8, Followers::default());
    let reader = Rc::new(store.reader().unwrap());
    let events = Rc::new(Events::new(reader, cores.remove(0), places, Rc::default(), encode));
    let first = events.subscribe(user(1), Interest::All, Some(0)).await.unwrap();
    let second = events.subscribe(user(1), Interest::All, Some(0)).await.unwrap();
    assert_eq!(first.next().await, Told::Frames("       1".into()));
    drop(first);
    assert!(events.pages.behind(0, false).is_some(), "the other has it still to read");
    // It has not caught up, so the pump never heard of it.
    drop(second);
    assert!(events.pages.behind(0, false).is_none());
}
