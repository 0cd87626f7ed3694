//! A key of any command tells what was told first, also when the transfer has changed since.

use ringledger::models::posting::{BatchRequest, Command, ExpireHolds, HoldRequest, Outcome};
use ringledger::models::{Hold, TransferStatus};

use crate::store::ledger::{Ledger, euros, posted, rejected, replay_of, second};

/// Commands with every outcome that a key can keep, and what each was told. Most of the transfers go on to change.
fn decided(ledger: &mut Ledger) -> Vec<(Command, Outcome)> {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    ledger.pay(bank, purse, 1_000);
    let paid = ledger.payment(purse, bank, 30);
    let holds = [20, 10, 5].map(|amount| ledger.holding(purse, bank, amount, Some(60)));
    let [posted_hold, voided, due] = holds.each_ref().map(|hold| hold.id);
    let orders = [
        (euros(purse, bank, 1), None),
        (euros(purse, purse, 1), None),
        (euros(purse, bank, 2), Some(Hold { timeout_s: Some(60) })),
    ];
    let [many, refused] = [false, true].map(|atomic| ledger.many(atomic, orders.clone()));
    let changed_later = [many.items[0].id, many.items[2].id];
    let mut commands = vec![Command::Transfer(paid.clone())];
    commands.extend(holds.map(Command::Transfer));
    commands.extend([
        Command::Resolve(ledger.posting(posted_hold, Some(21))),
        Command::Resolve(ledger.posting(posted_hold, Some(7))),
        Command::Resolve(ledger.voiding(voided)),
        Command::Resolve(ledger.voiding(posted_hold)),
        Command::Reverse(ledger.reversal(voided)),
        Command::Reverse(ledger.reversal(paid.id)),
        Command::Reverse(ledger.reversal(paid.id)),
        Command::Batch(many),
        Command::Batch(refused),
    ]);
    let told = ledger.commit(&commands);
    let changes = [
        Command::Reverse(ledger.reversal(posted_hold)),
        Command::Reverse(ledger.reversal(changed_later[0])),
        Command::Resolve(ledger.posting(changed_later[1], Some(1))),
    ];
    ledger.commit(&changes).into_iter().for_each(|outcome| drop(posted(outcome)));
    ledger.clock = second(60);
    assert_eq!(ledger.decide(ExpireHolds { limit: 10 }), Outcome::Expired(1));
    assert_eq!(ledger.transfer(due).status, TransferStatus::Expired);
    commands.into_iter().zip(told).collect()
}

pub(crate) fn every_command_is_told_the_same_after_a_restart(mut ledger: Ledger) {
    let decided = decided(&mut ledger);
    let kinds = decided.iter().map(|(_, outcome)| match outcome {
        Outcome::Transferred { .. } => 't',
        Outcome::Rejected { .. } => 'r',
        Outcome::Batch { .. } => 'b',
        other => panic!("{other:?}"),
    });
    assert_eq!(kinds.collect::<String>(), "ttttrttrrtrbb");
    let (accounts, rows) = (ledger.accounts(), ledger.audit().rows);
    let replays: Vec<_> = decided.iter().map(|(_, outcome)| replay_of(outcome)).collect();
    let mut ledger = ledger.reopened();
    let again: Vec<_> = decided.iter().map(|(command, _)| ledger.sent_again(command)).collect();
    assert_eq!(ledger.commit(&again), replays, "in one batch");
    let mut ledger = ledger.abandoned();
    for (command, replay) in again.into_iter().zip(&replays) {
        assert_eq!(ledger.decide(command), *replay);
    }
    assert_eq!((ledger.accounts(), ledger.audit().rows), (accounts, rows));
}

pub(crate) fn a_second_use_in_the_same_batch_is_a_replay_of_any_command(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let [one, two] = [1, 2].map(|amount| ledger.reserve(bank, purse, amount, None));
    let paid = ledger.pay(bank, purse, 5);
    let commands = [
        Command::Resolve(ledger.posting(one.id, None)),
        Command::Resolve(ledger.voiding(two.id)),
        Command::Resolve(ledger.voiding(one.id)),
        Command::Reverse(ledger.reversal(paid.id)),
        Command::Batch(ledger.many(true, [(euros(bank, purse, 1), None)])),
    ];
    let twice: Vec<_> =
        commands.iter().flat_map(|command| [command.clone(), ledger.sent_again(command)]).collect();
    let told = ledger.commit(&twice);
    for pair in told.chunks(2) {
        assert_eq!(pair[1], replay_of(&pair[0]));
    }
    assert_eq!((ledger.funds(purse), ledger.head().seq), ((2, 0), 7));
    ledger.audit();
}

pub(crate) fn one_key_serves_one_action(mut ledger: Ledger) {
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let hold = ledger.reserve(bank, purse, 5, None);
    let post = ledger.posting(hold.id, None);
    let key = post.key.clone();
    posted(ledger.decide(post));
    let mut ledger = ledger.reopened();
    let others = [
        Command::Resolve(HoldRequest { key: key.clone(), ..ledger.posting(hold.id, Some(5)) }),
        Command::Resolve(HoldRequest { key: key.clone(), ..ledger.voiding(hold.id) }),
        Command::Batch(BatchRequest { key, ..ledger.many(false, [(euros(bank, purse, 5), None)]) }),
    ];
    assert_eq!(ledger.commit(&others), [const { Outcome::KeyReused }; 3]);
    ledger.audit();
}

pub(crate) fn keys_of_any_command_are_free_after_a_day(mut ledger: Ledger) {
    let decided = decided(&mut ledger);
    let mut ledger = ledger.reopened();
    ledger.clock = second(100_000);
    let again: Vec<_> = decided.iter().map(|(command, _)| ledger.sent_again(command)).collect();
    let told = ledger.commit(&again);
    assert!(told.iter().all(|outcome| !replayed(outcome)), "{told:?}");
    // What was posted, voided and reversed the day before is not once more.
    for place in [5, 6, 9] {
        rejected(told[place].clone());
    }
    // The records of the new day have taken the place of those of the day before.
    let mut ledger = ledger.reopened();
    let once_more: Vec<_> = again.iter().map(|command| ledger.sent_again(command)).collect();
    assert_eq!(ledger.commit(&once_more), told.iter().map(replay_of).collect::<Vec<_>>());
    ledger.audit();
}

const fn replayed(outcome: &Outcome) -> bool {
    matches!(
        outcome,
        Outcome::Transferred { replayed: true, .. }
            | Outcome::Rejected { replayed: true, .. }
            | Outcome::Batch { replayed: true, .. }
    )
}
