//! A conversation over a stream in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;

use hyper::rt::ReadBufCursor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::server::connection::activity::Activity;
use crate::web::websocket::Message;

/// Short, so that a test takes no time; what is tested waits for frames and not for time.
const PING_EVERY: Duration = Duration::from_millis(5);
/// What the stream takes before its other end reads.
const HELD_BYTES: usize = 64;

const PING: &[u8] = b"\x89\x00";
const PONG: &[u8] = b"\x8a\x80\0\0\0\0";

/// One end of a pipe as a connection.
struct Pipe(TokioIo<DuplexStream>);

/// Sends nothing by itself: a pipe takes what is written.
struct NoKick;

impl Kick for NoKick {
    fn kick(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn peer_ended(&self) -> bool {
        false
    }
}

impl Read for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, cursor)
    }
}

impl Write for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Stream for Pipe {
    type Kicker = NoKick;

    fn kicker(&self) -> NoKick {
        NoKick
    }

    fn peer_addr(&self) -> SocketAddr {
        ([127, 0, 0, 1], 1).into()
    }

    async fn rest(&mut self) -> io::Result<()> {
        pending().await
    }

    async fn close(self) {}
}

/// Says what it is given, then nothing more.
#[derive(Default)]
struct Script(RefCell<VecDeque<Said>>);

impl Talk for Script {
    fn max_message_bytes(&self) -> usize {
        1024
    }

    fn next(self: Rc<Self>) -> Pin<Box<dyn Future<Output = Said>>> {
        let said = self.0.borrow_mut().pop_front();
        Box::pin(async move {
            match said {
                Some(said) => said,
                None => pending().await,
            }
        })
    }

    fn hear(&self, message: Message) -> Option<Message> {
        Some(message)
    }
}

/// Runs a conversation that says `script`, beside what its peer does.
async fn converse_with<F: Future>(
    script: impl IntoIterator<Item = Said>,
    ping_every: Duration,
    peer: impl FnOnce(DuplexStream) -> F,
) -> (io::Result<()>, F::Output) {
    let (near, far) = duplex(HELD_BYTES);
    let mut watched = Watched::new(Pipe(TokioIo::new(near)), Rc::new(Activity::new()));
    let talk = Rc::new(Script(RefCell::new(script.into_iter().collect())));
    let turns = Turns::default();
    let mut conversation = Conversation::new(&mut watched, talk, &turns, ping_every);
    let speaks = async {
        tokio::select! {
            ended = poll_fn(|cx| conversation.poll(cx)) => ended,
            () = turns.run(crate::runtime::Engine::Epoll) => unreachable!("it runs for ever"),
        }
    };
    tokio::join!(speaks, peer(far))
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test)
}

async fn expect(peer: &mut DuplexStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    peer.read_exact(&mut came).await.unwrap();
    assert_eq!(came, bytes);
}

/// The close frame that is next, agreed to.
async fn agree_to(peer: &mut DuplexStream, close: Close) {
    let length = u8::try_from(close.reason.len() + 2).unwrap();
    let [high, low] = close.code.to_be_bytes();
    expect(peer, &[&[0x88, length, high, low], close.reason.as_bytes()].concat()).await;
    peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, high, low]).await.unwrap();
}

#[test]
fn a_peer_that_answers_pings_stays_and_one_that_does_not_is_closed() {
    let (ended, ()) = run(converse_with([], PING_EVERY, async |mut peer| {
        for _ in 0..5 {
            expect(&mut peer, PING).await;
            peer.write_all(PONG).await.unwrap();
        }
        // By the time of the next but one after an unanswered ping.
        expect(&mut peer, PING).await;
        expect(&mut peer, PING).await;
        agree_to(&mut peer, NOBODY).await;
    }));
    ended.unwrap();
}

#[test]
fn one_that_reads_slowly_is_there() {
    let close = Close { code: 1013, reason: "too far behind" };
    let frame = Bytes::from(vec![b'x'; 40 * HELD_BYTES]);
    let said = [Said::Frames(frame.clone()), Said::End(close)];
    let (ended, ()) = run(converse_with(said, PING_EVERY, async |mut peer| {
        // Many pings become due, and none can be seen before the frame has been read.
        for part in frame.chunks(HELD_BYTES) {
            tokio::time::sleep(PING_EVERY / 2).await;
            expect(&mut peer, part).await;
        }
        let mut next = [0; 2];
        peer.read_exact(&mut next).await.unwrap();
        while next == PING {
            peer.read_exact(&mut next).await.unwrap();
        }
        assert_eq!(next, [0x88, u8::try_from(close.reason.len() + 2).unwrap()]);
        expect(&mut peer, &[&close.code.to_be_bytes(), close.reason.as_bytes()].concat()).await;
        peer.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf5]).await.unwrap();
    }));
    ended.unwrap();
}

#[test]
fn a_ping_comes_between_frames_and_not_within_one() {
    let frame = Bytes::from(vec![b'x'; 4 * HELD_BYTES]);
    let said = [Said::Frames(frame.clone()), Said::Nothing, Said::Frames(frame.clone())];
    let (ended, ()) = run(converse_with(said, PING_EVERY, async |mut peer| {
        // Pings become due while the first frame waits to be read.
        tokio::time::sleep(PING_EVERY + PING_EVERY / 2).await;
        expect(&mut peer, &frame).await;
        expect(&mut peer, PING).await;
        peer.write_all(PONG).await.unwrap();
        expect(&mut peer, &frame).await;
    }));
    ended.unwrap();
}

#[test]
fn all_that_was_said_is_sent_before_the_end() {
    let close = Close { code: 1001, reason: "bye" };
    let frame = Bytes::from(vec![b'x'; 4 * HELD_BYTES]);
    let said = [Said::Frames(frame.clone()), Said::End(close)];
    let (ended, ()) = run(converse_with(said, Duration::from_mins(1), async |mut peer| {
        peer.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
        expect(&mut peer, &frame).await;
        expect(&mut peer, b"\x81\x02hi").await;
        agree_to(&mut peer, close).await;
    }));
    ended.unwrap();
}

#[test]
fn answers_to_a_peer_that_does_not_read_are_bounded() {
    let (_, took) = run(converse_with([], Duration::from_mins(1), async |mut peer| {
        let ping = b"\x89\x80\0\0\0\0".repeat(1_000);
        let mut sent = 0;
        // Until the other end takes nothing more.
        let wait = Duration::from_millis(200);
        while let Ok(Ok(())) = tokio::time::timeout(wait, peer.write_all(&ping)).await {
            sent += ping.len();
        }
        sent
    }));
    // Each answer of 2 bytes is to 6 that were read.
    assert!(took <= 3 * (ANSWER_BYTES + HELD_BYTES) + 2 * READ_BYTES + HELD_BYTES, "{took} bytes were taken");
}

#[test]
fn a_peer_may_leave_one_ping_unanswered() {
    let mut keep_alive = KeepAlive::default();
    for _ in 0..3 {
        keep_alive.asks();
        assert!(!keep_alive.is_lost());
        keep_alive.is_there();
    }
    keep_alive.asks();
    keep_alive.asks();
    assert!(keep_alive.is_lost());
}
