//! The lane and a store: what it promises at its end.

use futures_util::FutureExt;

use super::*;
use crate::models::Role;
use crate::services::users::register_command;
use crate::store::{Location, Store};

fn register(name: &str) -> Command {
    register_command(name.parse().unwrap(), Role::User, "no hash".to_owned())
}

#[tokio::test]
async fn a_lane_that_is_settled_has_stored_what_it_took_and_takes_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::Sqlite { directory: directory.path().to_owned() }).unwrap();
    // One command a batch, so that most of them wait behind the one under way.
    let (lane, thread) = PostingLane::start(store.writer().unwrap(), 16, 1).unwrap();
    let ledger = rusqlite::Connection::open(directory.path().join("ledger.db")).unwrap();
    ledger.execute_batch("begin immediate").unwrap();
    let mut taken: Vec<_> =
        ["anna", "bert", "carl", "dora"].map(|name| Box::pin(lane.submit(register(name)))).into();
    for command in &mut taken {
        assert!(command.now_or_never().is_none(), "the store is locked");
    }
    let mut settled = Box::pin(lane.settle());
    assert!((&mut settled).now_or_never().is_none(), "much is still to be stored");
    ledger.execute_batch("rollback").unwrap();
    settled.await.unwrap();
    for command in taken {
        assert!(matches!(command.now_or_never(), Some(Ok(Outcome::Registered(_)))));
    }
    assert_eq!(lane.submit(register("late")).await.unwrap_err(), LaneError::Ended);
    assert_eq!(lane.check().await.unwrap_err(), LaneError::Ended);
    drop(lane);
    thread.join().unwrap();
}
