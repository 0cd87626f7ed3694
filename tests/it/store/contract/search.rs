//! The search for transfers, on either store: each index, and what a page makes of them.

use std::cell::Cell;
use std::sync::Arc;

use ringledger::models::posting::{Command, ExpireHolds, Outcome};
use ringledger::models::{AccountId, Fingerprint, Hold, Terms, Timestamp, Transfer, TransferStatus};
use ringledger::services::search::{TransferSearch, find};
use ringledger::store::{Stretch, TransferIndex, TransferQuery};

use crate::store::ledger::{ALL, Ledger, OPERATOR, euros, key_of, micros_after, posted, second};

/// More pages than any search here has.
const PAGES_MAX: usize = 100;
/// Rows that are looked at before others have a turn.
const ROWS_AT_ONCE: usize = 300;
/// More than a page looks at in one index.
const CROWD: usize = 4_600;

/// Of the transfers of [`crowded`], those that are held to the end, are voided, or expire.
const HELD: [usize; 5] = [4, VOIDED, EXPIRED, 12, 30];
const VOIDED: usize = 5;
const EXPIRED: usize = 11;
/// Those that are held and then posted, and by which event.
const POSTED_LATER: [(usize, usize); 4] = [(7, 8), (14, 37), (19, 21), (20, 38)];

const NOTHING: TransferSearch = TransferSearch {
    account: None,
    status: None,
    reference: None,
    key: None,
    from: None,
    to: None,
    before_seq: None,
    limit: 200,
};

/// A transfer of a euro with these words.
fn referring(debit: AccountId, credit: AccountId, reference: Option<&str>) -> Terms {
    Terms { reference: reference.map(|text| text.parse().unwrap()), ..euros(debit, credit, 1) }
}

/// A ledger of 40 transfers in which every account, reference, key, time and status meets every other.
fn crowded(ledger: &mut Ledger) -> Vec<AccountId> {
    let users = [OPERATOR, ledger.user("alice"), ledger.user("bob")];
    let open = |ledger: &mut Ledger, place: usize| {
        let mut opening = ledger.opening(users[place].id);
        opening.min_balance = None;
        crate::store::ledger::opened(ledger.decide(opening)).id
    };
    let accounts: Vec<_> = (0..3).map(|place| open(ledger, place)).collect();
    let mut transfers = Vec::new();
    for made in 0..40_usize {
        ledger.clock = second(i64::try_from(made / 4).unwrap());
        if let Some((held, _)) = POSTED_LATER.iter().find(|(_, later)| *later == made) {
            let transfer: &Arc<Transfer> = &transfers[*held];
            let posting = ledger.posting(transfer.id, None);
            // It has the place of a transfer, and makes none.
            transfers.push(posted(ledger.decide(posting)));
            continue;
        }
        let (debit, credit) = (accounts[made % 3], accounts[(made + 1 + made % 2) % 3]);
        let reference =
            [None, Some("rent"), Some("rare")][usize::from(made % 2 == 1) + usize::from(made == 7)];
        // Each user has keys of their own, so one key stands for three transfers.
        let key = format!("key-{}", made / 3);
        let mut request = ledger.request(users[made % 3], &key, referring(debit, credit, reference));
        if POSTED_LATER.iter().any(|(held, _)| *held == made) || HELD.contains(&made) {
            let timeout_s = (made == EXPIRED).then_some(60);
            request.hold = Some(Hold { timeout_s });
            request.fingerprint = Fingerprint::of_transfer(&request.terms, request.hold);
        }
        transfers.push(posted(ledger.decide(request)));
    }
    let voiding = ledger.voiding(transfers[VOIDED].id);
    ledger.decide(voiding);
    ledger.clock = second(120);
    assert_eq!(ledger.decide(ExpireHolds { limit: 10 }), Outcome::Expired(1));
    accounts
}

fn all(ledger: &Ledger) -> Vec<Transfer> {
    let query = TransferQuery { by: TransferIndex::Seq, from_seq: 0, before_seq: u64::MAX, limit: ALL };
    ledger.read(ledger.reader.transfers(query)).transfers
}

/// Whether a transfer is wanted, by the words of the contract.
fn is_wanted(transfer: &Transfer, search: &TransferSearch, accounts: Option<&[AccountId]>) -> bool {
    let Terms { debit_account, credit_account, reference, .. } = &transfer.terms;
    accounts.is_none_or(|ids| ids.contains(debit_account) || ids.contains(credit_account))
        && search.status.is_none_or(|status| status == transfer.status)
        && search.reference.as_ref().is_none_or(|wanted| reference.as_ref() == Some(wanted))
        && search.key.as_ref().is_none_or(|key| *key == transfer.idempotency_key)
        && search.from.is_none_or(|from| transfer.created_at >= from)
        && search.to.is_none_or(|to| transfer.created_at < to)
}

