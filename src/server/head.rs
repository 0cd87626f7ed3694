//! What a request's head must be before anything looks at its meaning: our bounds, which answer with a problem
//! where hyper's own would cut the connection, and the rules of HTTP that hyper leaves to us.
//!
//! Does not see what hyper has put right or cut off: a `Content-Length` beside a `Transfer-Encoding`, a repeated
//! equal `Content-Length`, lines that end in a bare LF, a fragment.

use std::cell::RefCell;

use http::header::{ACCEPT, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};

use crate::api::AppError;
use crate::config::Limits;
use crate::web::host;

/// Bytes of a method. The longest that is registered with IANA has 17; nobody means anything by a longer one,
/// and its text would go into the log.
pub(super) const METHOD_BYTES: usize = 32;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Checks, in this order: bounds, the form of the target, `Host`, `Transfer-Encoding`, `Expect`.
pub(super) fn check(
    head: &Parts,
    fields: &Fields<'_>,
    limits: &Limits,
    known_host: &KnownHost,
) -> Result<(), AppError> {
    check_sizes(head, fields, limits)?;
    check_target(&head.method, &head.uri)?;
    check_host(head, fields, known_host)?;
    if fields.frames_unusually {
        check_codings(&head.headers)?;
        check_expectations(head)?;
    }
    Ok(())
}

/// What one walk over the fields tells: a look-up of each name costs as much as the walk (`benches/instructions
/// request_plaintext`).
#[derive(Default)]
pub(super) struct Fields<'a> {
    /// Each field with its colon, space and line end.
    bytes: usize,
    /// Whether there is a `Transfer-Encoding` or an `Expect`.
    frames_unusually: bool,
    /// Whether there is an `Accept`.
    pub(super) accepts: bool,
    /// How many `Host` there are.
    hosts: usize,
    /// The last of them.
    host: Option<&'a HeaderValue>,
    /// The first `X-Request-Id`.
    pub(super) request_id: Option<&'a HeaderValue>,
    /// The first `traceparent`.
    pub(super) trace_parent: Option<&'a HeaderValue>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let mut fields = Self::default();
        for (name, value) in headers {
            fields.bytes += name.as_str().len() + value.len() + ": \r\n".len();
            if *name == HOST {
                fields.hosts += 1;
                fields.host = Some(value);
            } else if *name == ACCEPT {
                fields.accepts = true;
            } else if *name == TRANSFER_ENCODING || *name == EXPECT {
                fields.frames_unusually = true;
            } else if *name == REQUEST_ID {
                fields.request_id = fields.request_id.or(Some(value));
            } else if *name == TRACE_PARENT {
                fields.trace_parent = fields.trace_parent.or(Some(value));
            }
        }
        fields
    }

    fn only_host(&self) -> Option<&'a HeaderValue> {
        if self.hosts == 1 { self.host } else { None }
    }
}

/// The last `Host` of a core that was found valid; empty before the first. Nearly all requests name the same one, and to
/// compare is cheaper than to look at each of its bytes (`benches/instructions request_plaintext`).
#[derive(Default)]
pub(super) struct KnownHost(RefCell<Vec<u8>>);

impl KnownHost {
    /// Bytes of a host that is worth knowing: the longest name that DNS has, with a port.
    const BYTES: usize = 260;

    fn is(&self, host: &HeaderValue) -> bool {
        let known = self.0.borrow();
        !known.is_empty() && *known == host.as_bytes()
    }

    fn note(&self, host: &HeaderValue) {
        if host.len() <= Self::BYTES {
            let mut known = self.0.borrow_mut();
            known.clear();
            known.extend_from_slice(host.as_bytes());
        }
    }
}

fn check_host(head: &Parts, fields: &Fields<'_>, known: &KnownHost) -> Result<(), AppError> {
    let only = fields.only_host();
    if only.is_some_and(|host| known.is(host)) {
        return Ok(());
    }
    host::check(head.version, &head.headers).map_err(|_| AppError::Malformed("exactly one valid Host"))?;
    if let Some(host) = only {
        known.note(host);
    }
    Ok(())
}

fn check_sizes(head: &Parts, fields: &Fields<'_>, limits: &Limits) -> Result<(), AppError> {
    let target_bytes = target_bytes(&head.uri);
    if target_bytes > limits.target_bytes {
        return Err(AppError::UriTooLong(limits.target_bytes));
    }
    let method_bytes = head.method.as_str().len();
    let request_line = method_bytes + target_bytes + " HTTP/1.1\r\n ".len();
    if head.headers.len() > limits.fields || request_line + fields.bytes > limits.head_bytes {
        return Err(AppError::HeadersTooLarge);
    }
    if method_bytes > METHOD_BYTES {
        // RFC 9112 §3 asks for 501 here.
        return Err(AppError::NotImplemented("No method is that long."));
    }
    Ok(())
}

/// Holds the four forms of RFC 9112 §3.2 apart; hyper takes any of them with any method.
///
/// An absolute target is served by its path, whatever `Host` says (§3.2.2), if its scheme is that of this
/// connection (RFC 9110 §7.4) and its authority a host without userinfo (RFC 9110 §4.2.4).
fn check_target(method: &Method, uri: &Uri) -> Result<(), AppError> {
    if method == Method::CONNECT {
        return Err(AppError::Malformed("CONNECT is for proxies"));
    }
    if uri.path() == "*" && method != Method::OPTIONS {
        return Err(AppError::Malformed("the target * is for OPTIONS"));
    }
    let is_ours = match (uri.scheme(), uri.authority()) {
        (None, None) => true,
        (Some(scheme), Some(authority)) => *scheme == Scheme::HTTP && host::is_host(authority.as_str()),
        (None, Some(_)) | (Some(_), None) => false,
    };
    // hyper lets any UTF-8 through; a URI is ASCII (RFC 3986 §2).
    if is_ours && uri.path_and_query().is_some_and(|path| path.as_str().is_ascii()) {
        return Ok(());
    }
    Err(AppError::Malformed("the target is none of this server"))
}

