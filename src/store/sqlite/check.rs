//! What a start looks at before it trusts a database file: its pages, as far as that takes no time, and the end of the
//! log. `verify` looks at everything.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::rows;
use crate::models::event::ChainHash;
use crate::store::StoreError;
use crate::store::columns::head_query;

/// Up to this size all pages are looked at, which takes 0.2 s where they are in memory (`pragma quick_check` of 160,000
/// transfers). Of a larger file only the end of the log is, whose pages were written last.
const CHECKED_BYTES: u64 = 64 << 20;
/// Events at the end of the log whose chain is followed: more than a batch has, and some milliseconds of hashing.
const TAIL_EVENTS: u64 = 10_000;

/// Refuses a file that is damaged. An empty one, or one that no migration has reached, is none.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    // A file that is shorter than its first page says, or that is no database, fails here whatever its size.
    if !connection.table_exists(None, "head")? {
        return Ok(());
    }
    let bytes = path.metadata().map_or(0, |file| file.len());
    if bytes <= CHECKED_BYTES {
        let found: String = connection.query_row("pragma quick_check(1)", (), |row| row.get(0))?;
        if found != "ok" {
            return Err(StoreError::Corrupt(found));
        }
    }
    // One moment of the ledger: a server may be writing to it while another command starts.
    check_tail(&*connection.unchecked_transaction()?)
}

/// The head must be the last event, and the last events must follow from each other.
fn check_tail(connection: &Connection) -> Result<(), StoreError> {
    let Some(head) = connection.query_row(head_query!(), (), rows::head).optional()? else {
        return Err(StoreError::Corrupt("the head record is missing".into()));
    };
    let first = head.seq.saturating_sub(TAIL_EVENTS).max(1);
    let mut query = connection.prepare("select seq, body, hash from events where seq >= ?1 order by seq")?;
    let mut events = query.query([first])?;
    let (mut last, mut seen) = (ChainHash::from_bytes([0; 32]), first - 1);
    while let Some(event) = events.next()? {
        let (seq, body, hash): (u64, Vec<u8>, [u8; 32]) = (event.get(0)?, event.get(1)?, event.get(2)?);
        let hash = ChainHash::from_bytes(hash);
        // What the first one follows is not looked at, unless it is the first of all.
        let follows = (seq == first && first > 1) || last.next(&body) == hash;
        if seq != seen + 1 || !follows {
            return Err(StoreError::Corrupt(format!("event {seq} does not follow from the one before it")));
        }
        (last, seen) = (hash, seq);
    }
    if (seen, last) != (head.seq, head.hash) {
        return Err(StoreError::Corrupt(format!(
            "the log ends with event {seen}, the head says {}",
            head.seq
        )));
    }
    Ok(())
}
