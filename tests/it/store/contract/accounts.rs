//! Accounts: opening, owners, lists.

use ringledger::models::posting::{Command, OpenAccount, Outcome, Owner, Rejection, Side};
use ringledger::models::{Account, AccountId, Actor, Terms, UserId};
use ringledger::store::AccountQuery;
use uuid::Uuid;

use crate::store::ledger::{
    ALL, Ledger, NOWHERE, OPERATOR, euros, money, most, opened, posted, rejected, second,
};

pub(crate) fn an_account_opens_empty_and_is_kept_as_opened(mut ledger: Ledger) {
    ledger.clock = second(3);
    let lowest = most().money().negated();
    for (name, currency, min_balance) in [
        (None, "EUR", Some(money(0))),
        (Some("Ärger & Söhne 株式会社 🦀 'quoted' \"twice\""), "JPY", None),
        (Some("x"), "EUR", Some(lowest)),
    ] {
        let opening = OpenAccount {
            name: name.map(|name| name.parse().unwrap()),
            currency: currency.parse().unwrap(),
            min_balance,
            ..ledger.opening(OPERATOR.id)
        };
        let expected = Account {
            id: opening.id,
            owner: OPERATOR.id,
            name: opening.name.clone(),
            currency: opening.currency,
            balance: money(0),
            held: money(0),
            min_balance,
            version: 1,
            created_at: second(3),
        };
        assert_eq!(ledger.decide(opening), Outcome::Opened(expected.clone()));
        assert_eq!(ledger.account(expected.id), expected);
    }
    let before = ledger.accounts();
    let ledger = ledger.reopened();
    assert_eq!(ledger.accounts(), before);
    assert_eq!(ledger.audit().accounts, 3);
    assert_eq!(ledger.read(ledger.reader.account(NOWHERE)), None);
}

pub(crate) fn an_owner_is_named_by_id_or_by_name(mut ledger: Ledger) {
    let alice = ledger.user("Alice").id;
    for owner in [Owner::Id(alice), name("Alice"), name("aLICE")] {
        let opening = OpenAccount { owner, ..ledger.opening(alice) };
        let account = opened(ledger.decide(opening));
        assert_eq!((account.owner, ledger.account(account.id).owner), (alice, alice));
    }
    for owner in [Owner::Id(UserId::from_uuid(Uuid::max())), name("nobody"), name("alic")] {
        let opening = OpenAccount { owner, ..ledger.opening(alice) };
        let id = opening.id;
        assert_eq!(ledger.decide(opening), Outcome::OwnerNotFound);
        assert_eq!(ledger.read(ledger.reader.account(id)), None);
    }
}

fn name(name: &str) -> Owner {
    Owner::Name(name.parse().unwrap())
}

/// Ids whose order as numbers is that of their bytes, and not the one in which accounts are opened.
const IDS: [u128; 6] = [
    0xa000_0000_0000_0000_0000_0000_0000_0000,
    0x0190_0000_0000_7000_8000_0000_0000_000a,
    0xffff_ffff_ffff_ffff_ffff_ffff_ffff_ffff,
    0x0190_0000_0000_7000_8000_0000_0000_0009,
    0x9fff_ffff_ffff_ffff_ffff_ffff_ffff_ffff,
    0x0190_0000_0000_7000_8000_0000_0000_0010,
];

/// Opens an account for each of [`IDS`], for both users in turn. Returns the two users.
fn scattered(ledger: &mut Ledger) -> [Actor; 2] {
    let users = ["alice", "bob"].map(|name| ledger.user(name));
    for (id, owner) in IDS.into_iter().zip(users.into_iter().cycle()) {
        let opening = OpenAccount { id: account_id(id), ..ledger.opening(owner.id) };
        opened(ledger.decide(opening));
    }
    users
}

fn account_id(id: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(id))
}

pub(crate) fn lists_run_in_order_of_id(mut ledger: Ledger) {
    let [alice, bob] = scattered(&mut ledger);
    let all = ledger.accounts();
    assert!(all.is_sorted_by_key(|account| account.id) && all.len() == IDS.len(), "{all:?}");
    let list =
        |owner, after, limit| ledger.read(ledger.reader.accounts(AccountQuery { owner, after, limit }));

    for owner in [None, Some(alice.id), Some(bob.id), Some(OPERATOR.id)] {
        let listed: Vec<_> =
            all.iter().filter(|account| owner.is_none_or(|id| account.owner == id)).cloned().collect();
        assert_eq!(list(owner, None, ALL), listed);
        // Behind every account, and behind ids between them that no account has.
        for after in IDS.into_iter().chain([0, 0x50 << 120, 0x0190_0000_0000_7000_8000_0000_0000_000f]) {
            let behind: Vec<_> =
                listed.iter().filter(|account| account.id > account_id(after)).cloned().collect();
            for limit in [1, 2, ALL] {
                let found = list(owner, Some(account_id(after)), limit);
                assert_eq!(found, behind[..behind.len().min(limit as usize)], "{after:x}, {limit}");
            }
        }
    }
    assert_eq!(list(Some(UserId::from_uuid(Uuid::max())), None, ALL), [], "nobody has none");
}

pub(crate) fn a_list_read_in_stretches_has_each_account_once(mut ledger: Ledger) {
    let openings: Vec<_> = (0..50).map(|_| Command::OpenAccount(ledger.opening(OPERATOR.id))).collect();
    ledger.commit(&openings);
    let mut after = None;
    let mut read = Vec::new();
    loop {
        let query = AccountQuery { owner: Some(OPERATOR.id), after, limit: 7 };
        let stretch = ledger.read(ledger.reader.accounts(query));
        assert!(stretch.len() <= 7);
        let Some(last) = stretch.last() else { break };
        after = Some(last.id);
        read.extend(stretch);
    }
    assert_eq!(read.len(), 50);
    assert_eq!(read, ledger.accounts());
}

/// The store knows nothing of what may be used: a ledger stays readable when a unit is no longer set up.
pub(crate) fn units_of_the_ledgers_own_are_kept(mut ledger: Ledger) {
    let currency = "POINTS202612".parse().unwrap();
    let mut open = |min_balance| {
        let opening = OpenAccount { currency, min_balance, ..ledger.opening(OPERATOR.id) };
        opened(ledger.decide(opening)).id
    };
    let (bank, purse) = (open(None), open(Some(money(0))));
    let terms = Terms { currency, ..euros(bank, purse, 7) };
    let request = ledger.request(OPERATOR, "points", terms.clone());
    let transfer = posted(ledger.decide(request));
    let mut ledger = ledger.reopened();
    assert_eq!(ledger.account(purse).currency, currency);
    assert_eq!(ledger.read(ledger.reader.transfer(transfer.id)), Some((*transfer).clone()));
    let euro = ledger.purse();
    let request = ledger.request(OPERATOR, "mixed", Terms { credit_account: euro, ..terms });
    let mismatch = Rejection::CurrencyMismatch { side: Side::Credit, currency: "EUR".parse().unwrap() };
    assert_eq!(rejected(ledger.decide(request)), mismatch);
    ledger.audit();
}
