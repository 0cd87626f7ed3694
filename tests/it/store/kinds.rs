//! A ledger with every kind of event, and keys with every kind of outcome.

use ringledger::models::posting::{
    BatchItem, BatchRequest, Command, ExpireHolds, HoldDecision, HoldRequest, Outcome, ReversalRequest,
    TransferRequest,
};
use ringledger::models::{AccountId, Amount, Fingerprint, Hold, TransferId};

use super::ledger::{Ledger, NOWHERE, OPERATOR, euros, key_of, posted, rejected, second};

/// How many events there are.
pub(crate) const EVENTS: u64 = 12;
/// How many accounts.
pub(crate) const ACCOUNTS: u64 = 3;

/// Some time limit that does not come.
const LONG: Option<u32> = Some(100_000);

/// The history, a second an event: a hold posted in part (1, 2), one voided (3, 4), one expired (5, 6), a transfer
/// that was reversed (7, 8), an open hold (9), a plain transfer (10), and a batch of which one item was refused (11,
/// 12).
pub(crate) fn write(ledger: &mut Ledger) {
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    let held = ledger.hold("held", (bank, purse), 100, None);
    ledger.resolve("post", held, HoldDecision::Post(Amount::new(60).ok()));
    let held = ledger.hold("given-up", (bank, purse), 50, LONG);
    ledger.resolve("void", held, HoldDecision::Void);
    ledger.hold("late", (bank, purse), 40, Some(1));
    ledger.tick();
    let expiry = Command::ExpireHolds(ExpireHolds { limit: 10 });
    assert_eq!(ledger.commit(&[expiry]), [Outcome::Expired(1)]);
    let wrong = ledger.move_as("wrong", (purse, other), 20);
    ledger.reverse("back", wrong);
    ledger.hold("open", (bank, purse), 7, LONG);
    ledger.move_as("plain", (purse, other), 5);
    ledger.batch("batch", &[(bank, purse), (bank, NOWHERE), (bank, other)]);
    let poor = ledger.request(OPERATOR, "poor", euros(purse, bank, 1_000_000));
    rejected(ledger.decide(poor));
    assert_eq!(ledger.audit().head.seq, EVENTS);
}

impl Ledger {
    /// The next event is of the second of its number.
    fn tick(&mut self) {
        self.clock = second(i64::try_from(self.head().seq + 1).unwrap());
    }

    /// A request with all that a caller can say.
    fn wordy(
        &mut self,
        key: &str,
        (debit, credit): (AccountId, AccountId),
        amount: i64,
        hold: Option<Hold>,
    ) -> TransferRequest {
        self.tick();
        let mut terms = euros(debit, credit, amount);
        terms.description = Some("Grüße \"…\" \\".parse().unwrap());
        terms.metadata = Some(r#"{"order":"4711","rate":1.50}"#.into());
        terms.reference = Some("4711".parse().unwrap());
        let fingerprint = Fingerprint::of_transfer(&terms, hold);
        TransferRequest { hold, fingerprint, ..self.request(OPERATOR, key, terms) }
    }

    fn hold(
        &mut self,
        key: &str,
        sides: (AccountId, AccountId),
        amount: i64,
        timeout_s: Option<u32>,
    ) -> TransferId {
        let request = self.wordy(key, sides, amount, Some(Hold { timeout_s }));
        posted(self.decide(request)).id
    }

    fn move_as(&mut self, key: &str, sides: (AccountId, AccountId), amount: i64) -> TransferId {
        let request = self.wordy(key, sides, amount, None);
        posted(self.decide(request)).id
    }

    fn resolve(&mut self, key: &str, transfer_id: TransferId, decision: HoldDecision) {
        self.tick();
        let fingerprint = match decision {
            HoldDecision::Post(amount) => Fingerprint::of_post(transfer_id, amount),
            HoldDecision::Void => Fingerprint::of_void(transfer_id),
        };
        let (key, request_id) = (key_of(key), "resolve".into());
        let request = HoldRequest { actor: OPERATOR, key, fingerprint, transfer_id, decision, request_id };
        posted(self.commit(&[Command::Resolve(request)]).remove(0));
    }

    fn reverse(&mut self, key: &str, reverses: TransferId) {
        self.tick();
        let id = TransferId::from_uuid(self.new_id());
        let fingerprint = Fingerprint::of_reversal(reverses);
        let (key, request_id) = (key_of(key), "reverse".into());
        let request = ReversalRequest { actor: OPERATOR, key, fingerprint, id, reverses, request_id };
        posted(self.commit(&[Command::Reverse(request)]).remove(0));
    }

    /// One minor unit a transfer.
    fn batch(&mut self, key: &str, sides: &[(AccountId, AccountId)]) {
        self.tick();
        let item = |&(debit, credit): &(AccountId, AccountId)| BatchItem {
            id: TransferId::from_uuid(self.new_id()),
            terms: euros(debit, credit, 1),
            hold: None,
        };
        let items: Vec<_> = sides.iter().map(item).collect();
        let fingerprint = Fingerprint::of_batch(false, &items);
        let (key, request_id) = (key_of(key), "batch".into());
        let request = BatchRequest { actor: OPERATOR, key, fingerprint, atomic: false, items, request_id };
        let outcome = self.commit(&[Command::Batch(request)]).remove(0);
        assert!(matches!(outcome, Outcome::Batch { replayed: false, .. }), "{outcome:?}");
    }
}
