//! A hand outside the program has changed the tables; an audit names what it broke.
//!
//! The hand knows SQL and each database's words for it. How a sample is copied and changed is a database's own.

use ringledger::models::idempotency::KEY_LIFE_S;
use ringledger::services::audit::{AuditError, Audited, Invariant, audit};

use super::ledger::{Fixture, Ledger, OPERATOR, euros, posted, rejected, second};

/// An account that does not exist.
const NOBODY: &str = "'01900000-0000-7000-8000-0000000000ff'";

/// SQL for what databases say in ways of their own.
pub(crate) struct Dialect {
    /// 32 bytes of 0.
    pub(crate) zeros: &'static str,
    /// One byte of 0.
    pub(crate) short_hash: &'static str,
    /// `body` and a byte of 0.
    pub(crate) longer_body: &'static str,
    /// The shortest time.
    pub(crate) tick: &'static str,
    /// The beginning of 1970.
    pub(crate) epoch: &'static str,
}

impl Dialect {
    fn translate(&self, sql: &str) -> String {
        let words = [
            ("NOBODY", NOBODY),
            ("ZEROS", self.zeros),
            ("SHORT_HASH", self.short_hash),
            ("LONGER_BODY", self.longer_body),
            ("TICK", self.tick),
            ("EPOCH", self.epoch),
        ];
        words.iter().fold(sql.to_owned(), |sql, (word, own)| sql.replace(word, own))
    }
}

/// A closed ledger with six events, each as far from the next as a second. The fourth has the key `known`, and
/// there is a rejection under the key `poor`.
pub(crate) fn sample(mut ledger: Ledger) -> Box<dyn Fixture> {
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    let history = [(bank, purse, 100), (bank, other, 50), (purse, other, 10), (other, purse, 5)];
    for (number, (debit, credit, amount)) in (1..).zip(history) {
        ledger.clock = second(number);
        let key = if number == 4 { "known" } else { &*format!("payment-{number}") };
        let request = ledger.request(OPERATOR, key, euros(debit, credit, amount));
        posted(ledger.decide(request));
    }
    let poor = ledger.request(OPERATOR, "poor", euros(purse, bank, 1_000_000));
    rejected(ledger.decide(poor));
    for number in [5, 6] {
        ledger.clock = second(number);
        ledger.pay(bank, purse, 1);
    }
    assert_eq!(ledger.audit().head.seq, 6);
    ledger.closed()
}