/// All that a search finds, page by page.
#[track_caller]
fn pages(ledger: &Ledger, search: &TransferSearch, accounts: Option<&[AccountId]>) -> Vec<Stretch> {
    let mut pages: Vec<Stretch> = Vec::new();
    let mut before_seq = None;
    loop {
        let page = TransferSearch { before_seq, ..search.clone() };
        let found = ledger.read(find(&ledger.reader, &page, accounts, async || ()));
        assert!(found.transfers.len() <= search.limit as usize);
        before_seq = found.rest;
        pages.push(found);
        assert!(pages.len() <= PAGES_MAX, "{search:?} does not end");
        if before_seq.is_none() {
            return pages;
        }
    }
}

pub(crate) fn every_search_finds_what_a_look_at_all_finds(mut ledger: Ledger) {
    let accounts = crowded(&mut ledger);
    let all = all(&ledger);
    assert_eq!(all.len(), 36);
    assert!(all.is_sorted_by(|one, next| one.seq > next.seq));
    let statuses = [
        None,
        Some(TransferStatus::Pending),
        Some(TransferStatus::Posted),
        Some(TransferStatus::Voided),
        Some(TransferStatus::Expired),
    ];
    let times = [(None, None), (Some(second(2)), Some(second(8)))];
    let mut met = 0;
    for ids in [None, Some(&accounts[..1]), Some(&accounts[1..]), Some(&[][..])] {
        for status in statuses {
            for reference in [None, Some("rent"), Some("rare"), Some("Rent")] {
                for key in [None, Some("key-2"), Some("key-13"), Some("KEY-2")] {
                    for (from, to) in times {
                        let reference = reference.map(|text| text.parse().unwrap());
                        let key = key.map(key_of);
                        let search = TransferSearch { status, reference, key, from, to, ..NOTHING };
                        let wanted: Vec<_> = all
                            .iter()
                            .filter(|transfer| is_wanted(transfer, &search, ids))
                            .cloned()
                            .collect();
                        met += usize::from(!wanted.is_empty());
                        for limit in [3, 200] {
                            let pages = pages(&ledger, &TransferSearch { limit, ..search.clone() }, ids);
                            let full = pages.split_last().unwrap().1;
                            assert!(full.iter().all(|page| page.transfers.len() == limit as usize));
                            let found: Vec<_> = pages.into_iter().flat_map(|page| page.transfers).collect();
                            assert_eq!(found, wanted, "{search:?} of {ids:?}, {limit} at a time");
                        }
                    }
                }
            }
        }
    }
    assert!(met > 60, "only {met} searches find anything");
}

pub(crate) fn a_search_for_what_many_have_goes_on_where_it_stopped(mut ledger: Ledger) {
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    let mut batch = Vec::new();
    for made in 0..=CROWD {
        let credit = if made == 0 { purse } else { other };
        let terms = referring(bank, credit, Some("rent"));
        batch.push(Command::Transfer(ledger.request(OPERATOR, &format!("key-{made}"), terms)));
    }
    ledger.commit(&batch);
    let search = TransferSearch { reference: Some("rent".parse().unwrap()), limit: 1, ..NOTHING };
    let pages = pages(&ledger, &search, Some(&[purse]));
    let found: Vec<_> = pages.iter().map(|page| page.transfers.len()).collect();
    assert_eq!(found, [0, 1], "the first page has looked at enough");
    assert_eq!(pages[1].transfers[0].seq, 1);

    let turns = Cell::new(0_usize);
    let others_turn = async || turns.set(turns.get() + 1);
    ledger.read(find(&ledger.reader, &search, Some(&[purse]), others_turn));
    assert!(turns.get() * ROWS_AT_ONCE >= CROWD - 2 * ROWS_AT_ONCE, "others had {} turns", turns.get());
}

pub(crate) fn transfers_are_cut_at_exact_times(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    for time in [0, 0, 1, 3, 3, 3] {
        ledger.clock = second(time);
        ledger.pay(bank, purse, 1);
    }
    let first = |time: Timestamp| ledger.read(ledger.reader.first_transfer_at(time));
    for (time, before, at, after) in [(0, 0, 0, 3), (1, 3, 3, 4), (3, 4, 4, 7)] {
        let time = second(time);
        assert_eq!([-1, 0, 1].map(|micros| first(micros_after(time, micros))), [before, at, after], "{time}");
    }
}
