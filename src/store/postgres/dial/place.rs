//! Where one attempt to connect goes, from names to a connected socket. Knows nothing of Postgres beyond the name of its
//! unix socket.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

use crate::store::postgres::target::{self, Host, SocketOptions};

/// How many addresses of one name are tried. Protects a request from a name that leads to a crowd of hosts, each of
/// which may take its whole timeout.
const ADDRESSES_PER_HOST: usize = 16;

/// One address of one host of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::postgres) struct Place {
    host: Host,
    address: Address,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A connected socket on tokio.
pub(super) type Connected = Either<TcpStream, UnixStream>;

impl Place {
    /// Whether it is a unix socket of this host.
    pub(super) fn is_unix(&self) -> bool {
        matches!(self.address, Address::Unix(_))
    }

    /// What the certificate of the server is for; `None` for a name that can stand in none.
    pub(super) fn server_name(&self) -> Option<ServerName<'static>> {
        match self.host.name() {
            Some(name) => ServerName::try_from(name.to_owned()).ok(),
            None => Some(self.server_address()),
        }
    }

    /// The server as an address, where no name is checked.
    pub(super) fn server_address(&self) -> ServerName<'static> {
        let ip = match &self.address {
            Address::Tcp(address) => address.ip(),
            // Never encrypted.
            Address::Unix(_) => IpAddr::from([127, 0, 0, 1]),
        };
        ServerName::IpAddress(ip.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Tcp(address) => {
                write!(f, "{}", self.host)?;
                let named = self.host.name().is_some_and(|name| name != address.ip().to_string());
                if named { write!(f, " ({})", address.ip()) } else { Ok(()) }
            }
        }
    }
}

/// The addresses of a host, in random order if `shuffled`.
///
/// Errors: the name cannot be resolved, or to nothing.
pub(super) async fn resolve(host: &Host, shuffled: bool) -> io::Result<Vec<Place>> {
    let place = |address| Place { host: host.clone(), address };
    let name = match &host.place {
        target::Place::Directory(directory) => {
            let path = directory.join(format!(".s.PGSQL.{}", host.port));
            return Ok(vec![place(Address::Unix(path))]);
        }
        target::Place::Address(address, _) => {
            return Ok(vec![place(Address::Tcp((*address, host.port).into()))]);
        }
        target::Place::Name(name) => name,
    };
    let found = lookup_host((name.as_str(), host.port)).await?;
    let mut addresses = in_order(found.collect(), shuffled);
    addresses.truncate(ADDRESSES_PER_HOST);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name leads to no address"));
    }
    Ok(addresses.into_iter().map(|address| place(Address::Tcp(address))).collect())
}

/// The same, or in random order.
pub(super) fn in_order<T>(mut list: Vec<T>, shuffled: bool) -> Vec<T> {
    if shuffled {
        // Without random numbers the given order is as good as any.
        list.sort_by_cached_key(|_| getrandom::u64().unwrap_or_default());
    }
    list
}

/// Connects, without delays for small writes.
pub(super) async fn connect(place: &Place, options: &SocketOptions) -> io::Result<Connected> {
    match &place.address {
        Address::Unix(path) => Ok(Either::Right(UnixStream::connect(path).await?)),
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let socket = SockRef::from(&stream);
            if let Some(keepalive) = &options.keepalive {
                // Sets also what the system's defaults are.
                socket.set_tcp_keepalive(keepalive)?;
            }
            if options.user_timeout.is_some() {
                socket.set_tcp_user_timeout(options.user_timeout)?;
            }
            Ok(Either::Left(stream))
        }
    }
}