/// What is done to the [`sample`], and the invariant that is broken first. Words in capitals are a [`Dialect`]'s.
const TAMPERINGS: &[(&str, Invariant)] = &[
    // accounts
    ("update accounts set balance = balance + 1 where balance > 0", Invariant::I4),
    ("update accounts set held = 1 where balance > 0", Invariant::I4),
    ("update accounts set min_balance = balance + 1 where balance > 0", Invariant::I5),
    ("update accounts set min_balance = 0 where balance < 0", Invariant::I5),
    ("update accounts set currency = 'USD' where balance < 0", Invariant::I3),
    ("delete from accounts where balance < 0", Invariant::I4),
    ("update accounts set currency = '?' where balance < 0", Invariant::I6),
    // entries
    ("update entries set amount = amount + 1 where seq = 2", Invariant::I4),
    ("update entries set balance = balance + 1 where seq = 2", Invariant::I4),
    (
        "update entries set transfer_id = (select id from transfers where seq = 1) where seq = 2",
        Invariant::I4,
    ),
    ("update entries set created_at = created_at + TICK where seq = 2", Invariant::I4),
    ("delete from entries where seq = 2 and amount > 0", Invariant::I4),
    ("update entries set seq = 7 where seq = 6", Invariant::I4),
    (
        "insert into entries select account_id, 7, transfer_id, 0, balance, EPOCH from entries where seq = 6",
        Invariant::I4,
    ),
    (
        "insert into entries select NOBODY, seq, transfer_id, 0, 0, EPOCH from entries where seq = 6 limit 1",
        Invariant::I4,
    ),
    // transfers
    ("update transfers set amount = amount + 1 where seq = 2", Invariant::I6),
    ("update transfers set posted_amount = 1 where seq = 2", Invariant::I6),
    ("update transfers set posted_amount = null where seq = 2", Invariant::I6),
    ("update transfers set status = 'voided' where seq = 2", Invariant::I6),
    ("update transfers set status = 'pending', posted_amount = null where seq = 2", Invariant::I4),
    ("update transfers set currency = 'USD' where seq = 2", Invariant::I6),
    ("update transfers set reference = 'mine' where seq = 2", Invariant::I6),
    ("update transfers set expires_at = EPOCH where seq = 2", Invariant::I6),
    ("update transfers set reverses = id where seq = 2", Invariant::I6),
    ("update transfers set reversed_by = id where seq = 2", Invariant::I6),
    ("update transfers set created_by = '01900000-0000-7000-8000-00000000000f' where seq = 2", Invariant::I6),
    ("update transfers set idempotency_key = 'known' where seq = 5", Invariant::I6),
    ("update transfers set seq = 7 where seq = 6", Invariant::I6),
    ("delete from transfers where seq = 2", Invariant::I1),
    // idempotency
    ("update idempotency set seq = 2 where key = 'known'", Invariant::I2),
    ("update idempotency set seq = 7 where key = 'known'", Invariant::I2),
    ("update idempotency set key = 'unknown' where key = 'known'", Invariant::I2),
    (
        "update idempotency set user_id = '01900000-0000-7000-8000-00000000000f' where key = 'known'",
        Invariant::I2,
    ),
    ("delete from idempotency where key = 'known'", Invariant::I2),
    ("update idempotency set fingerprint = ZEROS where key = 'known'", Invariant::I2),
    ("update idempotency set used_at = used_at - TICK where key = 'known'", Invariant::I2),
    ("update idempotency set outcome = '{}' where key = 'poor'", Invariant::I2),
    // events
    ("update events set body = LONGER_BODY where seq = 2", Invariant::I6),
    ("update events set body = (select body from events where seq = 1) where seq = 2", Invariant::I6),
    ("update events set hash = ZEROS where seq = 6", Invariant::I6),
    ("update events set hash = SHORT_HASH where seq = 2", Invariant::I6),
    ("delete from events where seq = 1", Invariant::I6),
    ("delete from events where seq = 6", Invariant::I6),
    ("delete from events", Invariant::I6),
    ("update events set seq = 7 where seq = 6", Invariant::I6),
    // head
    ("update head set seq = 5", Invariant::I6),
    ("update head set seq = 7", Invariant::I6),
    ("update head set hash = ZEROS", Invariant::I6),
    ("update head set at = at - TICK", Invariant::I6),
    ("update head set at = at + TICK", Invariant::I6),
    ("delete from head", Invariant::I6),
];

