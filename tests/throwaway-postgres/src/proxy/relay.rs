//! One connection through the proxy: two streams, and what is done to the bytes between them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::messages::{Conversation, Meaning};
use super::{CommitLoss, Flow, Shared, State, Trap};

/// Bytes read at once.
const PIECE_BYTES: usize = 16 * 1024;

/// Bounds the wait for a server to finish a commit whose client has gone.
const COMMIT_BOUND: Duration = Duration::from_mins(1);

/// How a relay ends.
enum End {
    /// One side has closed.
    Closed,
    /// Both are to be reset.
    Reset,
    /// The client is to be reset; the server goes on with what it has got.
    Abandon,
}

/// Passes bytes between a client and the server until one of them closes or something is cut.
pub(super) async fn relay(mut client: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    let cuts = state.borrow().cuts;
    let Ok(mut server) = TcpStream::connect(shared.server).await else {
        return reset(client);
    };
    let end = tokio::select! {
        _ = state.wait_for(|state| state.cuts > cuts) => End::Reset,
        end = converse(&mut client, &mut server, &shared) => end.unwrap_or(End::Reset),
    };
    match end {
        End::Closed => {}
        End::Reset => {
            reset(client);
            reset(server);
        }
        End::Abandon => {
            reset(client);
            let _ = timeout(COMMIT_BOUND, finish(server)).await;
        }
    }
}

async fn converse(client: &mut TcpStream, server: &mut TcpStream, shared: &Shared) -> io::Result<End> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let muted = AtomicBool::new(false);
    tokio::select! {
        end = requests(from_client, to_server, shared, &muted) => end,
        end = answers(from_server, to_client, shared, &muted) => end,
    }
}

async fn requests(
    mut client: ReadHalf<'_>,
    mut server: WriteHalf<'_>,
    shared: &Shared,
    muted: &AtomicBool,
) -> io::Result<End> {
    let mut state = shared.state.subscribe();
    let mut conversation = Conversation::default();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = client.read(&mut piece).await?;
        if count == 0 {
            return Ok(End::Closed);
        }
        for message in conversation.hear(&piece[..count]) {
            flowing(&mut state).await;
            if let Meaning::Commit { .. } = message.meaning {
                match shared.spring(commit_loss) {
                    Some(CommitLoss::Request) => return Ok(End::Reset),
                    Some(CommitLoss::Answer) => muted.store(true, Ordering::Relaxed),
                    None => {}
                }
            }
            server.write_all(&message.bytes).await?;
            if muted.load(Ordering::Relaxed)
                && matches!(message.meaning, Meaning::Commit { ends: true } | Meaning::Sync)
            {
                return Ok(End::Abandon);
            }
        }
    }
}

fn commit_loss(trap: Trap) -> Option<CommitLoss> {
    match trap {
        Trap::Commit(loss) => Some(loss),
        Trap::Answer(_) => None,
    }
}

async fn answers(
    mut server: ReadHalf<'_>,
    mut client: WriteHalf<'_>,
    shared: &Shared,
    muted: &AtomicBool,
) -> io::Result<End> {
    let mut state = shared.state.subscribe();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = server.read(&mut piece).await?;
        if count == 0 {
            return Ok(End::Closed);
        }
        flowing(&mut state).await;
        let flow = state.borrow().flow;
        if let Flow::Delay(by) = flow {
            sleep(by).await;
        }
        if muted.load(Ordering::Relaxed) {
            continue;
        }
        let cut = shared.spring(|trap| match trap {
            Trap::Answer(after) => (after < count).then_some(after),
            Trap::Commit(_) => None,
        });
        client.write_all(&piece[..cut.unwrap_or(count)]).await?;
        if cut.is_some() {
            return Ok(End::Reset);
        }
    }
}

/// Waits while the flow is stalled.
async fn flowing(state: &mut watch::Receiver<State>) {
    let _ = state.wait_for(|state| !matches!(state.flow, Flow::Stall)).await;
}

/// Closes with a reset instead of an end, and drops what was not sent (socket(7), `SO_LINGER`).
fn reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
    drop(stream);
}

/// Lets a server do what it has got, then hear that its client has gone.
async fn finish(mut server: TcpStream) -> io::Result<()> {
    server.shutdown().await?;
    let mut unheard = vec![0; PIECE_BYTES];
    while server.read(&mut unheard).await? > 0 {}
    Ok(())
}
