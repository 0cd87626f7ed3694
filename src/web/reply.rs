//! A reply as a value: status, header fields, and a body that is whole or made piece by piece.
//!
//! Owns how the usual replies are built. Must not know how they are sent; `Content-Length`,
//! `Date` and the body of a `HEAD` reply are the server's.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::time::Instant;

use bytes::Bytes;
use futures_util::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use super::conditional::ETag;
use super::json::{self, EncodeError};
use super::percent;

/// Room for the fields of a reply. A usual one has fewer, but hyper parses the next request into the same map, which
/// then need not grow for what a browser sends.
const REPLY_FIELDS: usize = 12;

/// Fields of a map that is worth keeping. Bounds what a connection holds for a client of another that once sent many.
const KEPT_FIELDS: usize = 24;

// Boxes between two replies of a thread. They are empty: whatever was in them is gone.
thread_local! {
    /// One whose map has left it.
    static SHELL: Cell<Option<Box<Parts>>> = const { Cell::new(None) };
    /// One with the map of a request that has been answered: the next reply's.
    static SPARE: Cell<Option<Box<Parts>>> = const { Cell::new(None) };
}

/// Takes the memory of a map whose fields nobody needs any more for the next reply of this thread, which saves it three
/// allocations (`tests/allocations.rs`). What is left in the map means nothing.
pub fn recycle(fields: &mut HeaderMap) {
    // The capacity is that for names; the room for values that share one is known by how many there are.
    if (REPLY_FIELDS..=KEPT_FIELDS).contains(&fields.capacity()) && fields.len() <= KEPT_FIELDS {
        fields.clear();
        let mut kept = SHELL.take().unwrap_or_default();
        mem::swap(&mut kept.headers, fields);
        SPARE.set(Some(kept));
    }
}

/// A body cannot be ended as it was begun. The connection is cut, so that nobody takes what came for the whole.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BodyBroken(pub String);

/// A body that is made while it is sent: asked for its next piece when the one before has found room. Dropped, with all
/// that it waits for, when its client leaves.
pub struct Pieces {
    /// Makes them.
    pub stream: Pin<Box<dyn Stream<Item = Result<Bytes, BodyBroken>>>>,
    /// When the last one must have been taken; the connection is cut then.
    pub due: Instant,
}

impl fmt::Debug for Pieces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pieces")
    }
}

/// A complete reply.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// All else.
    pub content: Content,
}

/// Fields and body of a reply, in a box that goes on to a later reply of this thread. A reply is moved some ten times on its
/// way, inside hyper too, as a response whose body is this box; the compiler moves what has more than 128 bytes by a call
/// of `memmove` (`benches/instructions request_pipelined`).
#[derive(Debug)]
pub struct Content(Option<Box<Parts>>);

/// What a [`Content`] holds.
#[derive(Debug, Default)]
pub struct Parts {
    /// Header fields, without those that belong to the connection.
    pub headers: HeaderMap,
    /// The body; empty for none, and for one in pieces.
    pub body: Bytes,
    /// The body in pieces, if it has no length yet.
    pub pieces: Option<Box<Pieces>>,
}

impl Content {
    fn empty() -> Self {
        let with_room = || {
            let mut parts = SHELL.take().unwrap_or_default();
            parts.headers = HeaderMap::with_capacity(REPLY_FIELDS);
            parts
        };
        Self(Some(SPARE.take().unwrap_or_else(with_room)))
    }
}

impl Deref for Content {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        self.0.as_deref().expect("the box leaves when its owner is dropped")
    }
}

impl DerefMut for Content {
    fn deref_mut(&mut self) -> &mut Parts {
        self.0.as_deref_mut().expect("the box leaves when its owner is dropped")
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Some(mut parts) = self.0.take() {
            parts.headers.clear();
            parts.body = Bytes::new();
            parts.pieces = None;
            // A thread that ends has no use for it.
            let _ = SHELL.try_with(|shell| shell.set(Some(parts)));
        }
    }
}

