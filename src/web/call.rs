//! The request as handlers see it: parsed head, matched parameters, whole body.
//!
//! Owns typed extraction. Must not know sockets, connections or who called; the server fills it.

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::Deserialize;

use super::invalid::Invalid;
use super::json::{self, BodyError, Scratch};
use super::query;
use super::router::Params;

/// One request. `body` stands apart, so that what is decoded from it may borrow from it while
/// the head is still read.
///
/// No `Debug`: the fields and the body hold tokens and passwords.
pub struct Call<'a> {
    /// The method as sent; `HEAD` reaches the handlers of `GET`.
    pub method: &'a Method,
    /// The path component of the target as sent, percent-encoding included.
    pub path: &'a str,
    /// The query component as sent, without `?`; empty when absent.
    pub query: &'a str,
    /// All header fields.
    pub headers: &'a HeaderMap,
    /// Parameters of the matched route.
    pub params: Params<'a>,
    /// Id of this request, as sent back in `X-Request-Id`.
    pub request_id: &'a str,
    /// The body, complete and within its bound.
    pub body: Body,
}

impl<'a> Call<'a> {
    /// The query string as a `T`; see [`query::decode`] for what `T` may be.
    pub fn query<T: Deserialize<'a>>(&self) -> Result<T, Invalid> {
        query::decode(self.query)
    }
}

/// A request's body. Decoding works on a copy, so the original stays as it was sent.
#[derive(Default)]
pub struct Body {
    original: Bytes,
    scratch: Option<Box<Scratch>>,
}

impl Body {
    /// A body of these bytes.
    pub fn new(original: Bytes) -> Self {
        Self { original, scratch: None }
    }

    /// Whether nothing was sent.
    pub fn is_empty(&self) -> bool {
        self.original.is_empty()
    }

    /// The bytes as sent.
    pub fn bytes(&self) -> &Bytes {
        &self.original
    }

    /// The body as a `T`, which may borrow strings from it (see [`json::Text`]).
    ///
    /// Memory comes from this thread's pool and returns to it when the body is dropped: a warm
    /// thread allocates nothing here but what `T` itself owns.
    pub fn json<'b, T: Deserialize<'b>>(&'b mut self) -> Result<T, BodyError> {
        let scratch = self.scratch.get_or_insert_with(Scratch::take);
        json::decode(&self.original, scratch)
    }
}

impl From<Bytes> for Body {
    fn from(original: Bytes) -> Self {
        Self::new(original)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            Scratch::keep(scratch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::json::Text;
    use http::HeaderValue;

    #[derive(Debug, Deserialize)]
    struct Name<'a> {
        #[serde(borrow)]
        name: Text<'a>,
    }

    #[derive(Debug, Deserialize)]
    struct Page {
        limit: u32,
    }

    #[test]
    fn the_head_is_readable_while_the_body_is_borrowed() {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_static("k"));
        let mut call = Call {
            method: &Method::POST,
            path: "/transfers",
            query: "limit=3",
            headers: &headers,
            params: Params::default(),
            request_id: "r",
            body: Body::new(Bytes::from_static(br#"{"name":"rent\n"}"#)),
        };
        let decoded: Name<'_> = call.body.json().unwrap();
        assert_eq!(call.headers["idempotency-key"], "k");
        assert_eq!(&*decoded.name, "rent\n");
        assert_eq!(call.query::<Page>().unwrap().limit, 3);
    }

    #[test]
    fn decoding_leaves_the_original_and_can_be_repeated() {
        let sent = Bytes::from_static(br#"{"name":"a\tb"}"#);
        let mut body = Body::new(sent.clone());
        for _ in 0..2 {
            assert_eq!(&*body.json::<Name<'_>>().unwrap().name, "a\tb");
        }
        assert_eq!(*body.bytes(), sent);
    }

    #[test]
    fn the_next_body_of_a_thread_is_decoded_in_the_same_memory() {
        let address = || {
            let mut body = Body::new(Bytes::from_static(br#"{"name":"same"}"#));
            body.json::<Name<'_>>().unwrap().name.as_ptr().addr()
        };
        assert_eq!(address(), address());
    }

    #[test]
    fn bodies_decoded_at_once_do_not_share_memory() {
        let mut first = Body::new(Bytes::from_static(br#"{"name":"first"}"#));
        let mut second = Body::new(Bytes::from_static(br#"{"name":"other"}"#));
        let one: Name<'_> = first.json().unwrap();
        let two: Name<'_> = second.json().unwrap();
        assert_eq!((&*one.name, &*two.name), ("first", "other"));
    }

    #[test]
    fn an_absent_body_is_empty_and_not_json() {
        let mut body = Body::default();
        assert!(body.is_empty());
        let refusal = body.json::<Name<'_>>().unwrap_err();
        assert!(matches!(refusal, BodyError::InvalidJson(_)), "{refusal:?}");
    }
}
