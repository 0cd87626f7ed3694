//! The listening socket: from bind to the end of the drain. Knows nothing of what is served.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// How long requests in flight may take once a signal asked for the end; bounds what a deployment waits for.
const DRAIN: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT; then calls `draining` and lets what is in flight end.
pub(crate) async fn until_signal(
    address: SocketAddr,
    router: Router,
    draining: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listener = TcpListener::bind(address).await?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    // Replies are small: Nagle's algorithm would hold the second one back for an acknowledgement.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let asked_to_end = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("draining");
        draining();
        begins.notify_one();
    };
    let overdue = async {
        begun.notified().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        ended = axum::serve(listener, router).with_graceful_shutdown(asked_to_end) => ended,
        () = overdue => {
            tracing::warn!("requests in flight outlast the deadline; they end with the process");
            Ok(())
        }
    }
}
