//! What is the same for everyone as long as the process runs: a document, or a page that needs nothing from elsewhere.
//!
//! Owns its entity tag, how it may be cached, and what a page may do in a browser. Knows no particular one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest, Sha256};

use super::conditional::ETag;
use super::reply::Reply;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// A body with its fields.
#[derive(Debug)]
pub struct Asset {
    body: Bytes,
    etag: ETag,
    fields: HeaderMap,
}

impl Asset {
    /// A document. Its URL stays when a new release changes it, so caches ask each time, by its entity tag.
    pub fn new(media_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let fields = HeaderMap::from_iter([
            (CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        ]);
        Self { etag: ETag::of_content(&body), body, fields }
    }

    /// A page whose one `<style>` and one `<script>` are the only ones that a browser lets work, known by their hashes
    /// (CSP level 3 §2.3.1). It may ask nobody but the server that it came from, and stand in no frame.
    pub fn page(html: impl Into<Bytes>) -> Self {
        let mut page = Self::new("text/html; charset=utf-8", html);
        let html = std::str::from_utf8(&page.body).unwrap_or_default();
        let policy = format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(inside(html, "<style>", "</style>")),
            hash(inside(html, "<script>", "</script>")),
        );
        let policy = HeaderValue::try_from(policy).expect("words and base64 are visible ASCII");
        page.fields.extend([
            (CONTENT_SECURITY_POLICY, policy),
            (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
            (CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin")),
        ]);
        page
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The reply to who sends these fields: 304 for one who has it already.
    pub fn reply(&self, headers: &HeaderMap) -> Reply {
        let reply = if self.etag.is_in_if_none_match(headers) {
            Reply::empty(StatusCode::NOT_MODIFIED)
        } else {
            Reply::empty(StatusCode::OK).body(self.body.clone())
        };
        let fields = self.fields.iter().map(|(name, value)| (name.clone(), value.clone()));
        fields.fold(reply, |reply, (name, value)| reply.header(name, value)).etag(&self.etag)
    }
}

/// What stands between the first `open` and the `close` behind it.
fn inside<'t>(text: &'t str, open: &str, close: &str) -> &'t str {
    let behind = text.split_once(open).map_or("", |(_, behind)| behind);
    behind.split_once(close).map_or("", |(inside, _)| inside)
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    use http::header::{ETAG, IF_NONE_MATCH};

    use super::*;

    #[test]
    fn who_has_it_already_is_told_so() {
        let asset = Asset::new("text/plain", "one");
        let first = asset.reply(&HeaderMap::new());
        assert_eq!((first.status, &*first.content.body), (StatusCode::OK, &b"one"[..]));
        let tag = first.content.headers[ETAG].clone();
        let again = asset.reply(&HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())]));
        assert_eq!((again.status, again.content.body.len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(again.content.headers[ETAG], tag);
        let other = Asset::new("text/plain", "two").reply(&HeaderMap::from_iter([(IF_NONE_MATCH, tag)]));
        assert_eq!(other.status, StatusCode::OK);
    }

    /// The hash of `alert('Hello, world.');` is the one that CSP level 3 §8.1 gives.
    #[test]
    fn a_page_lets_its_own_script_and_style_work() {
        let html = "<style>a{}</style><script>alert('Hello, world.');</script>";
        let policy =
            Asset::page(html).reply(&HeaderMap::new()).content.headers[CONTENT_SECURITY_POLICY].clone();
        let policy = policy.to_str().unwrap();
        assert!(policy.contains("'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
}
