//! `health`: asks a server whether it is well, for containers that have no other program to ask with. Knows plain HTTP
//! by one blocking request and nothing of the ledger.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use http::Uri;
use serde_json::{Value, json};

use super::{Failure, failed, print};
use crate::cli::Health;
use crate::config::Settings;

/// How much of a reply is read: its first line is all that counts.
const REPLY_BYTES: u64 = 64 * 1024;

/// Fails unless the answer is 200 in time.
pub(super) fn run(settings: &Settings, command: &Health) -> Result<(), Failure> {
    let url = command.url.clone().unwrap_or_else(|| ready_of(settings.server.listen));
    let deadline = Instant::now() + Duration::from_millis(command.timeout_ms.into());
    let answer = ask(&url, deadline);
    if command.json {
        print(format_args!("{}", report(&url, &answer)))?;
    }
    match answer {
        Ok(200) if command.json => Ok(()),
        Ok(200) => Ok(print(format_args!("ok"))?),
        Ok(status) => Err(Failure::Reported(failed(format!("{url}: status {status}")))),
        Err(error) => Err(Failure::Reported(failed(format!("{url}: {error}")))),
    }
}

fn report(url: &str, answer: &io::Result<u16>) -> Value {
    match answer {
        Ok(status) => json!({ "ok": *status == 200, "url": url, "status": status }),
        Err(error) => json!({ "ok": false, "url": url, "error": error.to_string() }),
    }
}

/// Where a server that listens on `address` is asked by its own host.
fn ready_of(mut address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{address}/ready")
}

fn ask(url: &str, deadline: Instant) -> io::Result<u16> {
    let uri: Uri = url.parse().map_err(io::Error::other)?;
    let Some(authority) = uri.authority().filter(|_| uri.scheme_str() == Some("http")) else {
        return Err(io::Error::other("want http://HOST:PORT/PATH"));
    };
    let host = authority.host().trim_matches(['[', ']']);
    let address = (host, authority.port_u16().unwrap_or(80)).to_socket_addrs()?.next();
    let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    stream.set_write_timeout(Some(left(deadline)?))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n")?;
    status_of(&read_until(stream, deadline)?)
}

/// The bytes up to the end of the first line, or all there are.
fn read_until(stream: TcpStream, deadline: Instant) -> io::Result<Vec<u8>> {
    let mut reply = Vec::new();
    let mut stream = stream.take(REPLY_BYTES);
    let mut piece = [0; 512];
    while !reply.contains(&b'\n') {
        stream.get_ref().set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece)? {
            0 => break,
            count => reply.extend_from_slice(&piece[..count]),
        }
    }
    Ok(reply)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

/// The code of a status line (RFC 9112, section 4).
fn status_of(reply: &[u8]) -> io::Result<u16> {
    let line = std::str::from_utf8(reply).unwrap_or_default().lines().next().unwrap_or_default();
    let code = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    code.ok_or_else(|| io::Error::other("the answer is no HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_all_is_asked_on_this_host() {
        let cases = [
            ("0.0.0.0:80", "http://127.0.0.1:80/ready"),
            ("[::]:8080", "http://[::1]:8080/ready"),
            ("10.0.0.1:1", "http://10.0.0.1:1/ready"),
        ];
        for (address, url) in cases {
            assert_eq!(ready_of(address.parse().unwrap()), url);
        }
    }

    #[test]
    fn only_a_status_line_is_an_answer() {
        assert_eq!(status_of(b"HTTP/1.1 503 Service Unavailable\r\n").unwrap(), 503);
        for reply in [&b""[..], b"SSH-2.0-x\r\n", b"HTTP/1.1 ", b"HTTP/1.1 abc\r\n", b"\xff\xfe"] {
            assert!(status_of(reply).is_err(), "{reply:?}");
        }
    }
}
