//! Transfers: what they move, what they keep, what refuses them.

use ringledger::models::posting::{Entry, OpenAccount, Outcome, Rejection, Side};
use ringledger::models::{Account, AccountId, Terms, Transfer, TransferId, TransferStatus};
use uuid::Uuid;

use crate::store::ledger::{Ledger, NOWHERE, OPERATOR, euros, money, most, opened, posted, rejected, second};

pub(crate) fn a_transfer_moves_money(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.clock = second(5);
    let payment = ledger.payment(bank, purse, 1_500);
    let expected = Transfer {
        id: payment.id,
        seq: 1,
        status: TransferStatus::Posted,
        terms: payment.terms.clone(),
        posted_amount: Some(payment.terms.amount),
        expires_at: None,
        reverses: None,
        reversed_by: None,
        created_by: OPERATOR.id,
        idempotency_key: payment.key.clone(),
        created_at: second(5),
        hold: false,
    };
    assert_eq!(*posted(ledger.decide(payment)), expected);

    // The connection that reads is another one, and must see at once what was acknowledged.
    assert_eq!(ledger.read(ledger.reader.transfer(expected.id)), Some(expected.clone()));
    for (account_id, amount) in [(bank, -1_500), (purse, 1_500)] {
        let Account { balance, held, version, .. } = ledger.account(account_id);
        assert_eq!((balance, held, version), (money(amount), money(0), 2));
        let entry = Entry {
            account_id,
            seq: 1,
            transfer_id: expected.id,
            amount: money(amount),
            balance: money(amount),
            created_at: second(5),
        };
        assert_eq!(ledger.entries(account_id), [entry]);
    }
    let head = ledger.audit().head;
    assert_eq!((head.seq, head.at), (1, second(5)));
    assert_eq!(ledger.read(ledger.reader.transfer(TransferId::from_uuid(Uuid::max()))), None);
}

pub(crate) fn entries_carry_the_running_balance(mut ledger: Ledger) {
    let (bank, purse, other) = (ledger.bank(), ledger.purse(), ledger.purse());
    for (debit, credit, amount) in
        [(bank, purse, 100), (purse, other, 30), (bank, other, 1), (other, purse, 31), (purse, bank, 101)]
    {
        ledger.pay(debit, credit, amount);
    }
    let history = |account| -> Vec<_> {
        let entries = ledger.entries(account).into_iter();
        entries.map(|entry| (entry.seq, entry.amount.minor_units(), entry.balance.minor_units())).collect()
    };
    assert_eq!(history(purse), [(5, -101, 0), (4, 31, 101), (2, -30, 70), (1, 100, 100)]);
    assert_eq!(history(other), [(4, -31, 0), (3, 1, 31), (2, 30, 30)]);
    assert_eq!(history(bank), [(5, 101, 0), (3, -1, -101), (1, -100, -100)]);
    assert_eq!([bank, purse, other].map(|account| ledger.account(account).version), [4, 5, 4]);
    ledger.audit();
}