/// What is done to the ledger of [`super::kinds`]. The tables say more of it than of the [`sample`]: how holds ended,
/// what was reversed.
const TAMPERINGS_OF_KINDS: &[(&str, Invariant)] = &[
    // A hold that was posted in part.
    ("update transfers set status = 'voided', posted_amount = null where seq = 1", Invariant::I6),
    ("update transfers set status = 'expired', posted_amount = null where seq = 1", Invariant::I6),
    ("update transfers set status = 'pending', posted_amount = null where seq = 1", Invariant::I4),
    ("update transfers set posted_amount = 61 where seq = 1", Invariant::I6),
    ("update transfers set posted_amount = 101 where seq = 1", Invariant::I6),
    ("update transfers set posted_amount = null where seq = 1", Invariant::I6),
    ("update transfers set expires_at = EPOCH where seq = 1", Invariant::I6),
    ("update entries set amount = amount + 1 where seq = 2", Invariant::I4),
    ("update entries set seq = 1 where seq = 2", Invariant::I4),
    (
        "update entries set transfer_id = (select id from transfers where seq = 7) where seq = 2",
        Invariant::I4,
    ),
    ("update entries set created_at = created_at - TICK where seq = 2", Invariant::I4),
    ("delete from entries where seq = 2 and amount < 0", Invariant::I4),
    ("update idempotency set seq = 4 where key = 'post'", Invariant::I2),
    ("update idempotency set seq = 11 where key = 'post'", Invariant::I2),
    ("update idempotency set used_at = used_at + TICK where key = 'post'", Invariant::I2),
    // One that was voided.
    ("update transfers set status = 'expired' where seq = 3", Invariant::I6),
    ("update transfers set status = 'posted', posted_amount = 50 where seq = 3", Invariant::I6),
    ("update transfers set status = 'pending' where seq = 3", Invariant::I4),
    ("update transfers set posted_amount = 1 where seq = 3", Invariant::I6),
    ("update transfers set expires_at = null where seq = 3", Invariant::I6),
    (
        "insert into entries select account_id, 4, (select id from transfers where seq = 3), 0, balance, created_at
         from entries where seq = 2",
        Invariant::I4,
    ),
    ("delete from transfers where seq = 3", Invariant::I1),
    // One that expired.
    ("update transfers set status = 'voided' where seq = 5", Invariant::I6),
    ("update transfers set status = 'posted', posted_amount = 40 where seq = 5", Invariant::I6),
    ("update transfers set status = 'pending' where seq = 5", Invariant::I4),
    ("update transfers set expires_at = null where seq = 5", Invariant::I6),
    ("update transfers set expires_at = expires_at + TICK where seq = 5", Invariant::I6),
    ("update idempotency set seq = 6 where key = 'late'", Invariant::I2),
    // One that is open.
    ("update transfers set status = 'voided' where seq = 9", Invariant::I4),
    ("update transfers set status = 'posted', posted_amount = 7 where seq = 9", Invariant::I4),
    ("update transfers set posted_amount = 7 where seq = 9", Invariant::I4),
    ("update transfers set amount = 8 where seq = 9", Invariant::I4),
    ("update accounts set held = 0 where held > 0", Invariant::I4),
    ("update accounts set held = held + 1 where held > 0", Invariant::I4),
    ("update accounts set version = 1 where held > 0", Invariant::I4),
    ("update accounts set min_balance = balance where held > 0", Invariant::I5),
    // A transfer and its reversal.
    ("update transfers set reversed_by = null where seq = 7", Invariant::I6),
    ("update transfers set reversed_by = id where seq = 7", Invariant::I6),
    ("update transfers set reverses = null where seq = 8", Invariant::I6),
    ("update transfers set reverses = id where seq = 8", Invariant::I6),
    ("update transfers set reversed_by = NOBODY where seq = 8", Invariant::I6),
    ("update transfers set reversed_by = NOBODY where seq = 1", Invariant::I6),
    ("update transfers set reversed_by = NOBODY where seq = 3", Invariant::I6),
    ("update transfers set amount = 19, posted_amount = 19 where seq = 8", Invariant::I6),
    ("update transfers set created_by = NOBODY where seq = 8", Invariant::I6),
    ("delete from transfers where seq = 7", Invariant::I1),
    ("delete from transfers where seq = 8", Invariant::I1),
    ("delete from entries where seq = 8", Invariant::I4),
    ("delete from idempotency where key = 'back'", Invariant::I2),
    // A batch.
    ("update transfers set idempotency_key = 'more' where seq = 12", Invariant::I6),
    ("update transfers set created_at = created_at + TICK where seq = 12", Invariant::I6),
    ("delete from transfers where seq = 12", Invariant::I1),
    ("delete from idempotency where key = 'batch'", Invariant::I2),
    ("update idempotency set outcome = '{}' where key = 'batch'", Invariant::I2),
    ("update idempotency set outcome = null, seq = 11 where key = 'batch'", Invariant::I2),
    ("update idempotency set used_at = used_at + TICK where key = 'batch'", Invariant::I2),
    ("update idempotency set fingerprint = ZEROS where key = 'batch'", Invariant::I2),
    (
        "update idempotency set outcome = replace(outcome, '\"items\":3', '\"items\":4') where key = 'batch'",
        Invariant::I2,
    ),
    ("update idempotency set outcome = replace(outcome, '[1,', '[0,') where key = 'batch'", Invariant::I2),
    ("update idempotency set outcome = replace(outcome, 'credit', 'debit') where key = 'batch'", Invariant::I2),
    (
        "update idempotency set outcome = replace(outcome, 'sha256', 'sha512') where key = 'batch'",
        Invariant::I2,
    ),
    ("update idempotency set key = 'more' where key = 'batch'", Invariant::I2),
    // Fingerprints, by which a key is known to be used for something else.
    ("update idempotency set fingerprint = ZEROS where key = 'held'", Invariant::I2),
    ("update idempotency set fingerprint = ZEROS where key = 'post'", Invariant::I2),
    ("update idempotency set fingerprint = ZEROS where key = 'void'", Invariant::I2),
    ("update idempotency set fingerprint = ZEROS where key = 'back'", Invariant::I2),
    ("update idempotency set fingerprint = SHORT_HASH where key = 'batch'", Invariant::I6),
    // A row at the place of an event that makes none.
    (
        "insert into transfers select 4, NOBODY, status, debit_account, credit_account, amount, posted_amount, currency,
         description, metadata, reference, expires_at, reverses, reversed_by, created_by, 'more', created_at,
         hold from transfers where seq = 3",
        Invariant::I6,
    ),
];

