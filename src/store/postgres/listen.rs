//! Hears that some server has committed, by `LISTEN`. A notification carries nothing that anybody relies on: it only
//! says that the log may have grown.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{Carrier, Dialled, Options, dial, guards};
use crate::store::StoreError;

/// The channel that batches notify, in the transaction that they commit.
const CHANNEL: &str = "ringledger_events";

/// How long it waits before it connects again. Readers look by themselves each second meanwhile.
const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// How often it looks whether its connection is still there: a quiet one may have ended without a word.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Listens on a connection of its own, on tokio's sockets, made when it is first asked and made anew when it is lost.
#[derive(Debug)]
pub struct Listener {
    options: Arc<Options>,
    connection: Option<Dialled>,
    /// Whether the last attempt to connect failed, which was told then.
    failing: bool,
}

impl Listener {
    pub(super) const fn new(options: Arc<Options>) -> Self {
        Self { options, connection: None, failing: false }
    }

    /// Returns when something may have been committed: at a notification, and when it is connected anew, since what was
    /// notified before went unheard.
    pub async fn heard(&mut self) {
        loop {
            let Some(connection) = &self.connection else {
                if self.try_connect().await {
                    return;
                }
                sleep(RECONNECT_AFTER).await;
                continue;
            };
            tokio::select! {
                () = connection.notified.notified() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            if !is_alive(connection).await {
                self.connection = None;
            }
        }
    }

    /// Gives the connection up, while nobody needs to hear.
    pub fn rest(&mut self) {
        self.connection = None;
    }

    async fn try_connect(&mut self) -> bool {
        match self.connect().await {
            Ok(connection) => {
                tracing::debug!(place = %connection.place, "listens for commits of other servers");
                self.connection = Some(connection);
                self.failing = false;
                true
            }
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::warn!(%error, "cannot listen for commits of other servers; readers look each second");
                }
                false
            }
        }
    }

    async fn connect(&self) -> Result<Dialled, StoreError> {
        let options = &self.options;
        let connection = dial(&options.target, Carrier::Tokio, options.connect_timeout).await?;
        connection.client.batch_execute(&guards(options.statement_timeout)).await?;
        connection.client.batch_execute(&format!("listen {CHANNEL}")).await?;
        Ok(connection)
    }
}

/// Whether the server still answers.
async fn is_alive(connection: &Dialled) -> bool {
    let answer = tokio::time::timeout(LOOK_EVERY, connection.client.batch_execute(""));
    matches!(answer.await, Ok(Ok(())))
}