/// `chunked`, once, is the only transfer coding that means the same to everybody before us. hyper also takes a
/// list or several fields that end in it, and undoes only the last.
///
/// 400 and not the 501 of RFC 9112 §6.1, which is for one who has understood where the body ends.
fn check_codings(headers: &HeaderMap) -> Result<(), AppError> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(AppError::Malformed("the one transfer coding is chunked")),
    }
}

fn check_expectations(head: &Parts) -> Result<(), AppError> {
    let is_other = |value: &HeaderValue| !value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    // RFC 9110 §10.1.1: a server ignores the expectations of HTTP/1.0.
    if head.version > Version::HTTP_10 && head.headers.get_all(EXPECT).iter().any(is_other) {
        return Err(AppError::ExpectationFailed);
    }
    Ok(())
}

fn target_bytes(uri: &Uri) -> usize {
    let origin = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len() + "://".len());
    origin + authority + uri.scheme_str().map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    /// The status of the refusal of a head with a good `Host`; 0 if there is none.
    fn refusal(method: &str, target: &str, fields: &[(&str, &str)]) -> u16 {
        let uri = Uri::from_maybe_shared(target.to_owned().into_bytes()).unwrap();
        let request = Request::builder().method(method).uri(uri).header("Host", "ledger");
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (head, ()) = request.body(()).unwrap().into_parts();
        let fields = Fields::of(&head.headers);
        check(&head, &fields, &Limits::default(), &KnownHost::default())
            .map_or_else(|error| error.into_reply("-").status.as_u16(), |()| 0)
    }

    #[test]
    fn a_known_host_lets_only_itself_through() {
        let known = KnownHost::default();
        let refused = |host: &str| {
            let (head, ()) = Request::builder().header("Host", host).body(()).unwrap().into_parts();
            check_host(&head, &Fields::of(&head.headers), &known).is_err()
        };
        for host in ["", "a b", "ledger", "ledger", "", "other:80", "ledger", "other:x"] {
            assert_eq!(refused(host), !host::is_host(host), "{host:?}");
        }
    }

    #[test]
    fn origin_absolute_and_asterisk_form_are_taken() {
        let taken = [
            ("GET", "/"),
            ("GET", "/a?b=c&d"),
            ("GET", "/a:b@c"),
            ("GET", "//other/a"),
            ("GET", "/%C3%A9"),
            ("GET", "http://other/a?b"),
            ("GET", "HTTP://other:80/a"),
            ("GET", "http://other"),
            ("GET", "http://[::1]:80/"),
            ("OPTIONS", "*"),
            ("OPTIONS", "/a"),
        ];
        for (method, target) in taken {
            assert_eq!(refusal(method, target, &[]), 0, "{method} {target}");
        }
    }

    #[test]
    fn other_targets_are_malformed() {
        let malformed = [
            ("GET", "*"),
            ("POST", "*"),
            ("GET", "ledger:80"),
            ("GET", "relative"),
            ("OPTIONS", "ledger:80"),
            ("CONNECT", "ledger:80"),
            ("CONNECT", "/a"),
            ("CONNECT", "*"),
            ("GET", "https://ledger/"),
            ("GET", "ftp://ledger/"),
            ("GET", "http://user@ledger/"),
            ("GET", "http://user:secret@ledger/"),
            ("GET", "http://ledger:99999/"),
            ("GET", "http://ledger:x/"),
            ("GET", "/é"),
            ("GET", "/?é"),
            ("GET", "http://ledger/é"),
        ];
        for (method, target) in malformed {
            assert_eq!(refusal(method, target, &[]), 400, "{method} {target}");
        }
    }

    #[test]
    fn a_method_has_at_most_32_bytes() {
        assert_eq!(refusal(&"M".repeat(32), "/", &[]), 0);
        assert_eq!(refusal(&"M".repeat(33), "/", &[]), 501);
    }

    #[test]
    fn only_a_lone_chunked_is_a_transfer_coding() {
        let coded = |values: &[&str]| {
            let fields: Vec<_> = values.iter().map(|value| ("Transfer-Encoding", *value)).collect();
            refusal("POST", "/", &fields)
        };
        for value in ["chunked", "Chunked", "CHUNKED"] {
            assert_eq!(coded(&[value]), 0, "{value}");
        }
        let others: [&[&str]; 8] = [
            &[""],
            &["gzip, chunked"],
            &["chunked, chunked"],
            &[",chunked"],
            &["chunked,"],
            &["chunked;q=1"],
            &["chunked", "chunked"],
            &["identity", "chunked"],
        ];
        for values in others {
            assert_eq!(coded(values), 400, "{values:?}");
        }
    }

    #[test]
    fn bounds_come_before_everything_else() {
        assert_eq!(refusal("CONNECT", &format!("/{}", "a".repeat(8192)), &[]), 414);
        assert_eq!(refusal("CONNECT", "/", &[("X", &"a".repeat(16 * 1024))]), 431);
        assert_eq!(refusal("CONNECT", "/", &[("X", "a"); 64]), 431);
        assert_eq!(refusal("GET", "*", &[("Expect", "the-unexpected")]), 400);
        assert_eq!(refusal("GET", "/", &[("Expect", "the-unexpected")]), 417);
    }
}
