//! The promises of both engines, kept over real sockets by one set of cases.

mod connected;
mod http;
mod lifetime;
mod listener;
mod queues;
mod schedule;
mod stream;

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::thread;
use std::time::Duration;

use hyper::rt::ReadBuf;
use tokio::time::timeout;

use super::ring::in_flight;
use super::*;

/// Ends a case that hangs. Far above what any case takes.
const PATIENCE: Duration = Duration::from_secs(20);

const OPTIONS: ListenOptions = ListenOptions { backlog: 64, write_stall: Duration::from_secs(10) };

/// Makes each named case a test on each engine.
macro_rules! on_both_engines {
    ($($case:ident)+) => {
        mod uring { $(#[test] fn $case() { super::$case::<crate::runtime::RingListener>(); })+ }
        mod epoll { $(#[test] fn $case() { super::$case::<crate::runtime::EpollListener>(); })+ }
    };
}
use on_both_engines;

/// The same, and on a ring that does not sleep and on one whose reads hold no buffer.
macro_rules! in_every_mode {
    ($($case:ident)+) => {
        on_both_engines! { $($case)+ }
        mod turning { $(#[test] fn $case() { super::$case::<super::TurningListener>(); })+ }
        mod watching { $(#[test] fn $case() { super::$case::<super::WatchingListener>(); })+ }
    };
}
use in_every_mode;

trait OnEngine: Listener {
    const BUSY_POLL: BusyPoll = BusyPoll::Off;

    fn engine() -> Engine;
}

impl OnEngine for RingListener {
    fn engine() -> Engine {
        choose(IoMode::Uring).unwrap().engine
    }
}

impl OnEngine for EpollListener {
    fn engine() -> Engine {
        choose(IoMode::Epoll).unwrap().engine
    }
}

/// A ring with busy polling, or whose streams are told that bytes come late.
struct ModeListener<const TURNS: bool, const WATCHES: bool>(RingListener);
type TurningListener = ModeListener<true, false>;
type WatchingListener = ModeListener<false, true>;

impl<const TURNS: bool, const WATCHES: bool> OnEngine for ModeListener<TURNS, WATCHES> {
    const BUSY_POLL: BusyPoll = if TURNS { BusyPoll::Always } else { BusyPoll::Off };

    fn engine() -> Engine {
        RingListener::engine()
    }
}

impl<const TURNS: bool, const WATCHES: bool> Listener for ModeListener<TURNS, WATCHES> {
    type Stream = RingStream;

    fn from_std(listener: impl Into<ListenSocket>) -> io::Result<Self> {
        RingListener::from_std(listener).map(Self)
    }

    async fn accept(&mut self) -> io::Result<RingStream> {
        let mut stream = self.0.accept().await?;
        stream.expect_soon(!WATCHES);
        Ok(stream)
    }

    async fn drain(self) -> Vec<RingStream> {
        let mut streams = self.0.drain().await;
        for stream in &mut streams {
            stream.expect_soon(!WATCHES);
        }
        streams
    }
}

/// Runs `server` on the engine against `client` on a thread, and checks that nothing is left in
/// flight.
fn converse<L: OnEngine, S, C: Send + 'static>(
    options: ListenOptions,
    server: impl AsyncFnOnce(L) -> S,
    client: impl FnOnce(SocketAddr) -> C + Send + 'static,
) -> (S, C) {
    let socket = listen(options);
    let addr = socket.local_addr().unwrap();
    let client = thread::spawn(move || client(addr));
    let served = run::<L, _>(async { server(L::from_std(socket).unwrap()).await });
    (served, client.join().unwrap())
}

/// As [`converse`] with the one connection that the client makes.
fn serve_one<L: OnEngine, S, C: Send + 'static>(
    server: impl AsyncFnOnce(L::Stream) -> S,
    client: impl FnOnce(std::net::TcpStream) -> C + Send + 'static,
) -> (S, C) {
    converse(
        OPTIONS,
        async |mut listener: L| {
            let stream = listener.accept().await.unwrap();
            listener.drain().await;
            server(stream).await
        },
        |addr| client(std::net::TcpStream::connect(addr).unwrap()),
    )
}

fn listen(options: ListenOptions) -> TcpListener {
    let any_port = ([127, 0, 0, 1], 0).into();
    bind(any_port, NonZeroUsize::MIN, options).unwrap().remove(0)
}

fn run<L: OnEngine, F: Future>(future: F) -> F::Output {
    let turning = async {
        busy_poll(L::engine(), L::BUSY_POLL).await;
        pending::<Infallible>().await
    };
    let output = block_on(L::engine(), async {
        tokio::select! {
            biased;
            output = timeout(PATIENCE, future) => output,
            never = turning => match never {},
        }
    });
    assert_eq!(in_flight(), 0);
    output.unwrap().expect("the case hangs")
}

/// One read of at most `limit` bytes; empty at the end of the stream.
async fn read<S: Stream>(stream: &mut S, limit: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; limit];
    let count = poll_fn(|cx| {
        let mut filled = ReadBuf::new(&mut buffer);
        ready!(Pin::new(&mut *stream).poll_read(cx, filled.unfilled()))?;
        Poll::Ready(io::Result::Ok(filled.filled().len()))
    })
    .await?;
    buffer.truncate(count);
    Ok(buffer)
}

/// Writes all of `bytes` and kicks after every poll, as the driver of a connection does.
async fn write_all<S: Stream>(stream: &mut S, mut bytes: &[u8]) -> io::Result<()> {
    let kicker = stream.kicker();
    while !bytes.is_empty() {
        let count = poll_fn(|cx| {
            let written = Pin::new(&mut *stream).poll_write(cx, bytes);
            if let Poll::Ready(Err(error)) = kicker.kick(cx) {
                return Poll::Ready(Err(error));
            }
            written
        })
        .await?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Bytes that differ from their neighbours, so that loss, doubling and reordering show.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect()
}
