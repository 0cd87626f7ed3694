//! Bodies. A request's is collected whole, within a bound of bytes and of patience; its trailers are dropped unread
//! (RFC 9110 §6.5.1), so none can pass for a field of the head. A reply's is whole, or made while it is sent.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::batches::Arrival;
use super::connection::{UnderWay, Untaken};
use crate::api::AppError;
use crate::web::reply::{BodyBroken, Content, Pieces};

/// Bytes a second that earn a body more time than its deadline. Lets a large body take longer on a slow line and
/// ends one that comes by the byte, however long it is declared to be.
const BYTES_PER_SECOND: u32 = 16 * 1024;

/// Bytes of a whole body that hyper is given at a time. hyper copies them behind the head; in pieces it stops at its bound
/// (`WRITE_BOUND`), so that a connection's copy of a large reply stays below 80 KiB.
const PIECE_BYTES: usize = 16 * 1024;

/// The body of a request under way.
pub(super) struct Arriving {
    incoming: Incoming,
    /// Whether the last frame was seen; hyper does not tell it of a chunked body.
    ended: bool,
    /// Whether trailers came. hyper ends their section at the next empty line that ends in CRLF, but takes a bare
    /// LF inside for a line end too; one who lets the section end there sees a request in the rest of it. Nothing
    /// tells us which it was, so a connection does not outlive trailers.
    has_trailers: bool,
}

impl Arriving {
    pub(super) fn new(incoming: Incoming) -> Self {
        let ended = incoming.is_end_stream();
        Self { incoming, ended, has_trailers: false }
    }

    /// Whether nothing of it is still to come.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// The whole body. A declared length beyond the bound is refused before anything is read, so that a client
    /// that expects `100 Continue` is spared the upload. It must have come within `allowed`, and another second
    /// for each 16 KiB of it, without a pause of `allowed`. What comes is counted by `arrival`.
    pub(super) async fn collect(
        &mut self,
        bound_bytes: usize,
        allowed: Duration,
        mut arrival: Option<&mut Arrival<'_>>,
    ) -> Result<Bytes, AppError> {
        let too_large = AppError::PayloadTooLarge(bound_bytes);
        if self.declares_more_than(bound_bytes) {
            return Err(too_large);
        }
        let mut count = |bytes| arrival.as_deref_mut().map_or(Ok(()), |arrival| arrival.grow(bytes));
        let begin = Instant::now();
        let Some(first) = self.next(begin + allowed).await? else {
            return Ok(Bytes::new());
        };
        if first.len() > bound_bytes {
            return Err(too_large);
        }
        count(first.len())?;
        if self.ended {
            return Ok(first);
        }
        let mut whole = BytesMut::from(first);
        let due = |bytes| (begin + earned(bytes)).min(Instant::now()) + allowed;
        while let Some(data) = self.next(due(whole.len())).await? {
            if whole.len() + data.len() > bound_bytes {
                return Err(too_large);
            }
            count(data.len())?;
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    }

    /// Reads away what is left of the body, within `patience`, so that the connection can go on. Returns whether it
    /// can.
    pub(super) async fn discard(
        &mut self,
        bound_bytes: usize,
        expects_continue: bool,
        patience: Duration,
    ) -> bool {
        if self.ended {
            return !self.has_trailers;
        }
        if expects_continue || self.declares_more_than(bound_bytes) {
            return false;
        }
        let all = async {
            let mut left = bound_bytes;
            let due = Instant::now() + patience;
            while let Some(data) = self.next(due).await.ok()? {
                left = left.checked_sub(data.len())?;
            }
            Some(())
        };
        all.await.is_some() && !self.has_trailers
    }

    fn declares_more_than(&self, bound_bytes: usize) -> bool {
        self.incoming.size_hint().lower() > bound_bytes as u64
    }

    /// The next piece of data.
    async fn next(&mut self, due: Instant) -> Result<Option<Bytes>, AppError> {
        while !self.ended {
            let frame = timeout_at(due, self.incoming.frame()).await.map_err(|_| AppError::BodyTimeout)?;
            let frame = frame.transpose().map_err(|_| AppError::BodyBroken)?;
            self.ended = frame.is_none() || self.incoming.is_end_stream();
            match frame.map(Frame::into_data) {
                Some(Ok(data)) => return Ok(Some(data)),
                Some(Err(_trailers)) => self.has_trailers = true,
                None => {}
            }
        }
        Ok(None)
    }
}

/// The time that so many bytes are worth.
fn earned(bytes: usize) -> Duration {
    Duration::from_secs(bytes as u64) / BYTES_PER_SECOND
}

/// The body of a reply.
pub enum ReplyBody {
    /// What is left of it.
    Whole(Content),
    /// Made while it is sent.
    Made(Box<Making>),
}

// What is larger is moved by calls (`Content`).
const _: () = assert!(size_of::<http::Response<ReplyBody>>() <= 128);

/// A body that is made piece by piece. Its request is under way until it ends: a client that leaves is noticed, and a
/// connection that waits for a piece is not at rest.
pub struct Making {
    pieces: Pieces,
    /// Has the connection end at the document's deadline, also while its client reads nothing.
    _untaken: Untaken,
    under_way: Option<UnderWay>,
    /// The request's id.
    id: HeaderValue,
}

impl Making {
    pub(super) fn new(pieces: Pieces, under_way: UnderWay, id: HeaderValue) -> Self {
        let untaken = under_way.is_taken_by(pieces.due.into());
        Self { pieces, _untaken: untaken, under_way: Some(under_way), id }
    }

    /// The next piece. A panic is this body's alone.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyBroken>>> {
        let polled = catch_unwind(AssertUnwindSafe(|| self.pieces.stream.as_mut().poll_next(cx)));
        polled.unwrap_or_else(|_| Poll::Ready(Some(Err(BodyBroken("making it panicked".to_owned())))))
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            under_way.end(std::time::Instant::now());
        }
    }
}

fn next_piece(left: &mut Bytes) -> Option<Bytes> {
    let count = left.len().min(PIECE_BYTES);
    (count > 0).then(|| left.split_to(count))
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BodyBroken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBroken>>> {
        match self.get_mut() {
            Self::Whole(left) => Poll::Ready(next_piece(&mut left.body).map(|piece| Ok(Frame::data(piece)))),
            Self::Made(making) => making.poll_piece(cx).map(|piece| {
                let piece = piece?;
                if let Err(error) = &piece {
                    tracing::warn!(id = making.id.to_str().unwrap_or_default(), %error, "a body broke off");
                }
                Some(piece.map(Frame::data))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(left) => left.body.is_empty(),
            Self::Made(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(left) => SizeHint::with_exact(left.body.len() as u64),
            Self::Made(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    /// However slowly its client reads: nothing asks for the next piece then.
    #[test]
    fn a_body_that_is_made_ends_its_connection_when_it_is_due() {
        let making = |due| {
            let pieces = Pieces { stream: Box::pin(stream::pending()), due };
            Making::new(pieces, UnderWay::alone(), HeaderValue::from_static("id"))
        };
        let is_overdue = |making: &Making| making.under_way.as_ref().is_some_and(UnderWay::is_overdue);
        let now = std::time::Instant::now();
        assert!(is_overdue(&making(now)));
        assert!(!is_overdue(&making(now + Duration::from_mins(1))));
    }
}
