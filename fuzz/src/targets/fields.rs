//! Header fields: ours, those of negotiation, and the head that they stand in.

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use ringledger::api::fuzzing as api;
use ringledger::server::fuzzing as server;
use ringledger::telemetry::request_id;
use ringledger::web::conditional::ETag;
use ringledger::web::{host, negotiate, websocket};

/// The lines `name: value` of which a header can be made.
fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Negotiation, conditions, ids and handshakes.
pub(crate) fn fields(bytes: &[u8]) {
    let headers = headers(bytes);
    let offered = ["application/pdf", "text/csv", "application/json"];
    if let Some(best) = negotiate::best(&headers, &offered) {
        assert!(best < offered.len());
    }
    let _ = negotiate::content_type_is_json(&headers);
    let _ = ETag::of_version(7).is_in_if_none_match(&headers);
    if let Ok(accept) = websocket::accept(&Method::GET, &headers) {
        assert_eq!(accept.len(), 28, "a SHA-1 in base64");
    }
    for value in headers.values() {
        let id = value.as_bytes();
        if request_id::is_well_formed(id) {
            assert!((1..=128).contains(&id.len()));
            assert!(id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)));
        }
        if let Some(trace) = request_id::trace_id(id) {
            assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()));
        }
    }
    assert!(headers.get(AUTHORIZATION).is_none_or(|value| value.len() <= bytes.len()));
}

/// A key is 1 to 255 visible characters, and its quoted form is the same one.
pub(crate) fn idempotency_key(bytes: &[u8]) {
    const NAME: HeaderName = HeaderName::from_static("idempotency-key");
    let mut headers = HeaderMap::new();
    for value in bytes.split(|&byte| byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(NAME, value);
        }
    }
    match api::idempotency_key(&headers) {
        Ok(key) => {
            let text = key.as_str();
            assert!(
                (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()),
                "{text}"
            );
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            headers.insert(NAME, HeaderValue::from_str(&quoted).expect("visible ASCII"));
            assert_eq!(
                api::idempotency_key(&headers).map(|key| key.as_str().to_owned()),
                Ok(text.to_owned())
            );
        }
        Err(status) => assert!(matches!(status, 400 | 422), "status {status}"),
    }
}

/// `METHOD TARGET` and fields. A head that is let through has one valid host and a target of this server.
pub(crate) fn head(bytes: &[u8]) {
    let (line, lines) = bytes.split_at(bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len()));
    let Some(space) = line.iter().position(|&byte| byte == b' ') else { return };
    let Ok(method) = Method::from_bytes(&line[..space]) else { return };
    let Ok(uri) = Uri::try_from(&line[space + 1..]) else { return };
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers(lines));
    *request.version_mut() = Version::HTTP_11;
    let (head, ()) = request.into_parts();
    if let Some(status) = server::refusal(&head) {
        assert!((400..500).contains(&status) || status == 501, "status {status}");
    } else {
        let hosts: Vec<_> = head.headers.get_all(HOST).iter().collect();
        assert!(matches!(hosts[..], [only] if only.to_str().is_ok_and(host::is_host)), "{hosts:?}");
        assert!(head.uri.path().is_ascii() && head.method != Method::CONNECT, "{:?}", head.uri);
    }
}
