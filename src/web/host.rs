//! The `Host` field (RFC 9112 §3.2, RFC 3986 §3.2.2).
//!
//! Owns whether a request may be served at all. Does not choose by host.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::{HeaderMap, Version};

use super::percent;

/// Why a request is refused for its `Host` (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// HTTP/1.1 without the field.
    #[error("the Host header is missing")]
    Missing,
    /// More than one.
    #[error("there is more than one Host header")]
    Repeated,
    /// Neither a name nor an address, or a port beyond 65535.
    #[error("the Host header is malformed")]
    Malformed,
}

/// Checks that there is exactly one valid `Host`; HTTP/1.0 may leave it out.
///
/// An empty one is refused: an `http` URI has a host (RFC 9110 §4.2.1).
pub fn check(version: Version, headers: &HeaderMap) -> Result<(), HostError> {
    let mut values = headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) if version < Version::HTTP_11 => Ok(()),
        (None, _) => Err(HostError::Missing),
        (Some(_), Some(_)) => Err(HostError::Repeated),
        (Some(value), None) if value.to_str().is_ok_and(is_host) => Ok(()),
        (Some(_), None) => Err(HostError::Malformed),
    }
}

/// Whether `text` is a host with or without a port: a value of the field, or the authority of an absolute
/// target. Userinfo is neither (RFC 9110 §4.2.4).
pub fn is_host(text: &str) -> bool {
    if let Some(literal) = text.strip_prefix('[') {
        let Some((address, port)) = literal.split_once(']') else {
            return false;
        };
        return address.parse::<Ipv6Addr>().is_ok() && is_port(port);
    }
    let colon = text.bytes().position(|byte| byte == b':');
    let (name, port) = text.split_at(colon.unwrap_or(text.len()));
    is_reg_name(name) && is_port(port)
}

/// Nothing, or a colon and a port; the port may be empty.
fn is_port(text: &str) -> bool {
    match text.strip_prefix(':') {
        Some(digits) => {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            is_number && (digits.is_empty() || digits.parse::<u16>().is_ok())
        }
        None => text.is_empty(),
    }
}

/// A name of at least one character; IPv4 addresses look like names.
fn is_reg_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_allowed_in_name) && percent::is_well_escaped(text)
}

/// Unreserved, a sub-delimiter, or the beginning of an escape (RFC 3986 §3.2.2). A pattern, since that becomes one
/// look at a table of bits.
const fn is_allowed_in_name(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~')
        || matches!(byte, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b'%')
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn checked(version: Version, values: &[&[u8]]) -> Result<(), HostError> {
        let fields = values.iter().map(|value| (HOST, HeaderValue::from_bytes(value).unwrap()));
        check(version, &fields.collect())
    }

    #[test]
    fn hosts_with_and_without_port_are_valid() {
        let valid = [
            "localhost",
            "localhost:8080",
            "localhost:",
            "ledger.example.com",
            "ledger.example.com.:65535",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:",
            "a_b~c",
            "x%41",
        ];
        for host in valid {
            assert_eq!(checked(Version::HTTP_11, &[host.as_bytes()]), Ok(()), "{host}");
        }
    }

    #[test]
    fn anything_else_is_malformed() {
        let malformed: [&[u8]; 21] = [
            b"",
            b":80",
            b"a b",
            b"a,b c",
            b"a/b",
            b"a@b",
            b"user@a:1",
            b"http://a",
            b"a?b",
            b"a#b",
            b"a\\b",
            b"a:b",
            b"a:1:2",
            b"a:65536",
            b"a:+1",
            b"::1",
            b"[::1",
            b"[a]",
            b"[::1]x",
            b"x%4",
            b"\xc3\xa9",
        ];
        for host in malformed {
            let refusal = Err(HostError::Malformed);
            assert_eq!(checked(Version::HTTP_11, &[host]), refusal, "{}", host.escape_ascii());
        }
    }

    #[test]
    fn there_is_exactly_one() {
        let (missing, repeated) = (Err(HostError::Missing), Err(HostError::Repeated));
        assert_eq!(checked(Version::HTTP_11, &[]), missing);
        assert_eq!(checked(Version::HTTP_10, &[]), Ok(()));
        assert_eq!(checked(Version::HTTP_10, &[b"a b"]), Err(HostError::Malformed));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert_eq!(checked(version, &[b"a", b"a"]), repeated);
        }
    }
}
