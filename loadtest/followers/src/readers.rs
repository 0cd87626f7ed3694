//! Readers of events on one thread: what each was told is compared with what it had to be told.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{Connection, runtime, seq};
use crate::ledger::Ledger;
use crate::server::Server;

/// What one account's reader, or with `None` an operator, was told.
struct Told {
    account: Option<usize>,
    numbers: Vec<u64>,
}

/// Running readers.
pub(crate) struct Readers<'scope> {
    thread: ScopedJoinHandle<'scope, io::Result<(Vec<Told>, Stuck)>>,
    stop: watch::Sender<bool>,
    after: u64,
    told: Arc<AtomicU64>,
}

/// What became of the reader that did not read.
struct Stuck {
    /// The code it was closed with, if that could still be sent.
    code: Option<u16>,
    bytes: usize,
    ended: bool,
}

/// What came of it.
pub(crate) struct Followed {
    frames: usize,
    wrong: usize,
    missing: usize,
    stuck: Stuck,
}

impl Followed {
    pub(crate) const fn is_fine(&self) -> bool {
        self.wrong == 0 && self.missing == 0 && self.stuck.ended
    }

    pub(crate) fn report(&self) -> Value {
        json!({
            "frames": self.frames,
            "readers_told_otherwise": self.wrong,
            "events_missing": self.missing,
            "stuck": {"ended": self.stuck.ended, "code": self.stuck.code, "bytes_read_then": self.stuck.bytes},
        })
    }
}

/// Starts one reader an account, so many of everything, and one of everything that does not read.
pub(crate) fn follow<'scope, 'env>(
    scope: &'scope Scope<'scope, 'env>,
    ledger: &'env Ledger,
    server: &'env Server,
    operators: usize,
) -> io::Result<Readers<'scope>> {
    let after = ledger.head();
    let (stop, stopped) = watch::channel(false);
    let ready = Arc::new(Barrier::new(2));
    let told = Arc::new(AtomicU64::new(0));
    let (is_ready, counted) = (Arc::clone(&ready), Arc::clone(&told));
    let runtime = runtime()?;
    let thread = scope.spawn(move || {
        runtime.block_on(async move {
            let opened = open_all(ledger, server.address, after, operators).await;
            // Also when it failed, or the other side would wait.
            is_ready.wait();
            let (stuck, readers) = opened?;
            let mut tasks = JoinSet::new();
            for (account, connection) in readers {
                tasks.spawn(read(account, connection, stopped.clone(), Arc::clone(&counted)));
            }
            let told = tasks.join_all().await;
            Ok((told, drain(stuck).await))
        })
    });
    ready.wait();
    Ok(Readers { thread, stop, after, told })
}

type Opened = (TcpStream, Vec<(Option<usize>, Connection)>);

async fn open_all(ledger: &Ledger, address: SocketAddr, after: u64, operators: usize) -> io::Result<Opened> {
    let narrow = TcpSocket::new_v4()?;
    narrow.set_recv_buffer_size(4096)?;
    let stuck = upgraded(Connection::over(narrow.connect(address).await?)?, ledger, after, None).await?;
    let everything = std::iter::repeat_n(None, operators);
    let mut readers = Vec::new();
    for account in everything.chain((0..ledger.accounts.len()).map(Some)) {
        let connection = Connection::open(address).await?;
        readers.push((account, upgraded(connection, ledger, after, account).await?));
    }
    Ok((stuck.into_parts().0, readers))
}

async fn upgraded(
    mut connection: Connection,
    ledger: &Ledger,
    after: u64,
    account: Option<usize>,
) -> io::Result<Connection> {
    let filter = account.map(|place| format!("&account={}", ledger.accounts[place])).unwrap_or_default();
    let token = &ledger.token;
    let reply = connection
        .call(&format!(
            "GET /api/v1/events?after={after}{filter} HTTP/1.1\r\nHost: ledger\r\nAuthorization: Bearer {token}\r\n\
             Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await?;
    match reply.status {
        101 => Ok(connection),
        status => Err(io::Error::other(format!("{status} to a handshake"))),
    }
}

/// Reads until it is stopped or the server ends it.
async fn read(
    account: Option<usize>,
    connection: Connection,
    mut stopped: watch::Receiver<bool>,
    counted: Arc<AtomicU64>,
) -> Told {
    let (mut stream, mut unread) = connection.into_parts();
    let mut numbers = Vec::new();
    loop {
        while let Some((length, payload)) = frame(&unread) {
            if unread[0] == 0x81
                && !payload.starts_with(b"{\"type\":\"position\"")
                && let Some(seq) = seq(payload)
            {
                numbers.push(seq);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            unread.drain(..length);
        }
        tokio::select! {
            read = stream.read_buf(&mut unread) => if !matches!(read, Ok(1..)) { break },
            _ = stopped.wait_for(|&stop| stop) => break,
        }
    }
    Told { account, numbers }
}

/// The first frame of a server's bytes: how long it is, and its payload.
fn frame(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        length => (2, usize::from(length)),
    };
    Some((head + length, bytes.get(head..head + length)?))
}

/// Reads at last what was sent to the one that did not read.
async fn drain(mut stream: TcpStream) -> Stuck {
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut bytes)).await.is_ok();
    let (mut rest, mut code) = (bytes.as_slice(), None);
    while let Some((length, payload)) = frame(rest) {
        if let (0x88, &[high, low, ..]) = (rest[0], payload) {
            code = Some(u16::from_be_bytes([high, low]));
        }
        rest = &rest[length..];
    }
    Stuck { code, bytes: bytes.len(), ended }
}

impl Readers<'_> {
    /// Waits until all were told what they had to be, at most so long, and compares.
    pub(crate) fn finish(self, ledger: &Ledger, patience: Duration) -> io::Result<Followed> {
        let everything = ledger.numbers(self.after, None).len() as u64;
        // Each is told to both its accounts; operators are told all.
        let begin = Instant::now();
        let mut seen = 0;
        while begin.elapsed() < patience {
            std::thread::sleep(Duration::from_millis(200));
            let now = self.told.load(Ordering::Relaxed);
            if now >= 2 * everything && now == std::mem::replace(&mut seen, now) {
                break;
            }
        }
        self.stop.send_replace(true);
        let (told, stuck) = self.thread.join().map_err(|_| io::Error::other("a reader panicked"))??;
        let mut followed = Followed { frames: 0, wrong: 0, missing: 0, stuck };
        for Told { account, numbers } in told {
            let wanted = ledger.numbers(self.after, account);
            followed.frames += numbers.len();
            followed.missing += wanted.len().saturating_sub(numbers.len());
            followed.wrong += usize::from(numbers != wanted);
        }
        Ok(followed)
    }
}