impl Reply {
    /// No body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, content: Content::empty() }
    }

    /// `value` as `application/json`.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Self, EncodeError> {
        let body = json::to_bytes(value)?;
        let media_type = const { HeaderValue::from_static("application/json") };
        Ok(Self::bytes(status, media_type, body))
    }

    /// Plain text in UTF-8.
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let media_type = const { HeaderValue::from_static("text/plain; charset=utf-8") };
        Self::bytes(status, media_type, text)
    }

    /// A body of any media type.
    pub fn bytes(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        Self::empty(status).body(body).header(CONTENT_TYPE, media_type)
    }

    /// A body of any media type that is made while it is sent.
    pub fn pieces(status: StatusCode, media_type: HeaderValue, pieces: Pieces) -> Self {
        let mut reply = Self::empty(status);
        reply.content.pieces = Some(Box::new(pieces));
        reply.header(CONTENT_TYPE, media_type)
    }

    /// Sets the body, but not its media type.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.content.body = body.into();
        self
    }

    /// Sets a field, in place of any earlier value.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.content.headers.insert(name, value);
        self
    }

    /// Sets `Location` to a URI reference; what a URI may not hold is percent-encoded.
    #[must_use]
    pub fn location(self, uri: &str) -> Self {
        self.header(LOCATION, percent::uri_header("", uri, ""))
    }

    /// Sets `ETag`.
    #[must_use]
    pub fn etag(self, etag: &ETag) -> Self {
        self.header(ETAG, etag.to_header())
    }

    /// Sets `Cache-Control: no-store`, for money and tokens.
    #[must_use]
    pub fn no_store(self) -> Self {
        self.header(CACHE_CONTROL, const { HeaderValue::from_static("no-store") })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn json_carries_its_media_type() {
        let reply = Reply::json(StatusCode::CREATED, &BTreeMap::from([("a", 1)])).unwrap();
        assert_eq!(reply.status, StatusCode::CREATED);
        assert_eq!(reply.content.headers[CONTENT_TYPE], "application/json");
        assert_eq!(reply.content.body, r#"{"a":1}"#);
    }

    #[test]
    fn what_json_cannot_hold_is_an_error() {
        let keys_are_arrays = BTreeMap::from([([1, 2], 3)]);
        assert!(Reply::json(StatusCode::OK, &keys_are_arrays).is_err());
    }

    #[test]
    fn fields_are_set_once() {
        let reply = Reply::text(StatusCode::OK, "hi")
            .header(CONTENT_TYPE, HeaderValue::from_static("text/csv"))
            .location("/a b/\r\nX: 1")
            .etag(&ETag::of_version(3))
            .no_store();
        assert_eq!(reply.content.headers.len(), 4);
        assert_eq!(reply.content.headers[CONTENT_TYPE], "text/csv");
        assert_eq!(reply.content.headers[LOCATION], "/a%20b/%0D%0AX:%201");
        assert_eq!(reply.content.headers[ETAG], "\"3\"");
        assert_eq!(reply.content.headers[CACHE_CONTROL], "no-store");
    }

    /// Each test has a thread of its own, so no box is there at first.
    #[test]
    fn a_reply_has_nothing_of_those_before_it() {
        let stream = Box::pin(futures_util::stream::pending());
        let pieces = Pieces { stream, due: Instant::now() };
        let media_type = HeaderValue::from_static("text/csv");
        drop(Reply::pieces(StatusCode::OK, media_type, pieces).no_store().body("left behind"));
        let mut request = HeaderMap::with_capacity(KEPT_FIELDS);
        request.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
        let room = request.capacity();
        assert_ne!(room, HeaderMap::<HeaderValue>::with_capacity(REPLY_FIELDS).capacity());
        recycle(&mut request);
        let reply = Reply::empty(StatusCode::OK);
        let Parts { headers, body, pieces } = &*reply.content;
        assert!(headers.is_empty() && body.is_empty() && pieces.is_none(), "{reply:?}");
        assert_eq!((headers.capacity(), request.len()), (room, 0));
    }

    #[test]
    fn the_map_of_a_request_with_many_fields_is_not_kept() {
        let usual = HeaderMap::<HeaderValue>::with_capacity(REPLY_FIELDS).capacity();
        let mut names = HeaderMap::with_capacity(KEPT_FIELDS + 1);
        names.insert(CONTENT_TYPE, HeaderValue::from_static("text/csv"));
        let mut values = HeaderMap::with_capacity(KEPT_FIELDS);
        for _ in 0..=KEPT_FIELDS {
            values.append(ETAG, HeaderValue::from_static("x"));
        }
        for mut request in [names, values] {
            recycle(&mut request);
            assert_eq!(Reply::empty(StatusCode::OK).content.headers.capacity(), usual);
        }
    }

    #[test]
    fn empty_has_neither_body_nor_media_type() {
        let reply = Reply::empty(StatusCode::NO_CONTENT);
        assert!(reply.content.body.is_empty() && reply.content.headers.is_empty());
    }
}