pub(crate) fn what_a_caller_says_of_a_transfer_is_kept(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    // Metadata is opaque: order, numbers and escapes stay as they were written, U+0000 among them.
    let metadata = r#"{"z":1.0,"a":1e400,"10":-0,"é":"\u0000\ud83e\udd80","n":{"z":[null,true],"a":{}}}"#;
    let widest = "🦀".repeat(512);
    let largest = format!(r#"{{"k":"{}"}}"#, "ü".repeat(2_040));
    let said = [
        (None, None, None),
        (Some("Miete für Juni – ça va? 家賃 e\u{301}"), Some(metadata), Some("INV-2026/0001 #7")),
        (Some("'); drop table transfers; --"), Some("{}"), Some("\\x00%_")),
        (Some(&*widest), Some(&*largest), Some(&widest[..4 * 128])),
    ];
    let mut kept = Vec::new();
    for (number, (description, metadata, reference)) in said.into_iter().enumerate() {
        let terms = Terms {
            description: description.map(|text| text.parse().unwrap()),
            metadata: metadata.map(Into::into),
            reference: reference.map(|text| text.parse().unwrap()),
            ..euros(bank, purse, 1)
        };
        let request = ledger.request(OPERATOR, &format!("said-{number}"), terms.clone());
        let transfer = posted(ledger.decide(request));
        assert_eq!(transfer.terms, terms);
        kept.push(transfer);
    }
    let ledger = ledger.reopened();
    for transfer in kept {
        assert_eq!(ledger.read(ledger.reader.transfer(transfer.id)).as_ref(), Some(&*transfer));
    }
    ledger.audit();
}

pub(crate) fn refusals_move_nothing_and_take_no_number(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 10);
    let (accounts, head) = (ledger.accounts(), ledger.head());

    let poor = ledger.payment(purse, bank, 11);
    let poor_id = poor.id;
    let available = money(10);
    assert_eq!(rejected(ledger.decide(poor)), Rejection::InsufficientFunds { available });
    let lost = ledger.payment(purse, NOWHERE, 1);
    let side = Side::Credit;
    assert_eq!(rejected(ledger.decide(lost)), Rejection::AccountNotFound { side });

    assert_eq!((ledger.accounts(), ledger.head()), (accounts, head));
    assert_eq!(ledger.read(ledger.reader.transfer(poor_id)), None);
    assert_eq!(ledger.pay(purse, bank, 10).seq, head.seq + 1);
    assert_eq!(ledger.audit().rows.transfers, 2);
}

pub(crate) fn only_owner_and_operator_debit_an_account(mut ledger: Ledger) {
    let (alice, bob) = (ledger.user("alice"), ledger.user("bob"));
    let (bank, purse) = (ledger.bank(), ledger.purse_of(alice));
    ledger.pay(bank, purse, 10);

    let theft = ledger.request(bob, "k", euros(purse, bank, 1));
    assert_eq!(ledger.decide(theft), Outcome::Forbidden);
    assert_eq!(ledger.balance(purse), 10);
    // Its key is still free.
    let gift = ledger.request(bob, "k", euros(purse, bank, 2));
    assert_eq!(ledger.decide(gift), Outcome::Forbidden);

    for actor in [alice, OPERATOR] {
        let own = ledger.request(actor, "k", euros(purse, bank, 1));
        posted(ledger.decide(own));
    }
    assert_eq!(ledger.balance(purse), 8);
    ledger.audit();
}

pub(crate) fn a_floor_is_reached_and_not_passed(mut ledger: Ledger) {
    let purse = ledger.purse();
    let opening = OpenAccount { min_balance: Some(money(-10)), ..ledger.opening(OPERATOR.id) };
    let overdraft = opened(ledger.decide(opening)).id;
    ledger.pay(overdraft, purse, 10);
    let beyond = ledger.payment(overdraft, purse, 1);
    assert_eq!(
        rejected(ledger.decide(beyond)),
        Rejection::InsufficientFunds { available: money(-10) },
        "what is available is told before the floor is looked at"
    );
    assert_eq!(ledger.balance(overdraft), -10);
    ledger.audit();
}

pub(crate) fn amounts_and_balances_reach_the_ends_of_their_range(mut ledger: Ledger) {
    let (source, other, sink) = (ledger.bank(), ledger.bank(), ledger.purse());
    let most = most().money().minor_units();
    let transfer = ledger.pay(source, sink, most);
    assert_eq!((ledger.balance(source), ledger.balance(sink)), (-most, most));
    assert_eq!(
        ledger.read(ledger.reader.transfer(transfer.id)).map(|kept| kept.terms.amount.money()),
        Some(money(most))
    );

    let overflow = |ledger: &mut Ledger, debit: AccountId, credit: AccountId| {
        let payment = ledger.payment(debit, credit, 1);
        rejected(ledger.decide(payment))
    };
    let (debit, credit) = (Side::Debit, Side::Credit);
    assert_eq!(overflow(&mut ledger, source, other), Rejection::BalanceOverflow { side: debit });
    assert_eq!(overflow(&mut ledger, other, sink), Rejection::BalanceOverflow { side: credit });
    let mut ledger = ledger.reopened();
    ledger.audit();

    ledger.pay(sink, source, most);
    assert_eq!((ledger.balance(source), ledger.balance(sink)), (0, 0));
    ledger.audit();
}