/// Asserts that an audit finds each tampering. `tamper` runs SQL on a fresh copy of the [`sample`] and audits it.
pub(crate) fn assert_noticed(dialect: &Dialect, tamper: impl Fn(&str) -> Result<Audited, AuditError>) {
    assert_each_noticed(TAMPERINGS, dialect, tamper);
}

/// The same of the ledger of [`super::kinds`].
pub(crate) fn assert_noticed_of_kinds(
    dialect: &Dialect,
    tamper: impl Fn(&str) -> Result<Audited, AuditError>,
) {
    assert_each_noticed(TAMPERINGS_OF_KINDS, dialect, tamper);
}

fn assert_each_noticed(
    tamperings: &[(&str, Invariant)],
    dialect: &Dialect,
    tamper: impl Fn(&str) -> Result<Audited, AuditError>,
) {
    let mut missed = Vec::new();
    for &(sql, broken) in tamperings {
        let found = tamper(&dialect.translate(sql));
        if !matches!(&found, Err(AuditError::Broken { invariant, .. }) if *invariant == broken) {
            missed.push(format!("{sql}: {found:?} and not {broken}"));
        }
    }
    assert!(missed.is_empty(), "{} of {}: {missed:#?}", missed.len(), tamperings.len());
}

/// A key that was applied twice in its life, with a log that is whole in every other way. `forget` drops all records
/// of keys behind the store's back.
pub(crate) fn assert_double_use_is_noticed(ledger: impl Fn() -> Ledger, forget: impl Fn(&Ledger)) {
    for (seconds, broken) in [(KEY_LIFE_S - 1, true), (KEY_LIFE_S, false)] {
        let mut ledger = ledger();
        let (bank, purse) = (ledger.bank(), ledger.purse());
        let request = ledger.request(OPERATOR, "twice", euros(bank, purse, 1));
        posted(ledger.decide(request.clone()));
        // As if the store had lost the record of the first use.
        forget(&ledger);
        ledger.clock = second(seconds);
        let again = ledger.again(&request);
        posted(ledger.decide(again));
        let found = audit(&ledger.store.audit().unwrap(), None, |_| ());
        let named = matches!(found, Err(AuditError::Broken { invariant: Invariant::I2, .. }));
        assert_eq!((named, found.is_err()), (broken, broken), "{found:?}");
    }
}
