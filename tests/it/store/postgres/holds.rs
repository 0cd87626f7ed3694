//! Looks for holds that are due: what they spare the database, and that they leave it alone when it is away.

use ringledger::models::posting::ExpireHolds;
use ringledger::store::{Store, StoreError};

use super::{Database, location};
use crate::store::ledger::{second, the_end};
use crate::support::postgres::new_cluster;

/// Dead rows that a long snapshot keeps in the index would be walked over by each look.
#[test]
fn a_look_for_what_is_due_begins_where_the_one_before_ended() {
    let database = Database::new();
    let mut ledger = database.ledger();
    let (bank, purse) = (ledger.bank(), ledger.purse());
    let hold = ledger.reserve(bank, purse, 5, Some(10));
    ledger.clock = second(20);
    ledger.decide(ExpireHolds { limit: 10 });
    assert_eq!(ledger.first_due(), None);
    database.query("update transfers set status = 'pending'");
    assert_eq!(ledger.first_due(), None, "nothing that is live can end so early");
    let mut ledger = ledger.reopened();
    assert_eq!(ledger.first_due(), hold.expires_at, "another connection knows nothing yet");
}

#[test]
fn a_look_for_what_is_due_dials_no_database_that_was_just_dialled_in_vain() {
    let mut cluster = new_cluster(&[]);
    let store = Store::open(&location(&cluster.url(&cluster.database().unwrap()))).unwrap();
    let mut writer = store.writer().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        assert_eq!(writer.first_due(the_end()).await.unwrap(), None);
        cluster.kill9().unwrap();
        // The end of the session may be heard of late; then the way to the server is tried and not found.
        for _ in 0..2 {
            while writer.head().await.is_ok() {}
        }
        let look = writer.first_due(the_end()).await;
        assert!(matches!(&look, Err(StoreError::Unavailable(said)) if said.contains("just now")), "{look:?}");
        cluster.start_again().unwrap();
        // Whoever has need of the lane dials, and looks go on.
        writer.head().await.unwrap();
        assert_eq!(writer.first_due(the_end()).await.unwrap(), None);
    });
}
