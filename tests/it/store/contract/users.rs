//! Users: names, credentials and the operator that every ledger has.

use ringledger::models::event::ChainHash;
use ringledger::models::posting::{Command, Outcome, RegisterUser};
use ringledger::models::user::{BUILT_IN_OPERATOR, BUILT_IN_OPERATOR_NAME};
use ringledger::models::{Role, User, UserId};
use uuid::Uuid;

use crate::store::ledger::{Ledger, second};

pub(crate) fn a_new_ledger_has_an_operator_and_nothing_else(ledger: Ledger) {
    let user = ledger.read(ledger.reader.user(BUILT_IN_OPERATOR)).expect("the operator");
    assert_eq!((user.username.as_str(), user.role), (BUILT_IN_OPERATOR_NAME, Role::Operator));
    assert_eq!(user.id.to_string(), "01900000-0000-7000-8000-000000000001", "a fixed id");
    let credentials = ledger.read(ledger.reader.credentials(BUILT_IN_OPERATOR_NAME)).expect("the operator");
    assert_eq!((credentials.user, credentials.password_hash), (user, None));

    assert_eq!(ledger.accounts(), []);
    let audited = ledger.audit();
    assert_eq!((audited.head.seq, audited.head.hash), (0, ChainHash::default()));
    assert_eq!((audited.accounts, audited.rows.transfers, audited.rows.entries), (0, 0, 0));
}

pub(crate) fn a_user_is_kept_as_registered(mut ledger: Ledger) {
    ledger.clock = second(7);
    let registration = RegisterUser { role: Role::Operator, ..ledger.registration("Anna.B+c@example-1") };
    let expected = User {
        id: registration.id,
        username: registration.username.clone(),
        role: Role::Operator,
        created_at: second(7),
    };
    assert_eq!(ledger.decide(registration.clone()), Outcome::Registered(expected.clone()));
    let ledger = ledger.reopened();
    assert_eq!(ledger.read(ledger.reader.user(expected.id)), Some(expected.clone()));
    let credentials = ledger.read(ledger.reader.credentials("Anna.B+c@example-1")).expect("the user");
    assert_eq!(credentials.user, expected);
    assert_eq!(credentials.password_hash, Some(registration.password_hash));
}

pub(crate) fn names_are_unique_whatever_their_case(mut ledger: Ledger) {
    ledger.user("Alice");
    for taken in ["Alice", "alice", "ALICE", "operator", "OPERATOR"] {
        let registration = ledger.registration(taken);
        let id = registration.id;
        assert_eq!(ledger.decide(registration), Outcome::UsernameTaken, "{taken}");
        assert_eq!(ledger.read(ledger.reader.user(id)), None, "{taken}");
    }
    let twins = ["bob", "BOB"].map(|name| Command::RegisterUser(ledger.registration(name)));
    let outcomes = ledger.commit(&twins);
    assert!(matches!(outcomes[..], [Outcome::Registered(_), Outcome::UsernameTaken]), "{outcomes:?}");
}

pub(crate) fn credentials_are_found_whatever_the_names_case(mut ledger: Ledger) {
    let kim = ledger.user("Kim_1").id;
    let id_of = |name: &str| ledger.read(ledger.reader.credentials(name)).map(|found| found.user.id);
    for name in ["Kim_1", "kim_1", "KIM_1"] {
        assert_eq!(id_of(name), Some(kim), "{name}");
    }
    // No patterns, no padding, and case is that of ASCII: U+212A is no `k`, although Unicode folds it to one.
    for name in ["", "kim", "kimx1", "kim%", "%", " kim_1", "kim_1 ", "\u{212a}im_1", "kim_1\0", "' or 1=1--"]
    {
        assert_eq!(id_of(name), None, "{name:?}");
    }
}

pub(crate) fn an_unknown_user_is_not_found(ledger: Ledger) {
    assert_eq!(ledger.read(ledger.reader.user(UserId::from_uuid(Uuid::max()))), None);
}
