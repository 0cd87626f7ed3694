//! The hosts of a URL: up to three lists that belong together (libpq's manual, "Specifying Multiple Hosts").
//! Resolves no name.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::BadTarget;
use super::url::Parameters;

/// The host if the URL names none.
const DEFAULT_HOST: &str = "localhost";
/// The port of a host if the URL names none.
const DEFAULT_PORT: u16 = 5432;

/// One host of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::postgres) struct Host {
    pub(in crate::store::postgres) place: Place,
    pub(in crate::store::postgres) port: u16,
}

/// Where a host is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store::postgres) enum Place {
    /// A name or an address as text, to be resolved.
    Name(String),
    /// An address to connect to; the name, if any, is what its certificate is for.
    Address(IpAddr, Option<String>),
    /// The directory of a unix socket.
    Directory(PathBuf),
}

impl Host {
    /// What the certificate of this host is for.
    pub(in crate::store::postgres) fn name(&self) -> Option<&str> {
        match &self.place {
            Place::Name(name) => Some(name),
            Place::Address(_, name) => name.as_deref(),
            Place::Directory(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = self.port;
        match &self.place {
            Place::Name(name) | Place::Address(_, Some(name)) if name.contains(':') => {
                write!(f, "[{name}]:{port}")
            }
            Place::Name(name) | Place::Address(_, Some(name)) => write!(f, "{name}:{port}"),
            Place::Address(IpAddr::V6(address), None) => write!(f, "[{address}]:{port}"),
            Place::Address(IpAddr::V4(address), None) => write!(f, "{address}:{port}"),
            Place::Directory(directory) => write!(f, "{}:{port}", directory.display()),
        }
    }
}

/// Reads `host`, `hostaddr` and `port`.
pub(super) fn take(parameters: &mut Parameters) -> Result<Vec<Host>, BadTarget> {
    let list = |value: Option<String>| -> Vec<String> {
        value.map(|value| value.split(',').map(str::to_owned).collect()).unwrap_or_default()
    };
    let names = list(parameters.take("host"));
    let addresses = list(parameters.take("hostaddr"));
    let ports = list(parameters.take("port"));
    let count = names.len().max(addresses.len()).max(1);
    for (name, values, least) in [("host", &names, 1), ("hostaddr", &addresses, 1), ("port", &ports, 2)] {
        if values.len() >= least && values.len() != count {
            return Err(BadTarget::Count { name, count: values.len(), hosts: count });
        }
    }
    let of = |list: &[String], index: usize| list.get(index).filter(|value| !value.is_empty()).cloned();
    (0..count)
        .map(|index| {
            let place = place(of(&names, index), of(&addresses, index))?;
            let port = if ports.len() == 1 { of(&ports, 0) } else { of(&ports, index) };
            Ok(Host { place, port: port.map_or(Ok(DEFAULT_PORT), |port| parse_port(&port))? })
        })
        .collect()
}

fn place(name: Option<String>, address: Option<String>) -> Result<Place, BadTarget> {
    match (name, address) {
        (name, Some(address)) => {
            let wanted = || BadTarget::Value { name: "hostaddr", wanted: "an IP address".to_owned() };
            Ok(Place::Address(address.parse().map_err(|_| wanted())?, name))
        }
        (Some(name), None) if name.starts_with('/') => Ok(Place::Directory(name.into())),
        (name, None) => Ok(Place::Name(name.unwrap_or_else(|| DEFAULT_HOST.to_owned()))),
    }
}

fn parse_port(text: &str) -> Result<u16, BadTarget> {
    let port = text.parse().ok().filter(|&port| port != 0);
    port.ok_or_else(|| BadTarget::Value { name: "port", wanted: "a number from 1 to 65535".to_owned() })
}
