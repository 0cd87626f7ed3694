//! A stream that notes what passes through it, and gives back what hyper had read too far. Knows nothing of
//! what is done about it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use hyper::rt::{Read, ReadBufCursor, Write};

use super::activity::Activity;
use crate::runtime::Stream;

pub(super) struct Watched<S> {
    pub(super) stream: S,
    activity: Rc<Activity>,
    /// Read before hyper was put on, and to be read first.
    replay: Bytes,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, activity: Rc<Activity>) -> Self {
        Self { stream, activity, replay: Bytes::new() }
    }

    /// Takes back what hyper has read and not used.
    pub(super) fn put_back(&mut self, read: Bytes) {
        if read.is_empty() {
            // It would keep the buffer that it was a part of.
            return;
        }
        if self.replay.is_empty() {
            self.replay = read;
        } else {
            self.replay = [read, std::mem::take(&mut self.replay)].concat().into();
        }
    }

    /// Whether a read would give something at once.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.replay.is_empty()
    }
}

impl<S: Stream> Read for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.replay.is_empty() {
            let count = self.replay.len().min(cursor.remaining());
            cursor.put_slice(&self.replay[..count]);
            self.replay.advance(count);
            if self.replay.is_empty() {
                // Frees what it was a part of.
                self.replay = Bytes::new();
            }
            self.activity.bytes_came();
            return Poll::Ready(Ok(()));
        }
        let brisk = self.activity.is_brisk();
        self.stream.expect_soon(brisk);
        let polled = Pin::new(&mut self.stream).poll_read(cx, cursor);
        if let Poll::Ready(Ok(())) = polled {
            self.activity.bytes_came();
        }
        polled
    }
}

impl<S: Stream> Write for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.activity.wrote(&polled);
        polled
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.activity.is_detaching() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
