//! A reply as a value: status, header fields, and a body that is whole or made piece by piece.
//!
//! Owns how the usual replies are built. Must not know how they are sent; `Content-Length`,
//! `Date` and the body of a `HEAD` reply are the server's.

use std::cell::Cell;
use std::fmt;
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

/// Room for fields. A usual reply has fewer, but hyper parses the next request into the same map, which then need not
/// grow for what a browser sends.
const REPLY_FIELDS: usize = 12;

/// Fields of a map that is worth keeping. Bounds what a connection holds for a client of another that once sent many.
const KEPT_FIELDS: usize = 24;

thread_local! {
    /// The map of a request that has been answered, empty: the next reply's.
    static SPARE: Cell<Option<HeaderMap>> = const { Cell::new(None) };
    /// A box whose map has left it: the next reply's.
    static SHELL: Cell<Option<Box<HeaderMap>>> = const { Cell::new(None) };
}

/// Keeps the memory of a map that nobody needs any more for the next reply of this thread, which saves it two
/// allocations (`tests/allocations.rs`).
pub fn recycle(mut fields: HeaderMap) {
    if (REPLY_FIELDS..=KEPT_FIELDS).contains(&fields.capacity()) {
        fields.clear();
        SPARE.set(Some(fields));
    }
}

#[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
fn empty_map() -> Box<HeaderMap> {
    let mut fields = SHELL.take().unwrap_or_default();
    *fields = SPARE.take().unwrap_or_else(|| HeaderMap::with_capacity(REPLY_FIELDS));
    fields
}

/// The fields of a reply by value. Their box is kept for the next reply of this thread.
pub fn unboxed(mut fields: Box<HeaderMap>) -> HeaderMap {
    let map = std::mem::take(&mut *fields);
    SHELL.set(Some(fields));
    map
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
    /// Header fields, without those that belong to the connection. Boxed: a map has 96 bytes, and a reply around it would
    /// be moved some ten times on its way, each time by a call of `memmove`.
    pub headers: Box<HeaderMap>,
    /// The body; empty for none, and for one in pieces.
    pub body: Bytes,
    /// The body in pieces, if it has no length yet.
    pub pieces: Option<Box<Pieces>>,
}

impl Reply {
    /// No body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: empty_map(), body: Bytes::new(), pieces: None }
    }

    /// `value` as `application/json`.
    pub fn json(status: StatusCode, value: &impl Serialize) -> Result<Self, EncodeError> {
        let body = json::to_bytes(value)?;
        let media_type = HeaderValue::from_static("application/json");
        Ok(Self::bytes(status, media_type, body))
    }

    /// Plain text in UTF-8.
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let media_type = HeaderValue::from_static("text/plain; charset=utf-8");
        Self::bytes(status, media_type, text)
    }

    /// A body of any media type.
    pub fn bytes(status: StatusCode, media_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let reply = Self { status, headers: empty_map(), body: body.into(), pieces: None };
        reply.header(CONTENT_TYPE, media_type)
    }

    /// A body of any media type that is made while it is sent.
    pub fn pieces(status: StatusCode, media_type: HeaderValue, pieces: Pieces) -> Self {
        let reply = Self { pieces: Some(Box::new(pieces)), ..Self::empty(status) };
        reply.header(CONTENT_TYPE, media_type)
    }

    /// Sets a field, in place of any earlier value.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
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
        self.header(CACHE_CONTROL, HeaderValue::from_static("no-store"))
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
        assert_eq!(reply.headers[CONTENT_TYPE], "application/json");
        assert_eq!(reply.body, r#"{"a":1}"#);
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
        assert_eq!(reply.headers.len(), 4);
        assert_eq!(reply.headers[CONTENT_TYPE], "text/csv");
        assert_eq!(reply.headers[LOCATION], "/a%20b/%0D%0AX:%201");
        assert_eq!(reply.headers[ETAG], "\"3\"");
        assert_eq!(reply.headers[CACHE_CONTROL], "no-store");
    }

    #[test]
    fn empty_has_neither_body_nor_media_type() {
        let reply = Reply::empty(StatusCode::NO_CONTENT);
        assert!(reply.body.is_empty() && reply.headers.is_empty());
    }
}
