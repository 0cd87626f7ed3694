//! Lines of a ledger file read and written again, without a store, for the targets of `fuzz/`. No part of the interface.

use super::lines::{AccountLine, BadMember, EventLine, KeyLine, Line, UserLine, head};
use crate::models::Account;
use crate::store::Credentials;
use crate::store::audit::KeptKey;

/// A line other than the first as `export` would write what `import` reads from it; `None` where that refuses it.
pub fn rewritten(line: &[u8]) -> Option<Result<Vec<u8>, BadMember>> {
    let again = again(serde_json::from_slice(line).ok()?)?;
    Some(again.and_then(|line| serde_json::to_vec(&line).map_err(|_| BadMember("line"))))
}

fn again(line: Line) -> Option<Result<Line, BadMember>> {
    Some(match line {
        Line::User(user) => Ok(Line::User(UserLine::from(&Credentials::try_from(user).ok()?))),
        Line::Account(account) => Ok(Line::Account(AccountLine::from(&Account::try_from(account).ok()?))),
        Line::Event(event) => {
            let (event, hash) = event.into_event().ok()?;
            EventLine::of(&event, hash).map(Line::Event)
        }
        Line::Key(key) => KeyLine::try_from(&KeptKey::try_from(key).ok()?).map(Line::Key),
        Line::End(end) => {
            head(&end.head).ok()?;
            Ok(Line::End(end))
        }
    })
}
