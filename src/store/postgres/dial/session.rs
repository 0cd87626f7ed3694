//! Whether a server is of the kind that `target_session_attrs` asks for. Knows nothing of how it was reached.

use tokio_postgres::{Client, SimpleQueryMessage};

use super::error::Failure;
use crate::store::postgres::target::SessionAttrs;

/// A question to the server, the answer that is wanted, and the words for the other one.
struct Probe {
    query: &'static str,
    wanted: &'static str,
    otherwise: &'static str,
}

const TRANSACTION_READ_ONLY: &str = "show transaction_read_only";
const IS_IN_RECOVERY: &str = "select pg_catalog.pg_is_in_recovery()";

impl SessionAttrs {
    /// What is looked for on all hosts, one after the other.
    pub(in crate::store::postgres) fn passes(self) -> &'static [Self] {
        match self {
            Self::Any => &[Self::Any],
            Self::ReadWrite => &[Self::ReadWrite],
            Self::ReadOnly => &[Self::ReadOnly],
            Self::Primary => &[Self::Primary],
            Self::Standby => &[Self::Standby],
            Self::PreferStandby => &[Self::Standby, Self::Any],
        }
    }

    fn probe(self) -> Option<Probe> {
        let (query, wanted, otherwise) = match self {
            Self::Any | Self::PreferStandby => return None,
            Self::ReadWrite => (TRANSACTION_READ_ONLY, "off", "its sessions are read-only"),
            Self::ReadOnly => (TRANSACTION_READ_ONLY, "on", "its sessions are not read-only"),
            Self::Primary => (IS_IN_RECOVERY, "f", "it is a standby"),
            Self::Standby => (IS_IN_RECOVERY, "t", "it is not a standby"),
        };
        Some(Probe { query, wanted, otherwise })
    }
}

/// Asks the server once, unless any will do.
pub(super) async fn check(client: &Client, wanted: SessionAttrs) -> Result<(), Failure> {
    let Some(probe) = wanted.probe() else { return Ok(()) };
    let replies = client.simple_query(probe.query).await.map_err(|error| Failure::of(&error, false))?;
    let answer = replies.iter().find_map(|reply| match reply {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    if answer == Some(probe.wanted) { Ok(()) } else { Err(Failure::Role(probe.otherwise)) }
}
