//! What is seen from beside the writer: whole batches, or nothing of them.

use std::thread;
use std::time::{Duration, Instant};

use ringledger::models::posting::Command;
use ringledger::models::{Account, AccountId};
use ringledger::services::audit::audit;
use ringledger::store::{AccountQuery, Reader};

use crate::store::ledger::{ALL, Ledger, runtime};

/// Accounts that each batch pays the same amount.
const PURSES: usize = 20;
/// States of the ledger that the watching thread must have met.
const STATES: usize = 50;
/// How long they may take. Far more than they need, for busy machines.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn a_reader_on_another_thread_sees_whole_batches(mut ledger: Ledger) {
    let bank = ledger.bank();
    let purses: Vec<_> = (0..PURSES).map(|_| ledger.purse()).collect();
    let reader = ledger.store.reader().unwrap();
    thread::scope(|scope| {
        let watcher = scope.spawn(move || watch(&reader, bank));
        while !watcher.is_finished() {
            let payments: Vec<_> =
                purses.iter().map(|&purse| Command::Transfer(ledger.payment(bank, purse, 1))).collect();
            ledger.commit(&payments);
        }
        watcher.join().unwrap();
    });
    ledger.audit();
}

/// Looks at all accounts until enough of their states were met. Between two batches all purses are alike.
fn watch(reader: &Reader, bank: AccountId) {
    let runtime = runtime();
    let deadline = Instant::now() + PATIENCE;
    let mut last = 0;
    let mut states = 0;
    while states < STATES {
        assert!(Instant::now() < deadline, "only {states} states were seen");
        let query = AccountQuery { owner: None, after: None, limit: ALL };
        let accounts = runtime.block_on(reader.accounts(query)).unwrap();
        let (banks, purses): (Vec<_>, Vec<_>) = accounts.iter().partition(|account| account.id == bank);
        let balance = |account: &Account| account.balance.minor_units();
        let paid = balance(purses[0]);
        assert!(purses.iter().all(|purse| balance(purse) == paid), "{accounts:?}");
        assert_eq!(accounts.iter().map(balance).sum::<i64>(), 0, "{accounts:?}");
        assert_eq!(banks[0].version, 1 + paid.unsigned_abs() * PURSES as u64);
        assert!(paid >= last, "time went back from {last} to {paid}");
        states += usize::from(paid > last);
        last = paid;
    }
}

pub(crate) fn writer_and_reader_see_one_log(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    for seq in 0..3 {
        let head = ledger.writers_head();
        assert_eq!((head, head.seq), (ledger.head(), seq));
        ledger.pay(bank, purse, 1);
    }
}

pub(crate) fn an_audit_is_one_view_while_the_ledger_goes_on(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    for _ in 0..3 {
        ledger.pay(bank, purse, 1);
    }
    let before = ledger.head();
    let source = ledger.store.audit().unwrap();
    let audited = audit(&source, None, |_| {
        ledger.pay(bank, purse, 1);
        ledger.purse();
    });
    let audited = audited.unwrap();
    assert_eq!((audited.head, audited.accounts, audited.rows.entries), (before, 2, 6));
    drop(source);
    // Something was changed beside the walk with every event and every entry.
    assert_eq!((ledger.audit().head.seq, ledger.audit().accounts), (3 + 9, 2 + 9));
}
